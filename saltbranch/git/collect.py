"""Packing a mirror, which keeps all that slots need. Loaded by a sync that has fetched something."""

from __future__ import annotations

import os

from saltbranch.git.mirror import FORMULAS, LABS, WORKTREES, Mirror
from saltbranch.git.pinned_tree import with_objects
from saltbranch.git.program import Git

_LONGEST = 3600  # seconds


def tidy(mirror: Mirror) -> None:
    """Pack what many small fetches left, when there is enough of it (git-gc(1), gc.auto's measure)."""
    folder = mirror.path
    if len(entries(f"{folder}/refs/tags")) > 30:
        mirror.git.run("pack-refs", "--all")  # hundreds of small files would slow down every look
    packs = sum(n.endswith(".pack") for n in entries(f"{folder}/objects/pack"))
    loose = len(entries(f"{folder}/objects/17"))
    if packs > 50 or loose > 27:
        collect(folder)


def collect(mirror: str) -> None:
    """Pack what is used, and drop what has not been for two weeks. mirror: its folder. Raises OSError.

    git asks HEAD and index of every worktree; those of labs, which it knows none of, are links there meanwhile. What
    a run that was killed left of these is as good for the next one.
    """
    names = entries(f"{mirror}/{LABS}")
    if names:
        os.makedirs(f"{mirror}/{WORKTREES}", exist_ok=True)
    for name in names:
        if not os.path.lexists(link := f"{mirror}/{WORKTREES}/{name}"):
            os.symlink(link_of(name), link)
    seeing(mirror).run("gc", "--quiet", config=("gc.autoDetach=false",), timeout=_LONGEST)
    for name in names:
        if os.path.islink(link := f"{mirror}/{WORKTREES}/{name}"):
            os.unlink(link)


def link_of(name: str) -> str:
    """Where the link in WORKTREES leads for the slot of a lab."""
    return f"../{LABS}/{name}"


def seeing(mirror: str) -> Git:
    """git that sees the objects of submodules: the indexes of slots name them, too."""
    git = Git(mirror)
    below = f"{os.path.dirname(mirror)}/{FORMULAS}"
    folders = [f"{below}/{name}" for name in entries(below) if name.endswith(".git")]
    return with_objects(git, folders) if folders else git


def entries(folder: str) -> list[str]:
    """The names in `folder`; none where it cannot be read."""
    try:
        return os.listdir(folder)
    except OSError:
        return []
