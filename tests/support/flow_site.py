"""A remote with three branches and a model, an ordinary clone of it, and the promoting verbs at work there."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from saltbranch import entry
from saltbranch.base.durations import iso
from saltbranch.git.mirror import JOURNAL_REF
from saltbranch.git.program import Git
from saltbranch.journal import events
from saltbranch.journal import state as journal_state
from saltbranch.journal import store as journal
from tests.support.agreed import agree
from tests.support.project import plan_code
from tests.support.remote import Content, Remote
from tests.support.site import Ran

BRANCHES = {"test": "develop", "stage": "stage", "prod": "master"}
RC_TAGS = r"^v[0-9]+(\.[0-9]+)*-rc\.[0-9]+$"
FINAL_TAGS = r"^v[0-9]+(\.[0-9]+)*$"


@dataclass(frozen=True, slots=True)
class FlowTemplate:
    """What every test gets a copy of."""

    remote: Remote
    clone: Path


def base_model() -> dict[str, Any]:
    """The saltbranch.yaml of the production branch, as data."""
    return {
        "saltenvs": {
            "test": {"branch": "develop", "minions": ["test*"]},
            "stage": {"branch": "stage", "minions": ["stage*"], "promote_from": "test"},
            "prod": {"branch": "master", "minions": ["prod*"], "promote_from": "stage"},
        },
    }


def as_yaml(model: Mapping[str, Any]) -> str:
    """`model` as a saltbranch.yaml, one key in a line."""
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in model.items())


def build_flow_template(folder: Path) -> FlowTemplate:
    """A control repository whose three branches are one, and a clone of it."""
    remote = Remote(folder / "remote.git")
    begin = remote.commit(
        "master",
        {
            "saltbranch.yaml": as_yaml(base_model()),
            "salt/top.sls": "base:\n  '*': [app]\n",
            "salt/app/init.sls": "".join(f"app{n}:\n  test.nop: []\n" for n in range(12)),
            "pillar/top.sls": "base:\n  '*': [app]\n",
            "pillar/app.sls": "workers: 1\n",
        },
        message="KEY-1 Begin",
    )
    for branch in ("stage", "develop"):
        remote.set_branch(branch, begin)
    clone = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", "-b", "develop", remote.path, clone], check=True)
    for sample in (clone / ".git" / "hooks").glob("*.sample"):
        sample.unlink()  # a dozen files that each test would copy
    return FlowTemplate(remote, clone)


class FlowSite:
    """``flow.run("promote", "stage", "--yes")`` as somebody who stands in the clone."""

    def __init__(self, folder: Path, template: FlowTemplate) -> None:
        self.folder = folder
        self.remote = template.remote.copy(folder / "remote.git")
        self.clone = folder / "clone"
        shutil.copytree(template.clone, self.clone, symlinks=True)
        config = self.clone / ".git" / "config"
        config.write_text(
            config.read_text().replace(str(template.remote.path), str(self.remote.path))
        )
        self.model = base_model()
        self._numbers = 0

    # The remote

    def configure(
        self, *, top: Mapping[str, Any] | None = None, agreed: bool = True, **saltenvs: Any
    ) -> None:
        """Change the model on all three branches: keys of saltenvs, and with `top` those beside `saltenvs`.

        agreed: the person in the clone has agreed to the programs that it names.
        """
        for name, changes in saltenvs.items():
            self.model["saltenvs"][name].update(changes)
        self.model.update(top or {})
        text = as_yaml(self.model)
        heads = {self.head(b) for b in BRANCHES.values()}
        assert len(heads) == 1, "configure comes before anything else"
        new = self.remote.commit("master", {"saltbranch.yaml": text}, message="KEY-2 Model")
        for branch in ("stage", "develop"):
            self.remote.set_branch(branch, new)
        if agreed:
            agree(self.clone, self.model)

    def push(
        self, branch: str, files: Mapping[str, Content] | None = None, subject: str = ""
    ) -> str:
        """Somebody else pushes a commit to `branch`; its hash. Without files a state of its own is added."""
        self._numbers += 1
        number = self._numbers
        files = files or {f"salt/s{number}.sls": f"s{number}:\n  test.nop: []\n"}
        return self.remote.commit(branch, files, message=subject or f"KEY-1{number:02} Change")

    def push_branch(
        self,
        branch: str,
        start: str,
        files: Mapping[str, Content] | None = None,
        subject: str = "",
    ) -> str:
        """Somebody else pushes a new branch with one commit on top of the branch or commit `start`."""
        self.remote.set_branch(branch, self.remote.git("rev-parse", f"{start}^{{commit}}"))
        return self.push(branch, files, subject)

    def head(self, branch: str) -> str:
        """The head of a branch of the remote."""
        return self.remote.head(branch)

    def refs(self) -> dict[str, str]:
        """All refs of the remote."""
        text = self.remote.git("for-each-ref", "--format=%(refname) %(objectname)")
        return dict(line.split(" ", 1) for line in text.splitlines())

    def show(self, commit: str, path: str) -> str | None:
        """The content of a file in a commit of the remote; None when it is not there."""
        listed = self.remote.git("ls-tree", "-z", commit, "--", path)
        return self.remote.git("cat-file", "blob", listed.split()[2]) + "\n" if listed else None

    def files(self, commit: str) -> set[str]:
        """The paths of a commit of the remote."""
        return set(self.remote.tree(commit))

    def parents(self, commit: str) -> list[str]:
        """The parents of a commit of the remote."""
        return self.remote.git("rev-list", "--parents", "-1", commit).split()[1:]

    def message(self, commit: str) -> str:
        """The message of a commit of the remote."""
        return self.remote.git("log", "-1", "--format=%B", commit)

    def trailers(self, commit: str) -> dict[str, str]:
        """The trailers of a commit, as git reads them."""
        text = self.remote.git("log", "-1", "--format=%(trailers:only,unfold)", commit)
        return dict(line.split(": ", 1) for line in text.splitlines() if line)

    def contains(self, branch: str, commit: str) -> bool:
        """Whether a branch of the remote has a commit, which need not be on the remote at all."""
        listed = self.remote.git("rev-list", f"refs/heads/{branch}")
        return commit in listed.split()

    def tag(self, name: str, commit: str) -> None:
        """Somebody else pushes an annotated tag."""
        self.remote.git("tag", "-a", "-m", name, name, commit)

    # The journal

    def state(self) -> journal_state.State:
        """What the journal of the remote says."""
        return journal_state.replay(journal.read(Git(str(self.remote.path)), self._journal()))

    def kinds(self) -> list[str]:
        """The kinds of the journal's events, the oldest first."""
        return [event.kind for event in self.state().events]

    def _journal(self) -> str | None:
        return self.refs().get(JOURNAL_REF)

    def record(self, kind: str, *, ago: float = 0, **details: Any) -> None:
        """Append an event of `ago` seconds before now to the remote's journal."""
        self.remote.git("update-ref", JOURNAL_REF, self.prepared(kind, ago=ago, **details))

    def prepared(self, kind: str, *, ago: float = 0, **details: Any) -> str:
        """The same, with the journal's ref left as it is; what it would become."""
        moment = time.time() - ago
        event = events.Event(kind, journal.new_id(moment), moment, "Bob <bob@example.com>", details)
        return journal.append(Git(str(self.remote.path)), self._journal(), [event])[0]

    def hook(self, name: str, text: str) -> None:
        """Give the server a hook."""
        path = self.remote.path / "hooks" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def race(self, ref: str, commit: str) -> Path:
        """Somebody moves `ref` to `commit` in the middle of the next push; a file that tells that it happened."""
        once = self.folder / "once"
        self.hook(
            "update",
            f"[ -e {once} ] && exit 0; : > {once}\n"
            f"env -u GIT_QUARANTINE_PATH git update-ref {ref} {commit} || exit 1",
        )
        return once

    def served(self, saltenv: str, commit: str, *, ago: float, master: str = "m1") -> None:
        """A master records that it serves `commit` since `ago` seconds."""
        row = {"saltenv": saltenv, "old": None, "new": commit, "time": iso(time.time() - ago)}
        self.record("sync", ago=ago, master=master, saltenvs=[row])

    # The clone

    def git(self, *words: str) -> str:
        """stdout of git in the clone."""
        argv = ["git", "-C", str(self.clone), *words]
        return subprocess.run(
            argv, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True
        ).stdout.strip()

    def commit(self, files: Mapping[str, str | None], subject: str) -> str:
        """A commit in the clone, on what is checked out; its hash. None removes a file."""
        for path, text in files.items():
            place = self.clone / path
            if text is None:
                place.unlink()
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        self.git("add", "-A")
        self.git("commit", "--quiet", "-m", subject)
        return self.git("rev-parse", "HEAD")

    def branch_here(self) -> str:
        """What is checked out in the clone."""
        return self.git("symbolic-ref", "--short", "HEAD")

    # The verbs

    def run(self, *words: str, cwd: Path | None = None, answer: str | None = None) -> Ran:
        """Run ``saltbranch words`` in this process, standing in the clone or in `cwd`.

        answer: what a person types; without one there is no terminal.
        """
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, standing_in(cwd or self.clone):
            patch.setattr(sys, "argv", ["saltbranch", *words])
            patch.setattr(sys, "stdout", out)
            if answer is None:
                patch.setattr(sys, "stdin", io.StringIO())
                patch.setattr(sys, "stderr", err)
            else:
                err = Terminal()
                patch.setattr(sys, "stdin", Terminal(f"{answer}\n"))
                patch.setattr(sys, "stderr", err)
            code = entry.guarded(entry._ordinary)
        return Ran(code, out.getvalue(), err.getvalue())

    def well(self, *words: str) -> Ran:
        """Run a verb that has to end with 0."""
        ran = self.run(*words)
        assert ran.code == 0, ran
        return ran

    def refused(self, *words: str, code: int = 4, cwd: Path | None = None) -> str:
        """Run a verb that has to end with `code` and to leave the remote as it is; what it said."""
        before = self.refs()
        ran = self.run(*words, cwd=cwd)
        assert ran.code == code, ran
        assert self.refs() == before, "a refused verb moved something"
        return ran.err

    def plan(self, *words: str, code: int = 3) -> dict[str, Any]:
        """The plan of a verb as data; nothing may move. code: 3 also where it would be refused (4)."""
        before = self.refs()
        ran = self.run(*words, "--plan", "--json")
        assert self.refs() == before, "a plan moved something"
        found: dict[str, Any] = json.loads(ran.out)
        assert ran.code == (plan_code(found) if code == 3 else code), ran
        return found

    def gates(self, *words: str) -> dict[str, tuple[str, str]]:
        """Gate to verdict and reason, of the plan of a verb."""
        return {g["gate"]: (g["verdict"], g["reason"]) for g in self.plan(*words)["gates"]}

    def promoted(self, saltenv: str, *words: str) -> str:
        """Promote to `saltenv`; the new head of its branch."""
        self.well("promote", saltenv, "--yes", *words)
        return self.head(BRANCHES[saltenv])

    def to_prod(self) -> str:
        """Promote all of develop to prod; master's new head."""
        self.promoted("stage")
        return self.promoted("prod")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@contextmanager
def standing_in(folder: Path) -> Iterator[None]:
    """The current folder is `folder` for a while: the verbs ask for it, and git inherits it."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def shown(text: str) -> str:
    """`text` with hashes and ids replaced by words that do not change."""
    text = re.sub(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}", "ID", text)
    text = re.sub(r"digest [0-9a-f]{16}", "digest DIGEST", text)
    return re.sub(r"\b[0-9a-f]{40}\b|\b[0-9a-f]{12}\b", "HASH", text)
