"""A root as the releases before laid it out: a slot is a git worktree, and Salt's link leads to it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from saltbranch.base import files
from tests.support.site import Site


def lay_out_as_before(site: Site, idle: dict[str, str] | None = None) -> None:
    """Lay the root of `site` out so, by git's own commands; what each saltenv serves stays.

    idle: branch to the commit of its idle slot, where that is another one.
    """
    root = site.root
    before = os.umask(0o027)
    try:
        for folder in sorted((root / "slots").iterdir()):
            head = _git("-C", str(site.slot(folder.name)), "rev-parse", "HEAD")
            _remove(root, folder.name)
            for name, commit in (("a", head), ("b", (idle or {}).get(folder.name, head))):
                _add_worktree(root, folder.name, name, commit)
            (root / "checkouts" / folder.name).symlink_to(f"../slots/{folder.name}/a")
    finally:
        os.umask(before)
    (root / files.MARKER).rename(root / ".saltbranch")
    prepared = root / "state" / "prepared"
    prepared.write_text(re.sub(r"prepared \d+", "prepared 4", prepared.read_text(), count=1))
    record = root / "state" / "served"
    lines = [line.split("\t") for line in record.read_text().splitlines()]
    record.write_text("".join("\t".join([*w[:2], "a", *w[3:]]) + "\n" for w in lines))


def _remove(root: Path, branch: str) -> None:
    (root / "checkouts" / branch).unlink()
    shutil.rmtree(root / "slots" / branch)
    for name in "ab":
        shutil.rmtree(root / "mirror.git" / "worktrees" / f"{branch}-{name}")


def _add_worktree(root: Path, branch: str, name: str, commit: str) -> None:
    """git names its registration after the folder's first name."""
    first, slot = root / "slots" / branch / f"{branch}-{name}", root / "slots" / branch / name
    mirror = f"--git-dir={root}/mirror.git"
    _git(mirror, "worktree", "add", "--quiet", "--detach", str(first), commit)
    _git(mirror, "worktree", "move", str(first), str(slot))
    registration = root / "mirror.git" / "worktrees" / first.name
    assert (slot / ".git").read_text() == f"gitdir: {registration}\n"
    time.sleep(0.01)
    (registration / "saltbranch-finished").write_text(f"{commit} {files.boot_id()}\n")


def _git(*args: str) -> str:
    done = subprocess.run(["git", *args], capture_output=True, text=True, check=True)
    return done.stdout.strip()
