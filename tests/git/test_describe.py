"""What is left open of a repository of which a commit was told."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

from saltbranch.base.errors import GitError
from saltbranch.git.describe import describe
from tests.support.remote import Remote


def held(folder: Path) -> list[str]:
    """Files of `folder` that this process has open or mapped."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        mapped = [line.split(maxsplit=5)[-1].strip() for line in maps]
    opened = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
    return [path for path in [*mapped, *opened] if path.startswith(str(folder))]


def test_no_pack_stays_open(tmp_path: Path) -> None:
    """Nor until Python collects its garbage: a process that lives long would hold packs that git has removed."""
    remote = Remote(tmp_path / "remote.git")
    commit = remote.commit("develop", {"salt/top.sls": "base: {}\n"}, message="packed")
    remote.git("repack", "-adq")
    gc.disable()
    try:
        assert describe(str(remote.path), commit).subject == "packed"
        assert held(tmp_path) == []
        with pytest.raises(GitError):
            describe(str(remote.path), "1" * 40)
        assert held(tmp_path) == []
    finally:
        gc.enable()
