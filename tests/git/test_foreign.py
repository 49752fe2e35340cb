"""What a clone of somebody else has: read from its files, with nothing of it executed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from saltbranch.git import foreign
from tests.support.remote import Remote


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    """A repository with a branch and a tag."""
    remote = Remote(tmp_path / "remote.git")
    remote.commit("main", {"salt/top.sls": "base: {}\n"})
    remote.git("tag", "v1", remote.head("main"))
    return remote


@pytest.fixture
def clone(remote: Remote, tmp_path: Path) -> Path:
    """A clone of it."""
    git("clone", "-q", "-b", "main", str(remote.path), str(tmp_path / "clone"))
    return tmp_path / "clone"


def git(*words: str) -> None:
    subprocess.run(["git", *words], check=True, capture_output=True)


def test_branch_commit_and_url_from_inside(remote: Remote, clone: Path) -> None:
    found = foreign.read(str(clone / "salt"))
    head = remote.head("main")
    assert found == foreign.Foreign(str(clone), str(remote.path), "main", head)
    git("-C", str(clone), "pack-refs", "--all")
    assert not (clone / ".git" / "refs" / "heads" / "main").exists()
    assert foreign.read(str(clone)) == found


def test_detached_worktree_and_none(remote: Remote, clone: Path, tmp_path: Path) -> None:
    git("-C", str(clone), "worktree", "add", "-q", "-b", "other", str(tmp_path / "tree"))
    found = foreign.read(str(tmp_path / "tree" / "salt"))
    assert found is not None
    assert (found.url, found.branch, found.commit) == (
        str(remote.path),
        "other",
        remote.head("main"),
    )
    git("-C", str(clone), "checkout", "-q", "--detach")
    found = foreign.read(str(clone))
    assert found is not None and (found.branch, found.commit) == ("", remote.head("main"))
    (tmp_path / "plain").mkdir()
    assert foreign.read(str(tmp_path / "plain")) is None
    assert foreign.read(str(tmp_path / "nothing")) is None


def test_a_clone_runs_nothing_and_shows_nothing(clone: Path, tmp_path: Path) -> None:
    flag = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {flag}\n")
    program.chmod(0o755)
    included = tmp_path / "included"
    included.write_text('[remote "origin"]\n\turl = /from/elsewhere\n')
    config = clone / ".git" / "config"
    config.write_text(
        f"[core]\n\tfsmonitor = {program}\n\tsshCommand = {program}\n\tpager = {program}\n"
        f'[include]\n\tpath = {included}\n[remote "origin"]\n\turl = --upload-pack={program}\n'
    )
    found = foreign.read(str(clone))
    assert found is not None and found.url == f"--upload-pack={program}"
    head = clone / ".git" / "HEAD"
    secret = tmp_path / "secret"
    secret.write_text("top secret\n")
    head.unlink()
    head.symlink_to(secret)
    found = foreign.read(str(clone))
    assert found is not None and (found.branch, found.commit) == ("", "")
    head.unlink()
    head.write_text("ref: refs/heads/../../../../secret\n")
    found = foreign.read(str(clone))
    assert found is not None and found.commit == ""
    (clone / ".git" / "config").unlink()
    (clone / ".git" / "config").symlink_to("/dev/zero")
    found = foreign.read(str(clone))
    assert found is not None and found.url == ""
    assert not flag.exists()
