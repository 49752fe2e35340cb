"""Two sides that both changed .gitmodules: git conflicts where both add an entry at its end.

Merged by entries: each counts as the one side has it that changed it. The text follows from the three files alone, so
it is the same on a laptop and on a master; git's own parser has the last word on what it says.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from saltbranch.base.text import one_line, some
from saltbranch.git import merge
from saltbranch.git.program import Git
from saltbranch.git.submodules import FILE, keys_in

_HEADER = re.compile(r'\[submodule "((?:[^"\\\n]|\\["\\])+)"\][ \t]*')
_MODE = "100644"

_Sections = dict[str, str]
"""Header to its text, in order; the empty word to what comes before the first."""

_Keys = dict[str, list[tuple[str, str]]]
"""What `keys_in` reads."""


def settled(git: Git, ours: str, theirs: str) -> tuple[str, str] | None:
    """The blob of the merged .gitmodules, and what is to be said; None where a person has to look.

    Raises GitError.
    """
    stages = merge.stages(git, ours, theirs, FILE)
    if not {2, 3} <= set(stages) or any(mode != _MODE for mode, _ in stages.values()):
        return None
    blobs = {number: oid for number, (_, oid) in stages.items()}
    said = {number: keys_in(git, oid) for number, oid in blobs.items()}
    if any(problem for _, problem in said.values()):
        return None
    texts = {number: git.out("cat-file", "blob", oid) for number, oid in blobs.items()}
    sections = {number: _sections(text) for number, text in texts.items()}
    base, mine, other = (sections.get(number, {}) for number in (1, 2, 3))
    if base is None or mine is None or other is None:
        return None
    chosen = _merged(base, mine, other)
    if chosen is None:
        return None
    text = "".join(f"{part.rstrip()}\n" for part in chosen.values() if part.strip())
    oid = git.out("hash-object", "-w", "--stdin", stdin=os.fsencode(text)).strip()
    new, problem = keys_in(git, oid)
    if problem or not _says(new, {number: keys for number, (keys, _) in said.items()}):
        return None
    return oid, f"both sides changed {FILE}, but no entry of it: {_told(base, mine, other)}"


def _told(base: _Sections, mine: _Sections, other: _Sections) -> str:
    sides = []
    for side, name in ((mine, "the target"), (other, "what is merged")):
        changed = [
            one_line(_name(header))
            for header in dict.fromkeys((*base, *side))
            if header and base.get(header) != side.get(header)
        ]
        sides.append(f"{some(changed, 3)} of {name}")
    return f"{' and '.join(sides)} are taken"


def _name(header: str) -> str:
    found = _HEADER.fullmatch(header)
    return found[1] if found else header


def _sections(text: str) -> _Sections | None:
    """The entries of a file that is written as git writes it; None for any other, which a person may read."""
    if "\\\n" in text or "\r" in text or "\0" in text:
        return None
    found: _Sections = {"": ""}
    header = ""
    for line in text.splitlines(keepends=True):
        if line.lstrip().startswith("["):
            header = line.strip()
            if not _HEADER.fullmatch(header) or header in found:
                return None
            found[header] = ""
        found[header] += line
    return found


def _merged(base: _Sections, mine: _Sections, other: _Sections) -> _Sections | None:
    """In the order of the target, then of what the other side adds; None where both changed one entry."""
    found: _Sections = {}
    for header in dict.fromkeys((*mine, *base, *other)):
        versions = [_plain(side.get(header)) for side in (base, mine, other)]
        if versions[1] == versions[2] or versions[2] == versions[0]:
            taken = mine
        elif versions[1] == versions[0]:
            taken = other
        else:
            return None
        if header in taken:
            found[header] = taken[header]
    return found


def _plain(text: str | None) -> str | None:
    return None if text is None else text.rstrip()


def _says(new: _Keys, sides: Mapping[int, _Keys]) -> bool:
    """Whether git reads from the merged text what it reads from the sides, and no two entries of one path."""
    before, ours, theirs = (sides.get(number, {}) for number in (1, 2, 3))
    wanted = {}
    for name in {*before, *ours, *theirs}:
        taken = ours if theirs.get(name) == before.get(name) else theirs
        if name in taken:
            wanted[name] = taken[name]
    paths = [value for entry in new.values() for key, value in entry if key == "path"]
    return new == wanted and len(paths) == len(set(paths))
