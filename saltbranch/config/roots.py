"""Of which folders of the repository Salt's roots of a saltenv are made: the one place that says so.

A word is one folder, which Salt is given where it lies. A list is *composed*: beside the branch's files in its slot
stands one folder of links for the states, one for the pillar, in Salt's order (the first folder that has a file
wins), made anew at every commit. So globs and changed lists need no restart of a master, which reads `file_roots` at
its start only.

What a minion must not read, and what is no state, is told by patterns and not by what a commit holds, so that a link
can be judged alone.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Parts = tuple[str, ...]

STATES, PILLAR = KINDS = ("states", "pillar")
KEYS = {STATES: "states_dir", PILLAR: "pillar_dir"}
HERE = "."
# Where compiling and checking have what is composed: no folder of a repository has such a name.
PREFIXES = {STATES: "(states)", PILLAR: "(pillar)"}
# What formulas and repositories keep beside their states; named in full it is let in all the same.
NO_STATES = frozenset(("bin", "ci", "doc", "docs", "test", "tests"))
# Of the repository's root: what is read by saltbranch, and by nobody's minions.
NOT_SERVED = ("tests", "saltbranch.yaml")
ALL = "*"
_GLOB = "*?["


# Of what all of them are told in one line: no name holds control characters.
_SECTION, _ENTRY, _NAME = "\x1d", "\x1e", "\x1f"


class Root:
    """One entry of a list: a folder, or a glob of folders, and what counts of what is right inside it. A value.

    names: globs; empty for all of it.
    """

    __slots__ = ("folder", "names")

    def __init__(self, folder: str, names: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.names = names

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Root) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return f"Root{self.key!r}"

    @property
    def key(self) -> tuple[str, tuple[str, ...]]:
        """All of it."""
        return self.folder, self.names

    @property
    def parts(self) -> Parts:
        """The names of the way to the folder; none for the repository's root."""
        return () if self.folder == HERE else tuple(self.folder.split("/"))

    @property
    def is_glob(self) -> bool:
        """Whether it may stand for several folders."""
        return any(sign in self.folder for sign in _GLOB)

    def lets_in(self, name: str, *, is_folder: bool) -> bool:
        """Whether what is called `name` right inside the folder counts."""
        if not self.names:
            return name != ".git"
        if name.startswith("."):
            return False
        return any(_is_named(name, pattern, is_folder=is_folder) for pattern in self.names)

    def __str__(self) -> str:
        return self.folder if not self.names else f"{self.folder}: [{', '.join(self.names)}]"


def _is_named(name: str, pattern: str, *, is_folder: bool) -> bool:
    if name == pattern:
        return True
    if pattern == ALL and not is_folder and not name.endswith(".sls"):
        return False
    return name not in NO_STATES and fits(name, pattern)


def fits(name: str, glob: str) -> bool:
    """Whether a name is of a glob. A switch does without the import of regular expressions, which costs as much."""
    signs = sum(glob.count(sign) for sign in _GLOB)
    if not signs:
        return name == glob
    if signs == 1 and glob.endswith("*"):
        return name.startswith(glob[:-1])
    if signs == 1 and glob.startswith("*"):
        return name.endswith(glob[1:])
    from fnmatch import fnmatchcase

    return fnmatchcase(name, glob)


