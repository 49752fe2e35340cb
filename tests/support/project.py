"""A control repository whose saltenvs are promoted, people's clones of it, and what must always hold of it."""

from __future__ import annotations

import functools
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from saltbranch import entry
from saltbranch.git.mirror import JOURNAL_REF
from saltbranch.git.program import Git
from saltbranch.journal import state as journal_state
from saltbranch.journal import store as journal
from saltbranch.journal.events import Event
from saltbranch.journal.state import State
from tests.support.agreed import agree_in_all
from tests.support.remote import Content, Remote
from tests.support.site import Ran

CHAIN = {"test": "develop", "stage": "stage", "prod": "master"}
_GROUPS = ("feature", "release", "hotfix", "flow", "lab")


def model(**changes: dict[str, Any]) -> dict[str, Any]:
    """The keys of saltbranch.yaml; `changes` to single saltenvs, a None takes a key away."""
    saltenvs: dict[str, dict[str, Any]] = {}
    before = None
    for name, branch in CHAIN.items():
        saltenvs[name] = {"branch": branch, "minions": [f"{name}*"], "promote_from": before}
        before = name
    for name, keys in changes.items():
        saltenvs[name] |= keys
    for keys in saltenvs.values():
        for key in [k for k, v in keys.items() if v is None]:
            del keys[key]
    return {"saltenvs": saltenvs}


class Project:
    """The remote, and clones beside it in `folder`."""

    def __init__(self, folder: Path, keys: dict[str, Any] | None = None) -> None:
        self.folder = folder
        self.remote = Remote(folder / "remote.git")
        # git-receive-pack(1) notes every move of every ref: what a push moved can be told afterwards.
        self.remote.git("config", "core.logAllRefUpdates", "always")
        self.remote.git("config", "user.name", "Server")
        self.remote.git("config", "user.email", "server@example.com")
        if self.remote.head_or_none("master") is None:
            self._fill(keys or model())

    def _fill(self, keys: dict[str, Any]) -> None:
        files: dict[str, Content] = {
            "saltbranch.yaml": json.dumps(keys),
            "salt/top.sls": "base:\n  '*':\n    - app\n",
            "salt/app/init.sls": "".join(f"line {n}\n" for n in range(9)),
            "pillar/app.sls": "a: 1\n",
        }
        head = self.remote.commit("master", files, message="KEY-1 begin")
        for branch in ("stage", "develop"):
            self.remote.set_branch(branch, head)

    def configure(self, keys: dict[str, Any]) -> None:
        """Let the production branch have another model, and the others with it."""
        head = self.remote.commit("master", {"saltbranch.yaml": json.dumps(keys)})
        for branch in ("stage", "develop"):
            self.remote.set_branch(branch, head)
        agree_in_all(self.folder, keys)

    def clone(self, name: str) -> Clone:
        """A new clone, on develop."""
        path = self.folder / name
        argv = ["git", "clone", "--quiet", "--template=", "-b", "develop"]
        subprocess.run([*argv, str(self.remote.path), str(path)], check=True)
        clone = Clone(path)
        clone.git("config", "user.name", name.capitalize())
        clone.git("config", "user.email", f"{name}@example.com")
        return clone

    def hook(self, name: str, text: str) -> None:
        """Give the server a hook (githooks(5)): the body of a shell script."""
        path = self.remote.path / "hooks" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def unhook(self, name: str) -> None:
        """Take a hook away."""
        (self.remote.path / "hooks" / name).unlink()

    def refs(self) -> dict[str, str]:
        """All refs of the remote in full, with the objects that they name."""
        lines = self.remote.git("for-each-ref", "--format=%(refname) %(objectname)").splitlines()
        return dict(line.split(" ", 1) for line in lines)

    def moves(self, ref: str) -> list[tuple[str, str]]:
        """Every (old, new) of a ref that is there, the oldest first; zeros for not there."""
        log = self.remote.path / "logs" / ref
        lines = log.read_text().splitlines() if log.exists() else []
        return [(line[:40], line[41:81]) for line in lines]

    def contains(self, branch: str, commit: str) -> bool:
        """Whether the branch has the commit."""
        return self.is_ancestor(commit, self.remote.head(branch))

    def is_ancestor(self, ancestor: str, descendant: str) -> bool:
        """Whether one commit contains the other."""
        argv = ["git", f"--git-dir={self.remote.path}", "merge-base", "--is-ancestor"]
        return subprocess.run([*argv, ancestor, descendant]).returncode == 0

    def events(self) -> list[Event]:
        """The journal, the oldest first."""
        head = self.refs().get(JOURNAL_REF)
        return journal.read(Git(str(self.remote.path)), head)

    def state(self) -> State:
        """What follows from the journal."""
        return journal_state.replay(self.events())

    def text(self, branch: str, path: str) -> str | None:
        """A file of the head of a branch, None where it is not there."""
        argv = ["git", f"--git-dir={self.remote.path}", "cat-file", "blob", f"{branch}:{path}"]
        done = subprocess.run(argv, capture_output=True, text=True)
        return done.stdout if done.returncode == 0 else None

    def check(self) -> None:
        """What must hold whatever happened: a sound repository, an unbroken journal."""
        argv = [
            "git",
            f"--git-dir={self.remote.path}",
            "fsck",
            "--strict",
            "--full",
            "--no-dangling",
        ]
        done = subprocess.run(argv, capture_output=True, text=True)
        assert done.returncode == 0 and not done.stdout, (done.stdout, done.stderr)
        head = self.refs().get(JOURNAL_REF)
        if head is None:
            return
        chain = self.remote.git("rev-list", "--first-parent", head).splitlines()
        found = self.events()
        assert [e.commit for e in found] == chain[-2::-1]  # each but the root is an event
        assert len({e.id for e in found}) == len(found)
        for old, new in self.moves(JOURNAL_REF):
            assert set(old) == {"0"} or old in chain and new in chain


