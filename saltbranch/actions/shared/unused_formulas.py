"""Which mirrors of formulas below a root no one needs: nothing that is served holds a file of theirs, and no branch or
tag names their URL. They can be fetched again; what a person put there is left alone.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import Literal

from saltbranch.base import files
from saltbranch.git import submodules
from saltbranch.git.mirror import FORMULAS, Mirror
from saltbranch.repository import pinned
from saltbranch.serve import pins
from saltbranch.serve.own_files import entries_of
from saltbranch.serve.slots import NAMES, PINS

Verdict = Literal["unused", "aside", "unfinished", "kept", "foreign"]

WHY = {
    "unused": "nothing that is served and no branch has a submodule from there",
    "aside": "put aside when a mirror was made anew",
    "unfinished": "a mirror whose making was stopped",
}
_MIRROR, _LOCK, _ASIDE, _NEW = ".git", ".git.lock", ".git.damaged", ".git.saltbranch-new"


def judged(
    root: str, remote: str, mirror: Mirror, entries: Iterator[os.DirEntry[str]]
) -> Iterator[tuple[os.DirEntry[str], Verdict]]:
    """What is to become of each of `entries`, which are in the folder of the mirrors. Raises GitError, OSError."""
    known = list(entries)
    needed = _in_slots(root) | _named(mirror, remote) if known and mirror.exists() else None
    for entry in known:
        yield entry, _verdict(entry, needed)


@contextlib.contextmanager
def locked(root: str, paths: Iterable[str]) -> Iterator[None]:
    """Hold the locks of those of `paths` that are mirrors of formulas, or beside one: verbs fetch into them without the
    root's lock. Raises LockedError.
    """
    with contextlib.ExitStack() as stack:
        for path in paths:
            if os.path.dirname(path) == f"{root}/{FORMULAS}":
                mirror = path.removesuffix(".damaged").removesuffix(".saltbranch-new")
                stack.enter_context(files.Lock(f"{mirror}.lock"))
        yield


def _verdict(entry: os.DirEntry[str], needed: set[str] | None) -> Verdict:
    name = entry.name
    if name.endswith(_LOCK) and entry.is_file(follow_symlinks=False):
        return "kept"  # whoever waits for it would hold another one
    if not entry.is_dir(follow_symlinks=False):
        return "foreign"
    if name.endswith(_NEW):
        return "unfinished"
    is_aside = name.endswith(_ASIDE)
    if not (is_aside or name.endswith(_MIRROR)) or not _is_bare(entry.path):
        return "foreign"
    if needed is None:
        return "kept"  # without the control repository nobody knows
    is_needed = name.removesuffix(".damaged") in needed
    if not is_aside:
        return "kept" if is_needed else "unused"
    # A sync that was killed may have put it aside, and nothing is in its place yet.
    is_replaced = os.path.isdir(entry.path.removesuffix(".damaged"))
    return "aside" if is_replaced or not is_needed else "kept"


def _is_bare(path: str) -> bool:
    return all(os.path.lexists(f"{path}/{name}") for name in ("HEAD", "config", "objects"))


def _in_slots(root: str) -> set[str]:
    """The mirrors that a slot has files of, the idle ones too, for git reads them when it changes that slot."""
    found: set[str] = set()
    for branch in entries_of(f"{root}/slots"):
        for name in NAMES:
            data = files.read_or_none(f"{branch.path}/{name}/{PINS}")
            held = pins.loads(data) if data else None
            found |= {placed.mirror for placed in held.placed.values()} if held else set()
    return found


def _named(mirror: Mirror, remote: str) -> set[str]:
    """The mirrors of the URLs in the .gitmodules of all branches and tags here, and of what is kept."""
    refs = mirror.git.out("for-each-ref", "--format=%(objectname)").split()
    asked = "".join(f"{oid}:{submodules.FILE}\n" for oid in dict.fromkeys(refs))
    told = mirror.git.out("cat-file", "--batch-check=%(objectname)", stdin=asked.encode())
    store = pinned.of_root("")
    found: set[str] = set()
    for line in dict.fromkeys(told.splitlines()):
        if " " not in line:  # "... missing" where a commit has none
            for address in submodules.addresses_in(mirror.git, line, remote):
                found.add(os.path.basename(store.of(address).path))
    return found