class Roots:
    """The roots of states and of pillar of all saltenvs. A value. apart: paths that are in no composed states.

    states_word, pillar_word: the folder where it is one word, else empty.
    """

    __slots__ = ("apart", "pillar", "pillar_word", "states", "states_word")

    def __init__(
        self,
        states: tuple[Root, ...],
        pillar: tuple[Root, ...],
        states_word: str,
        pillar_word: str,
        apart: tuple[str, ...] = (),
    ) -> None:
        self.states = states
        self.pillar = pillar
        self.states_word = states_word
        self.pillar_word = pillar_word
        self.apart = apart

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Roots) and self.text() == other.text()

    def __hash__(self) -> int:
        return hash(self.text())

    def __repr__(self) -> str:
        return f"Roots({self.told(STATES)!r}, {self.told(PILLAR)!r})"

    def of(self, kind: str) -> tuple[Root, ...]:
        """The entries of `kind` in their order."""
        return self.states if kind == STATES else self.pillar

    def word(self, kind: str) -> str:
        """The folder of the repository that Salt is given as it is; empty where it is composed."""
        return self.states_word if kind == STATES else self.pillar_word

    def prefix(self, kind: str) -> str:
        """The folder below which compiling and checking have the files of `kind`."""
        return self.word(kind) or PREFIXES[kind]

    @property
    def composed(self) -> tuple[str, ...]:
        """The kinds that are composed."""
        return tuple(kind for kind in KINDS if not self.word(kind))

    def told(self, kind: str) -> str:
        """How messages call them."""
        return self.word(kind) or ", ".join(map(str, self.of(kind)))

    def written(self, kind: str) -> object:
        """As it stands in the file, in its plain spelling."""
        entries = [{r.folder: list(r.names)} if r.names else r.folder for r in self.of(kind)]
        return self.word(kind) or entries

    def barred(self, kind: str, root: Root) -> tuple[Parts, ...]:
        """Patterns of paths that do not count in `root` of `kind`, whatever its names say."""
        found = list(self.inner(kind, root))
        if kind == STATES:
            found += self.secret
            found += self.unserved
        else:
            found += [p for p in (r.parts for r in self.states) if is_inner(root.parts, p)]
        return tuple(found)

    def inner(self, kind: str, root: Root) -> tuple[Parts, ...]:
        """The folders of the other entries that lie inside of `root`."""
        return tuple(r.parts for r in self.of(kind) if is_inner(root.parts, r.parts))

    @property
    def secret(self) -> tuple[Parts, ...]:
        """Patterns of the paths of pillar: no minion may read what is there as a file."""
        if self.pillar_word:
            return (_literal(self.pillar_word),)
        shared = {root.folder for root in self.states} | {HERE}
        found: list[Parts] = []
        for root in self.pillar:
            if root.names and root.folder in shared:
                found += [(*root.parts, name) for name in root.names]
            else:
                found.append(root.parts)
        return tuple(found)

    @property
    def unserved(self) -> tuple[Parts, ...]:
        """Patterns of the other paths that no composed states hold."""
        return ((".*",), *map(_literal, self.apart)) if STATES in self.composed else ()

    def name_of(self, kind: str, path: str) -> str | None:
        """The name below the root that the file `path` has, as far as patterns tell; None where it has none."""
        if word := self.word(kind):
            return path[len(word) + 1 :] if path.startswith(f"{word}/") else None
        parts = tuple(path.split("/"))
        for root in self.of(kind):
            depth = len(root.parts)
            if len(parts) <= depth or not all(map(fits, parts, root.parts)):
                continue
            is_folder = len(parts) > depth + 1
            if root.lets_in(parts[depth], is_folder=is_folder) and not is_in(
                parts, self.barred(kind, root)
            ):
                return "/".join(parts[depth:])
        return None

    def paths_of(self, kind: str, name: str) -> list[str]:
        """Where the file `name` below the root may be in the repository, of globs aside, in their order."""
        folders = [root.parts for root in self.of(kind) if not root.is_glob]
        return ["/".join((*parts, name)) for parts in folders]

    def reaches(self, folder: str) -> bool:
        """Whether files below `folder` may have a name in states or pillar."""
        return any(self._reaches(kind, tuple(folder.split("/"))) for kind in KINDS)

    def _reaches(self, kind: str, parts: Parts) -> bool:
        for root in self.of(kind):
            depth = len(root.parts)
            if is_above(parts, [root.parts]) or matches(parts, root.parts):
                return True
            inside = is_in(parts, [root.parts]) and not is_in(parts, self.barred(kind, root))
            if inside and root.lets_in(parts[depth], is_folder=True):
                return True
        return False

    def text(self) -> str:
        """All of it in one line; `of_text` reads it, without a parser that would have to be imported."""
        kinds = (_ENTRY.join(_NAME.join((r.folder, *r.names)) for r in self.of(k)) for k in KINDS)
        return _SECTION.join((*kinds, self.states_word, self.pillar_word, _ENTRY.join(self.apart)))

    @property
    def identity(self) -> str:
        """Stands for all that is composed by; empty where nothing is."""
        if not self.composed:
            return ""
        import hashlib

        return hashlib.sha256(self.text().encode("utf-8", "surrogateescape")).hexdigest()[:12]


def of_text(text: str) -> Roots:
    """What `Roots.text` gave. Raises ValueError."""
    states, pillar, states_word, pillar_word, apart = text.split(_SECTION)
    return Roots(
        _again(states), _again(pillar), states_word, pillar_word, tuple(apart.split(_ENTRY))
    )


def _again(text: str) -> tuple[Root, ...]:
    entries = (entry.split(_NAME) for entry in text.split(_ENTRY))
    return tuple(Root(folder, tuple(names)) for folder, *names in entries)


def plain(states_dir: str, pillar_dir: str) -> Roots:
    """Those of two words."""
    return Roots((Root(states_dir),), (Root(pillar_dir),), states_dir, pillar_dir)


def _literal(path: str) -> Parts:
    """The pattern that only `path` is of."""
    return tuple(
        part.replace("[", "[[]").replace("*", "[*]").replace("?", "[?]") for part in path.split("/")
    )


def is_composed(folder: str) -> bool:
    """Whether a folder that Salt is told (`Config.salt_root`) is one of links."""
    return folder.endswith(tuple(f"/served/roots/{kind}" for kind in KINDS))


def matches(parts: Parts, pattern: Parts) -> bool:
    """Whether a path is of a pattern, name by name; case does not save anybody where files have none."""
    return len(parts) == len(pattern) and all(
        fits(part.casefold(), glob.casefold()) for part, glob in zip(parts, pattern, strict=True)
    )


def is_in(parts: Parts, patterns: Iterable[Parts]) -> bool:
    """Whether a path is, or lies below, what one of `patterns` stands for."""
    return any(len(parts) >= len(p) and matches(parts[: len(p)], p) for p in patterns)


def is_surely_in(parts: Parts, patterns: Iterable[Parts]) -> bool:
    """The same by the letter, for what a path is allowed since it is there."""
    return any(len(parts) >= len(p) and all(map(fits, parts, p)) for p in patterns)


def is_above(parts: Parts, patterns: Iterable[Parts]) -> bool:
    """Whether what one of `patterns` stands for may lie below a path."""
    return any(len(parts) < len(p) and matches(parts, p[: len(parts)]) for p in patterns)


def is_inner(outer: Parts, inner: Parts) -> bool:
    """Whether a folder may lie inside of another, as far as that is told without trying."""
    return len(inner) > len(outer) and _may_meet(outer, inner[: len(outer)])


def _may_meet(one: Parts, other: Parts) -> bool:
    """Whether one folder may be of both patterns, as far as that is told without trying."""
    return all(
        fits(a.casefold(), b.casefold()) or fits(b.casefold(), a.casefold())
        for a, b in zip(one, other, strict=True)
    )