@dataclass(frozen=True, slots=True)
class Clone:
    """A person's clone, and saltbranch at work in it."""

    path: Path

    def git(self, *args: str, stdin: str = "") -> str:
        """stdout of ``git args`` here."""
        done = subprocess.run(
            ["git", "-C", str(self.path), *args], input=stdin.encode(), stdout=subprocess.PIPE,
            check=True,
        )  # fmt: skip
        return os.fsdecode(done.stdout).strip()

    @property
    def objects(self) -> Remote:
        """The clone's repository, to write branches into without touching the work tree."""
        return _objects(self.path)

    def branch(self, name: str, start: str, files: dict[str, Content], message: str = "x") -> str:
        """Make the local branch `name` at `start` with one commit on top; its head."""
        self.git("fetch", "--quiet", "origin")
        return self.objects.commit(name, files, parents=(start,), message=message)

    def words(self, *words: str) -> list[str]:
        """The arguments of saltbranch for a verb, here."""
        count = 2 if words[0] in _GROUPS else 1
        config = ["--config", str(self.path / "saltbranch.yaml")]
        return [*words[:count], *config, *words[count:]]

    def run(self, *words: str) -> Ran:
        """Run ``saltbranch words`` in this process."""
        return run_here(*self.words(*words))

    def well(self, *words: str) -> dict[str, Any]:
        """Run ``saltbranch words --yes --json``, which has to end with 0; what it says."""
        ran = self.run(*words, "--yes", "--json")
        assert ran.code == 0, ran
        said: dict[str, Any] = json.loads(ran.out)
        return said

    def plan(self, *words: str) -> dict[str, Any]:
        """What ``saltbranch words --plan --json`` says."""
        ran = self.run(*words, "--plan", "--json")
        said: dict[str, Any] = json.loads(ran.out)
        assert ran.code == plan_code(said), ran
        return said

    def argv(self, *words: str) -> list[str]:
        """The command line of a process of its own."""
        return [sys.executable, "-m", "saltbranch", *self.words(*words)]


def plan_code(plan: dict[str, Any]) -> int:
    """What `--plan` has to end with: 4 where a person must decide before it can be applied."""
    if plan["empty"]:
        return 0
    closed = [g for g in plan["gates"] if g["verdict"] != "pass" and g["overridden"] is None]
    return 4 if closed or plan["steps"][0]["kind"] == "conflict" else 3


@functools.cache
def _objects(path: Path) -> Remote:
    return Remote(path / ".git")


def run_here(*words: str) -> Ran:
    """Run the command line ``saltbranch words`` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["saltbranch", *words])
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        patch.setattr(sys, "stdin", io.StringIO())
        code = entry.guarded(entry._quick_sync(list(words)) or entry._ordinary)
    return Ran(code, out.getvalue(), err.getvalue())
