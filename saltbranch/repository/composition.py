"""What is composed of the roots of a saltenv at one commit: which name is which file or folder of the branch.

The same for the files of a slot on disk and for the names of a commit that is not checked out: both are a listing
here. A folder that one root alone has is one entry, so as a rule there are as many as names at the top.
"""

from __future__ import annotations

import os
from fnmatch import fnmatchcase

from saltbranch.base.errors import RefusedError
from saltbranch.config.roots import KEYS, Root, Roots, is_above, is_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Protocol

    class Listing(Protocol):
        """Folders of one commit; "" is the repository's own."""

        def children(self, folder: str) -> Mapping[str, bool]:
            """The names right inside `folder`, and whether each is a folder or leads to one."""


# Folders that two roots share, one in the other; links may make circles.
_DEEPEST = 60
_MOST = 100_000


class OnDisk:
    """The files below the folder `top`."""

    def __init__(self, top: str) -> None:
        self.top = top

    def children(self, folder: str) -> Mapping[str, bool]:
        """As `Listing` says. Raises OSError."""
        try:
            with os.scandir(f"{self.top}/{folder}") as entries:
                return {entry.name: entry.is_dir() for entry in entries}
        except (FileNotFoundError, NotADirectoryError):
            return {}


class InCommit:
    """The files and links `paths`, with the names that links add among them."""

    def __init__(self, paths: Iterable[str]) -> None:
        self.folders: dict[str, dict[str, bool]] = {"": {}}
        for path in paths:
            folder, _, name = path.rpartition("/")
            self._folder(folder).setdefault(name, False)

    def _folder(self, path: str) -> dict[str, bool]:
        found = self.folders.get(path)
        if found is None:
            above, _, name = path.rpartition("/")
            self._folder(above)[name] = True
            found = self.folders[path] = {}
        return found

    def children(self, folder: str) -> Mapping[str, bool]:
        """As `Listing` says."""
        return self.folders.get(folder, {})

    def below(self, path: str) -> Iterator[str]:
        """The files and links at and below `path`."""
        todo = [path]
        while todo:
            at = todo.pop()
            names = self.folders.get(at)
            if names is None:
                yield at
                continue
            todo += [f"{at}/{name}" for name in sorted(names, reverse=True)]


class Composed:
    """One kind as it is composed. entries: name to path, the path of a folder standing for all of it.

    hidden: name, path that is shown, path of another root's file that it hides.
    """

    __slots__ = ("entries", "hidden")

    def __init__(self) -> None:
        self.entries: dict[str, str] = {}
        self.hidden: list[tuple[str, str, str]] = []


class _Claim:
    """A path that wants to be seen under some name, and the number of its root in the list."""

    __slots__ = ("is_folder", "path", "root")

    def __init__(self, path: str, root: int, *, is_folder: bool) -> None:
        self.path, self.root, self.is_folder = path, root, is_folder


def compose(roots: Roots, kind: str, listing: Listing) -> Composed:
    """What the roots of `kind` hold together. Raises RefusedError where two own one name and none comes first."""
    return _Composing(roots, kind, listing).all()


class _Composing:
    def __init__(self, roots: Roots, kind: str, listing: Listing) -> None:
        self.kind, self.listing = kind, listing
        self.roots = roots.of(kind)
        self.barred = [roots.barred(kind, root) for root in self.roots]
        self.found = Composed()

    def all(self) -> Composed:
        claims: dict[str, list[_Claim]] = {}
        for number, root in enumerate(self.roots):
            for folder in self._folders(root):
                for name, is_folder in self._children(folder).items():
                    if root.lets_in(name, is_folder=is_folder):
                        path = f"{folder}/{name}" if folder else name
                        self._claim(claims, name, _Claim(path, number, is_folder=is_folder))
        for name, owners in sorted(claims.items()):
            self._settle(name, owners)
        return self.found

    def _children(self, folder: str) -> dict[str, bool]:
        return dict(sorted(self.listing.children(folder).items()))

    def _folders(self, root: Root) -> list[str]:
        """The folders that an entry stands for here."""
        found = [""]
        for part in root.parts:
            known = [(folder, self._children(folder)) for folder in found]
            found = [
                f"{folder}/{name}" if folder else name
                for folder, names in known
                for name, is_folder in names.items()
                if is_folder and _is_of(name, part, root)
            ]
        return found

    def _claim(self, claims: dict[str, list[_Claim]], name: str, claim: _Claim) -> None:
        if not is_in(tuple(claim.path.split("/")), self.barred[claim.root]):
            claims.setdefault(name, []).append(claim)

    def _settle(self, name: str, claims: list[_Claim]) -> None:
        first = claims[0]
        for other in claims[1:]:
            if first.is_folder != other.is_folder or (
                not first.is_folder and first.root == other.root
            ):
                raise self._both(name, first, other)
        parts = tuple(first.path.split("/"))
        if not first.is_folder:
            self._add(name, first.path)
            self.found.hidden += [(name, first.path, other.path) for other in claims[1:]]
            return
        if len(claims) == 1 and not is_above(parts, self.barred[first.root]):
            self._add(name, first.path)
            return
        if name.count("/") >= _DEEPEST:
            raise RefusedError(
                f"{KEYS[self.kind]}: {first.path!r} is nested too deeply to be composed",
                hint="is there a symlink to a folder above it?",
            )
        inner: dict[str, list[_Claim]] = {}
        for claim in claims:
            for child, is_folder in self._children(claim.path).items():
                if child != ".git":
                    path = f"{claim.path}/{child}"
                    self._claim(inner, child, _Claim(path, claim.root, is_folder=is_folder))
        for child, owners in sorted(inner.items()):
            self._settle(f"{name}/{child}", owners)

    def _add(self, name: str, path: str) -> None:
        if len(self.found.entries) >= _MOST:
            raise RefusedError(
                f"{KEYS[self.kind]}: more than {_MOST} names would have to be composed",
                hint="name fewer folders that share names",
            )
        self.found.entries[name] = path

    def _both(self, name: str, one: _Claim, other: _Claim) -> RefusedError:
        what = "is in both" if one.is_folder == other.is_folder else "is a file and a folder:"
        return RefusedError(
            f"{KEYS[self.kind]}: {name!r} {what} {one.path!r} and {other.path!r}, and neither comes first",
            hint=f"remove or rename one of them, or name one of the folders before the other in {KEYS[self.kind]}:",
        )


def _is_of(name: str, part: str, root: Root) -> bool:
    if part == name:
        return True
    return root.is_glob and not name.startswith(".") and fnmatchcase(name, part)


def names(roots: Roots, kind: str, listing: InCommit) -> dict[str, str]:
    """Name below the root of every file of `kind`, and its path in the repository. Raises RefusedError."""
    if word := roots.word(kind):
        begin = f"{word}/"
        return {path[len(begin) :]: path for path in listing.below(word) if path.startswith(begin)}
    return {
        f"{name}{path[len(top) :]}": path
        for name, top in compose(roots, kind, listing).entries.items()
        for path in listing.below(top)
    }
