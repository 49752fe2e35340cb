"""Move a root of the layout before, where a slot was the worktree itself, over to that of slots.py.

Loaded by a sync that checks its configuration anew, as the first one of another release does. What is served can
only be moved under a reader's feet, so it is copied to the other slot by hard links, edits by hand included, and
served from there; then what is idle is renamed. Killed anywhere, a saltenv is served whole from one place or the
other, and the next sync goes on: what was prepared for the quick road is only kept when all of this is done.
"""

from __future__ import annotations

import os
import time

from saltbranch.base import files
from saltbranch.git.mirror import Mirror, remove_tree
from saltbranch.repository import prepared
from saltbranch.serve.slots import COMMIT, NAMES, TREE, Slots

# Seconds. A reader that had just followed the old link when it was replaced has reached the folder by then.
_PATIENCE = 0.2
_ASIDE = "~.saltbranch-new"


def move_over(root: str, mirror: Mirror) -> list[str]:
    """Bring every branch below `root` to this layout; what was done. The caller holds the root's lock.

    Raises OSError.
    """
    with os.scandir(f"{root}/slots") as entries:
        names = sorted(e.name for e in entries if e.is_dir(follow_symlinks=False))
    branches = [Slots(root, name, mirror) for name in names]
    if os.path.exists(f"{root}/{files.FIRST_MARKER}"):
        # First, so that no saltbranch of the layout before works on what it does not know.
        os.rename(f"{root}/{files.FIRST_MARKER}", f"{root}/{files.MARKER}")
    for slots in branches:
        for name in NAMES:
            _finish_turning(slots.folder_of(name))
    moved = [slots.dirname for slots in branches if _serve_copy(slots)]
    flat = [(slots, name) for slots in branches for name in NAMES if _is_flat(slots, name)]
    if moved or flat:
        _correct_record(root, branches, moved)
    if flat:
        time.sleep(_PATIENCE)
    for slots, name in flat:
        _turn(slots, name)
    return [
        f"moved {root}/slots/{dirname} to the layout of this release; what it serves is the same"
        for dirname in moved
    ]


def _serve_copy(slots: Slots) -> bool:
    """Serve the same files from a slot of this layout; whether it was not so already."""
    name = slots.flat()
    if name is None:
        return False
    other = slots.idle()
    slots.copy(name, other)
    slots.switch(other)
    return True


def _correct_record(root: str, branches: list[Slots], moved: list[str]) -> None:
    """Record the slots that are served now: a sync would take it for a switch that was not told yet."""
    record = prepared.load_served(root)
    for slots in branches:
        name, known = slots.served(), record.get(slots.dirname)
        if not (name and known):
            continue
        head = slots.head(name)
        if head == known.commit or (head is None and slots.dirname in moved):
            known.slot = name
    prepared.save_served(root, record)


def _is_flat(slots: Slots, name: str) -> bool:
    """Whether the idle slot `name` is a worktree itself, one that git knows."""
    gitdir = slots.gitdir_path(name)
    link = files.read_or_none(f"{slots.folder_of(name)}/.git")
    return link == os.fsencode(f"gitdir: {gitdir}\n") and os.path.exists(f"{gitdir}/gitdir")


def _turn(slots: Slots, name: str) -> None:
    """Make the worktree `name` the `tree` of a slot."""
    folder, gitdir = slots.folder_of(name), slots.gitdir_path(name)
    aside = f"{folder}{_ASIDE}"
    os.mkdir(aside)
    head = (files.read_or_none(f"{gitdir}/HEAD") or b"").decode("ascii", "replace")
    files.write_atomic(f"{aside}/{COMMIT}", head, durable=False)
    files.write_atomic(f"{gitdir}/gitdir", f"{folder}/{TREE}/.git\n", durable=False)
    os.rename(folder, f"{aside}/{TREE}")
    os.rename(aside, folder)


def _finish_turning(folder: str) -> None:
    """Finish what a killed run left."""
    aside = f"{folder}{_ASIDE}"
    if os.path.exists(f"{aside}/{TREE}") and not os.path.lexists(folder):
        os.rename(aside, folder)
    else:
        remove_tree(aside)
