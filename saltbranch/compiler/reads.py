"""What a fork says that it read, as reads that a cache can look up again: nothing outside of the tree is believed."""

from __future__ import annotations

import functools
import os
import posixpath
from collections.abc import Iterable

from saltbranch.compiler.model import (
    Reads,
)

_MOST = 4096  # names whose answer is remembered: minions read the same files


def reads_of(told: bytes, folders: tuple[str, ...], ciphers: set[str]) -> Reads | None:
    """What was told to have been read, a name after another, each with its kind before and a zero after it.

    None when anything in it is not a path below `folders`: then nobody can say what a tree has to contain.
    """
    files: set[str] = set()
    globs: set[tuple[str, str]] = set()
    listings: set[str] = set()
    whole = False
    if told and not told.endswith(b"\0"):
        return None
    for item in told[:-1].split(b"\0") if told else ():
        kind, name = item[:1], os.fsdecode(item[1:])
        folder, _, pattern = name.partition("\1")
        if not is_below(folder, folders):
            return None
        if kind == b"f":
            files.add(name)
        elif kind == b"l":
            listings.add(name)
        elif kind == b"g":
            globs.add((folder, pattern))
        elif kind == b"w":
            whole = True
        else:
            return None
    return Reads(
        tuple(sorted(files)),
        tuple(sorted(globs)),
        tuple(sorted(listings)),
        tuple(sorted(ciphers)),
        whole,
    )


def reads_in(state: Iterable[str]) -> Reads:
    """The reads that `Tree.state_of` made the keys of `state` of."""
    found: dict[str, list[str]] = {}
    for key in state:
        kind, _, rest = key.partition(" ")
        found.setdefault(kind, []).append(rest)
    globs = (rest.partition("\0") for rest in found.get("g", ()))
    return Reads(
        tuple(found.get("f", ())),
        tuple((folder, pattern) for folder, _, pattern in globs),
        tuple(found.get("l", ())),
        tuple(found.get("c", ())),
        "w" in found,
    )


@functools.lru_cache(maxsize=_MOST)
def is_below(path: str, folders: tuple[str, ...]) -> bool:
    """Whether `path`, as it stands, is one of `folders` or inside of one."""
    return posixpath.normpath(path) == path and any(
        path == folder or path.startswith(f"{folder}/") for folder in folders
    )


@functools.lru_cache(maxsize=_MOST)
def is_inner(source: str) -> bool:
    """Whether what a state names as salt:// is below the states."""
    path = source.rstrip("/")
    return posixpath.normpath(path) == path and not path.startswith(("/", "../")) and path != ".."
