"""The `git log` that hints name can be typed where the reader is."""

from __future__ import annotations

import subprocess
from pathlib import Path

from saltbranch.git.mirror import Mirror
from saltbranch.repository import clone as clones
from saltbranch.repository.remote import Repository, open_clone
from tests.support.remote import Remote


def shown(command: str, folder: Path) -> str:
    argv = ["sh", "-c", f"{command} -1 --format=%H"]
    return subprocess.run(
        argv, cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_on_a_master(remote: Remote, tmp_path: Path) -> None:
    root = tmp_path / "the root"
    root.mkdir()
    mirror = Mirror(str(root))
    mirror.create()
    repository = Repository(mirror.path, str(remote.path), timeout=60)
    repository.fetch()
    assert shown(repository.log_command("develop"), tmp_path) == remote.head("develop")


def test_in_a_clone_whose_remote_has_another_name(remote: Remote, tmp_path: Path) -> None:
    folder = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", "-o", "upstream", remote.path, folder], check=True)
    clone = clones.find(str(folder))
    assert clone
    repository = open_clone(clone, timeout=60, remote=clone.remote())
    assert repository.log_command("develop") == "git log upstream/develop"
    assert shown(repository.log_command("develop"), folder) == remote.head("develop")
