"""An ordinary clone of a control repository, worked in with ordinary git, and saltbranch run inside it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from saltbranch.repository.workplace import Workplace, open_workplace
from tests.support.remote import Remote
from tests.support.site import Ran, Site

BEGIN = 1_767_225_600  # 2026-01-01T00:00:00Z
MODEL = {
    "test": {"branch": "develop", "minions": ["test*"]},
    "stage": {"branch": "stage", "minions": ["stage*"], "promote_from": "test"},
    "prod": {"branch": "master", "minions": ["prod*"], "promote_from": "stage"},
}
_RUN = Site.run_here


class Clone:
    """A remote with develop, stage and master, and a clone of it. Each commit is a minute after the one before."""

    def __init__(self, folder: Path, model: Mapping[str, Any] | None = None, **keys: Any) -> None:
        self.remote = Remote(folder / "remote.git")
        self.path = folder / "clone"
        self.clock = BEGIN
        subprocess.run(
            ["git", "clone", "--quiet", "--template=", str(self.remote.path), str(self.path)],
            check=True,
            stderr=subprocess.DEVNULL,
        )
        settings = {"saltenvs": dict(model or MODEL), **keys}
        self.git("checkout", "--quiet", "-b", "master")
        self.commit({"saltbranch.yaml": json.dumps(settings), "salt/top.sls": "{}\n"}, "Begin")
        for branch in ("stage", "develop"):
            self.git("checkout", "--quiet", "-b", branch)
        self.push("master", "stage", "develop")

    def git(self, *args: str) -> str:
        """stdout of ``git args`` in the clone."""
        date = f"{self.clock} +0000"
        env = {**os.environ, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        done = subprocess.run(
            ["git", "-C", str(self.path), *args], env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, (args, done.stdout, done.stderr)
        return done.stdout.strip()

    def lose_journal(self) -> None:
        """As if there had never been one, neither on the remote nor seen from here."""
        self.remote.git("update-ref", "-d", "refs/saltbranch/journal")
        self.git("update-ref", "-d", "refs/saltbranch-kept/journal")

    def commit(self, files: Mapping[str, str | bytes], message: str, on: str | None = None) -> str:
        """Commit `files`; its hash. on: check out that branch first."""
        if on:
            self.checkout(on)
        for name, content in files.items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        self.git("add", "--all")
        return self._made("commit", "--quiet", "--allow-empty", "-m", message)

    def merge(self, source: str, into: str, message: str | None = None) -> str:
        """Merge `source` into the branch `into` by a merge commit, as git names it or with `message`."""
        self.checkout(into)
        words = ["-m", message] if message else ["--no-edit"]
        return self._made("merge", "--quiet", "--no-ff", *words, source)

    def pick(self, commit: str, on: str, *options: str) -> str:
        """Cherry-pick `commit` on the branch `on`."""
        self.checkout(on)
        return self._made("cherry-pick", *options, commit)

    def revert(self, commit: str, on: str, *options: str) -> str:
        """Revert `commit` on the branch `on`."""
        self.checkout(on)
        return self._made("revert", "--no-edit", *options, commit)

    def checkout(self, branch: str, start: str | None = None) -> None:
        """Check `branch` out; with `start`, made there."""
        self.git("checkout", "--quiet", *(["-b", branch, start] if start else [branch]))

    def _made(self, *args: str) -> str:
        self.clock += 60
        self.git(*args)
        return self.git("rev-parse", "HEAD")

    def push(self, *refs: str) -> None:
        """Push branches, or `+src:dst` pairs."""
        self.git("push", "--quiet", "origin", *refs)

    def pull(self, *branches: str) -> None:
        """Make the clone's branches those of the remote."""
        self.git("fetch", "--quiet", "origin")
        for branch in branches:
            self.checkout(branch)
            self.git("reset", "--quiet", "--hard", f"origin/{branch}")

    def run(self, *words: str) -> Ran:
        """Run the command line ``saltbranch words`` in this process, inside the clone."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.path)
            return _RUN(self, *words)  # type: ignore[arg-type]

    def promote(self, saltenv: str, *words: str) -> str:
        """Promote, and take over what that made of the branches; the id."""
        before = {p.id for p in self.work().state.promotions}
        done = self.run("promote", saltenv, "--yes", *words)
        assert done.code == 0, done
        self.pull("master", "stage", "develop")
        (new,) = {p.id for p in self.work().state.promotions} - before
        return new

    def work(self, *, fetch: bool = True) -> Workplace:
        """What a verb begins with here."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.path)
            return open_workplace(str(self.path / "saltbranch.yaml"), fetch=fetch)

    def head(self, branch: str) -> str:
        """The remote's."""
        return self.remote.head(branch)
