"""One master's disk in a folder of its own, and saltbranch at work on it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from saltbranch import entry
from saltbranch.actions.sync import sync as sync_action
from saltbranch.git.mirror import JOURNAL_REF
from saltbranch.git.program import Git
from saltbranch.journal import cache as journal_cache
from saltbranch.journal import store as journal
from saltbranch.journal.events import Event
from saltbranch.journal.state import State
from saltbranch.serve.run import SaltenvResult, SyncResult
from tests.support import warm
from tests.support.remote import Link, Remote, Script, Tree

BRANCHES = {"test": "develop", "stage": "stage", "prod": "master"}
TIMEOUT = 60


@dataclass(frozen=True, slots=True)
class Ran:
    """What a process left."""

    code: int
    out: str
    err: str


def build_template(path: Path) -> Remote:
    """A small control repository: master, stage one commit ahead of it, develop one more."""
    remote = Remote(path)
    remote.commit(
        "master",
        {
            "README.md": "Control repository\n",
            "salt/top.sls": "base:\n  '*':\n    - app\n",
            "salt/app/init.sls": "app:\n  test.nop: []\n",
            "salt/app/files/run.sh": Script("#!/bin/sh\necho run\n"),
            "salt/app/files/current.sh": Link("run.sh"),
            "pillar/top.sls": "base:\n  '*':\n    - app\n",
            "pillar/app.sls": "branch: master\n",
        },
    )
    for branch, start in (("stage", "master"), ("develop", "stage")):
        remote.set_branch(branch, remote.head(start))
        remote.commit(branch, {"pillar/app.sls": f"branch: {branch}\n"})
    return remote


class Site:
    """A remote, a saltbranch.yaml, and the root that is made from them."""

    def __init__(self, folder: Path, remote: Remote) -> None:
        self.folder = folder
        self.remote = remote
        self.root = folder / "root"
        self.config = folder / "saltbranch.yaml"
        self.master_config = folder / "master.d" / "saltbranch.conf"
        self.salt_config = folder / "master"
        self.settings: dict[str, Any] = {
            "remote": str(remote.path),
            "root": str(self.root),
            "master_config": str(self.master_config),
            "salt_config": str(self.salt_config),
            "saltenvs": {
                saltenv: {"branch": branch, "minions": [f"{saltenv}*"]}
                for saltenv, branch in BRANCHES.items()
            },
        }
        self.settings["saltenvs"]["prod"]["protected"] = True
        self.configure()

    def configure(self, **changes: Any) -> None:
        """Write the configuration anew, with `changes`; None takes a key away."""
        self.settings = {k: v for k, v in (self.settings | changes).items() if v is not None}
        # One key in a line, as a person writes it: the quick road looks for a line `root:`.
        lines = [f"{key}: {json.dumps(value)}" for key, value in self.settings.items()]
        lines = [line.replace('"', "", 2) if line.startswith("root") else line for line in lines]
        self.config.write_text("\n".join(lines) + "\n")

    def keep_only(self, *saltenvs: str) -> None:
        """Leave the others out of the configuration."""
        kept = {name: self.settings["saltenvs"][name] for name in saltenvs}
        self.configure(saltenvs=kept)

    def argv(self, verb: str, *args: str) -> list[str]:
        """The command line of ``saltbranch verb``, here."""
        return [sys.executable, "-m", "saltbranch", verb, "--config", str(self.config), *args]

    def run(self, verb: str, *args: str, env: Mapping[str, str] | None = None) -> Ran:
        """Run ``saltbranch verb args`` as a process of its own."""
        return run(self.argv(verb, *args), env=env)

    def sync(self, *args: str) -> Ran:
        """Run the command line ``saltbranch sync args`` in this process, for speed."""
        return self.run_here("sync", "--config", str(self.config), *args)

    def run_here(self, *words: str) -> Ran:
        """Run the command line ``saltbranch words`` in this process."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["saltbranch", *words])
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            code = entry.guarded(entry._quick_sync(list(words)) or entry._ordinary)
        return Ran(code, out.getvalue(), err.getvalue())

    def start(self, *args: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start ``saltbranch sync args`` and do not wait for it."""
        return subprocess.Popen(
            self.argv("sync", *args),
            env={**os.environ, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def sync_here(self, *only: str, **options: Any) -> SyncResult:
        """The action alone, with its result as an object."""
        return sync_action(str(self.config), only=only, **options)

    def sync_well(self) -> SyncResult:
        """A sync that has to leave every saltenv equal to its branch."""
        result = self.sync_here()
        assert result.exit_code == 0, [s.message for s in result.saltenvs]
        for saltenv in self.settings["saltenvs"].values():
            self.assert_serves(saltenv["branch"], self.remote.head(saltenv["branch"]))
        return result

    def checkout(self, branch: str) -> Path:
        """The symlink that Salt follows for `branch`."""
        return self.root / "checkouts" / branch

    def slot(self, branch: str) -> Path:
        """The folder of the files that are served."""
        return self.checkout(branch).resolve(strict=True)

    def idle(self, branch: str) -> Path:
        """The folder of the files that are not served."""
        served = self.slot(branch).parent
        return served.with_name("b" if served.name == "a" else "a") / "tree"

    def shown(self, branch: str) -> Tree | None:
        """What a reader of the checkout sees; None before there is one."""
        checkout = self.checkout(branch)
        return read_tree(checkout) if checkout.exists() else None

    def assert_serves(self, branch: str, *commits: str) -> None:
        """What is shown is the whole tree of one of `commits`, and nothing else."""
        shown = self.shown(branch)
        assert shown in [self.remote.tree(commit) for commit in commits], (branch, shown)


class FaultyGit:
    """A git whose calls can go wrong; see faulty_git.sh."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.counter = folder / "counter"
        folder.mkdir()
        (folder / "git").symlink_to(Path(__file__).with_name("faulty_git.sh"))

    def env(self, fault: str, at: int | str) -> dict[str, str]:
        """Variables for a process: `fault` is to happen at the n-th call, or at those of a verb."""
        git = shutil.which("git")
        assert git
        self.counter.write_text("0\n")
        return {
            "PATH": f"{self.folder}:{os.environ['PATH']}",
            "FAULT": fault,
            "FAULT_AT": str(at),
            "FAULT_COUNTER": str(self.counter),
            "FAULT_REAL_GIT": git,
        }

    def calls(self) -> int:
        """How often git was started since `env`."""
        return int(self.counter.read_text())


def run(argv: list[str], env: Mapping[str, str] | None = None) -> Ran:
    """Run a program to its end; our own as a fork of one that has started already (see tests/support/warm.py)."""
    whole = {**os.environ, **(env or {})}
    if warm.fits(argv, whole):
        return Ran(*warm.server().run(argv, whole, TIMEOUT))
    done = subprocess.run(
        argv,
        env=whole,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def read_tree(folder: Path) -> Tree:
    """Mode and git's object id of every file below `folder`, read from the disk."""
    found = {}
    for parent, folders, names in os.walk(os.fsencode(folder)):
        if parent == os.fsencode(folder):
            names = [name for name in names if name != b".git"]
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        for name in [*names, *links]:
            path = os.path.join(parent, name)
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                kind, data = "120000", os.readlink(path)
            else:
                kind = "100755" if mode & 0o100 else "100644"
                with open(path, "rb") as file:
                    data = file.read()
            oid = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            found[os.fsdecode(os.path.relpath(path, os.fsencode(folder)))] = (kind, oid)
    return found


def result_of(result: SyncResult, saltenv: str) -> SaltenvResult:
    """The part of a sync's result that is about `saltenv`."""
    return next(s for s in result.saltenvs if s.saltenv == saltenv)


class Journal:
    """The journal of a remote, written to as another machine would."""

    def __init__(self, remote: Remote) -> None:
        self.remote = remote
        self.git = Git(str(remote.path))

    def head(self) -> str | None:
        """Its newest commit."""
        return self.remote.git("for-each-ref", "--format=%(objectname)", JOURNAL_REF) or None

    def add(self, kind: str, **details: Any) -> Event:
        """Append an event; those of syncs and holds as saltbranch writes them."""
        head, written = journal.append(self.git, self.head(), [event(kind, **details)])
        self.remote.git("update-ref", JOURNAL_REF, head)
        return written[0]

    def hold(self, saltenv: str, commit: str, **details: Any) -> Event:
        """Hold `saltenv` at `commit`."""
        details.setdefault("reason", "it breaks the app")
        return self.add("hold", saltenv=saltenv, commit=commit, **details)

    def state(self) -> State:
        """What follows from it."""
        return journal_cache.state(self.git, self.head(), write=False)

    def events(self, kind: str = "") -> list[Event]:
        """All of it, or those of one kind."""
        found = journal.read(self.git, self.head())
        return [e for e in found if kind in ("", e.kind)]


def event(kind: str, **details: Any) -> Event:
    """An event that is not written yet."""
    now = time.time()
    return Event(kind, journal.new_id(now), now, "Ann <ann@example.com>", details)
