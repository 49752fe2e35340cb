"""Files that stand in for what a commit lacks, or has only encrypted: kept in a folder that mirrors the repository.

Whatever can be read counts as it is; a stand-in for it is idle.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass

from saltbranch.compiler import pgp
from saltbranch.git.program import Git
from saltbranch.git.tree import contents, files_below

_SUBMODULE = "160000"
_FILTERS = r"^filter\.(git-crypt|crypt)(-[^.]*)?\.smudge$"


@dataclass(frozen=True, slots=True)
class Offer:
    """Where stand-ins are. folder: inside the repository. beyond: a commit whose folder counts for what the
    folder of a tree itself has not, such as one from before there were any.
    """

    folder: str
    beyond: str | None = None

    def files(self, git: Git, name: str) -> dict[str, str]:
        """Path in the repository to the blob that stands in for it, for the tree `name`. Raises GitError."""
        own = files_below(git, name, self.folder)
        return {**(files_below(git, self.beyond, self.folder) if self.beyond else {}), **own}


def let_in(
    git: Git, offered: Mapping[str, str], entries: MutableMapping[str, tuple[str, str]]
) -> dict[str, str]:
    """Put those of `offered` into `entries` (path to mode and blob) that are needed there; path to blob of these.

    Raises GitError.
    """
    folders = {parent for path in entries for parent in _parents(path)}
    found = {}
    for path in _unread(git, offered, entries):
        above = next((p for p in _parents(path) if p in entries), None)
        if path in folders or (above is not None and entries[above][0] != _SUBMODULE):
            continue  # a folder, or below a file or a link
        if above is not None:
            del entries[above]
        found[path] = offered[path]
        entries[path] = ("100644", offered[path])
    return found


def write(git: Git, used: Mapping[str, str], folder: str) -> None:
    """Write what `let_in` found below `folder`, in the place of what git wrote there. Raises GitError.

    No link is on the way to one.
    """
    held = contents(git, used.values()) if used else {}
    for path, oid in used.items():
        os.makedirs(os.path.dirname(f"{folder}/{path}"), exist_ok=True)
        with open(f"{folder}/{path}", "wb") as file:
            file.write(held[oid])


def _unread(
    git: Git, offered: Iterable[str], entries: Mapping[str, tuple[str, str]]
) -> Iterable[str]:
    """Those of `offered` that are not there, or that nobody here can read."""
    there = {p: entries[p][1] for p in offered if p in entries and entries[p][0].startswith("100")}
    held = contents(git, there.values()) if there else {}
    sealed = {p: program for p, oid in there.items() if (program := pgp.sealed_by(held[oid]))}
    if sealed and git.run("config", "--get-regexp", _FILTERS).text:
        # This machine's git deciphers these as it writes them.
        sealed = {p: program for p, program in sealed.items() if program not in _BY_FILTER}
    return [p for p in offered if p in sealed or (p not in there and p not in entries)]


_BY_FILTER = (pgp.GIT_CRYPT, "transcrypt")


def _parents(path: str) -> Iterable[str]:
    while path := posixpath.dirname(path):
        yield path


def told(used: Iterable[str], folder: str) -> str | None:
    """One line about the files that stand in; None where none does."""
    paths = sorted(set(used))
    if not paths:
        return None
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    many = "1 file stands" if len(paths) == 1 else f"{len(paths)} files stand"
    what = f"{', '.join(paths[:_SHOWN])}{more}"
    return f"{many} in for what is encrypted or missing (stand_in: {folder}): {what}"


_SHOWN = 3
