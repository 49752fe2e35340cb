"""The files that `check` reads: those of a commit or of a work tree, with the names that links add, and what stands
in for files that are encrypted or missing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from saltbranch.base.errors import RefusedError
from saltbranch.check import allow
from saltbranch.check.checked_repository import CheckedRepository
from saltbranch.check.project import TESTS
from saltbranch.compiler import pgp
from saltbranch.config import locate, signers
from saltbranch.config.roots import KINDS
from saltbranch.git import links
from saltbranch.git.tree import Blob, contents, files_below
from saltbranch.repository import composition
from saltbranch.repository.composition import InCommit

ReadAll = Callable[[Callable[[str], bool]], dict[str, Blob]]


@dataclass(frozen=True, slots=True)
class Files:
    """blobs: by path. aliases: names that links add, and where the file is. stand_ins: path to where what stands in
    for it is. composed: path to area and name of the files of composed roots. problem: why these cannot be composed.
    gaps: formulas whose files are not here, and why. formulas: the paths of all others. refused: gaps for
    which masters refuse the commit.
    """

    blobs: dict[str, Blob]
    aliases: dict[str, str]
    stand_ins: Mapping[str, str] = field(default_factory=dict)
    composed: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    problem: str = ""
    gaps: Mapping[str, str] = field(default_factory=dict)
    formulas: tuple[str, ...] = ()
    refused: frozenset[str] = frozenset()

    def area(self, place: CheckedRepository, path: str) -> tuple[str, str]:
        """What a file is by its path, and its name below the root of that."""
        kind = area(place, path)
        if kind not in KINDS:
            return kind, path.removeprefix(f"{kind}/")
        if not place.roots.word(kind):
            return self.composed.get(path, ("", path))
        return kind, path[len(place.roots.word(kind)) + 1 :]


def read(place: CheckedRepository, read_all: ReadAll) -> Files:
    """All files. Raises GitError."""
    blobs = read_all(lambda path: _wanted(place, path))
    stand_ins = _let_in(place, blobs)
    aliases = _aliases(place, blobs)
    away = {path for path in aliases.values() if not _wanted(place, path)}
    if away:  # formulas beside the states, for example
        whole = read_all(lambda path: path in away or _wanted(place, path))
        blobs = {**whole, **{path: blobs[path] for path in stand_ins}}
    aliases = {name: path for name, path in aliases.items() if path in blobs}
    if not place.roots.composed:
        return Files(blobs, aliases, stand_ins)
    composed, problem = _composed(place, [*blobs, *aliases])
    kept = {
        name: path for name, path in aliases.items() if name in composed or _has_word(place, name)
    }
    return Files(blobs, kept, stand_ins, composed, problem)


def _aliases(place: CheckedRepository, blobs: Mapping[str, Blob]) -> dict[str, str]:
    linked = {b.path: os.fsdecode(b.data or b"") for b in blobs.values() if b.kind == "link"}
    files = [b.path for b in blobs.values() if b.kind == "file"]
    words = [place.roots.word(kind) for kind in KINDS]
    return links.names(files, linked, words if all(words) else None)


def _has_word(place: CheckedRepository, path: str) -> bool:
    """Whether a file is of the kind that is no list."""
    kind = area(place, path)
    return kind in KINDS and bool(place.roots.word(kind))


def _composed(
    place: CheckedRepository, paths: Iterable[str]
) -> tuple[dict[str, tuple[str, str]], str]:
    """Path to area and name, and what is wrong. What is not read (submodules, links) has a name, too."""
    listing, found, problem = InCommit(paths), {}, ""
    for kind in place.roots.composed:
        try:
            names = composition.names(place.roots, kind, listing)
        except RefusedError as err:
            problem = f"{err.message} ({err.hint})"
            continue
        found.update({path: (kind, name) for name, path in names.items()})
    return found, problem


def _wanted(place: CheckedRepository, path: str) -> bool:
    read = (allow.FILE, allow.BASELINE, locate.FILE_NAME, signers.DEFAULT)
    if path in read or area(place, path) != "":
        return True
    return place.stand_in is not None and path.startswith(f"{place.stand_in}/")


def area(place: CheckedRepository, path: str) -> str:
    """What a file is by its path: of the states, of the pillar, a state test, or "". Of composed roots: it may be."""
    for kind in KINDS:
        if place.roots.name_of(kind, path) is not None:
            return kind
    # The repository may keep other tests there, too.
    is_test = path.startswith(f"{TESTS}/") and path.endswith((".yaml", ".yml"))
    return TESTS if is_test else ""


def _let_in(place: CheckedRepository, blobs: dict[str, Blob]) -> dict[str, str]:
    """Put what stands in into `blobs`, as `stand_ins.let_in` does for what is compiled."""
    if place.stand_in is None:
        return {}
    begin, found = f"{place.stand_in}/", {}
    folders = {parent for path in blobs for parent in parents(path)}
    served = _served(place, blobs)
    for blob in _offered(place, blobs):
        path = blob.path.removeprefix(begin)
        is_served = f"{path}/".startswith(served) or area(place, path) in KINDS
        if not is_served or path.rpartition("/")[2].startswith(".git"):
            continue
        there = blobs.get(path)
        if path in folders or (there is not None and not _is_sealed(there)):
            continue
        above = next((p for p in parents(path) if p in blobs), None)
        if above is not None:
            if blobs[above].kind != "submodule":
                continue
            del blobs[above]
        blobs[path] = Blob(path, "file", blob.size, blob.data)
        found[path] = blob.path
    return found


def _served(place: CheckedRepository, blobs: Mapping[str, Blob]) -> tuple[str, ...]:
    """The folders and files that Salt comes to, each with a slash: links lead out of states and pillar."""
    known = {word for kind in KINDS if (word := place.roots.word(kind))}
    for _ in range(_LINKS_DEEP):
        inside = tuple(f"{path}/" for path in known)
        led = [b for b in blobs.values() if b.kind == "link" and b.path.startswith(inside)]
        ends = {links.target(b.path, os.fsdecode(b.data or b"")) for b in led} - {None, "."}
        if ends <= known:
            break
        known |= {end for end in ends if end is not None}
    return tuple(f"{path}/" for path in known)


# Links that lead to links, as in compiler/tree.py.
_LINKS_DEEP = 8


def _offered(place: CheckedRepository, blobs: Mapping[str, Blob]) -> list[Blob]:
    """The files of the folder of stand-ins, first those of the production branch that the tree itself lacks."""
    begin = f"{place.stand_in}/"
    own = [b for b in blobs.values() if b.kind == "file" and b.path.startswith(begin)]
    if place.production is None or place.stand_in is None:
        return own
    oids = files_below(place.git, place.production, place.stand_in)
    more = {path: oid for path, oid in oids.items() if f"{begin}{path}" not in blobs}
    held = contents(place.git, more.values()) if more else {}
    beyond = [Blob(f"{begin}{p}", "file", len(held[oid]), held[oid]) for p, oid in more.items()]
    return [*own, *beyond]


def _is_sealed(blob: Blob) -> bool:
    return blob.kind == "file" and pgp.sealed_by(blob.data or b"") is not None


def parents(path: str) -> Iterator[str]:
    """The folders above `path`, the nearest first."""
    while path := path.rpartition("/")[0]:
        yield path
