"""The names that symlinks add: Salt's file server follows them (salt/fileserver/roots.py, file_list)."""

from __future__ import annotations

import bisect
import posixpath
from collections.abc import Iterable, Mapping

# Links that lead to folders with links, links that are followed, and names in all: a few links can make any number.
_DEPTH = 8
_FOLLOWED = 20_000
_MOST = 200_000


def names(
    files: Iterable[str], links: Mapping[str, str], below: Iterable[str] | None = None
) -> dict[str, str]:
    """Path of each file as links below the folders `below`, or any, show it, and the path where it really is.

    files: paths in the repository. links: path of each link, and what it holds. What leads out of the
    repository or to nothing adds no name.
    """
    walk = _Walk(sorted({*files, *links}), links)
    folders = tuple(f"{folder}/" for folder in below) if below is not None else ("",)
    for link in links:
        if link.startswith(folders):
            walk.follow(link, link, ())
    return walk.found


def target(link: str, holds: str) -> str | None:
    """The path that a link leads to; None outside of the repository."""
    end = posixpath.normpath(posixpath.join(posixpath.dirname(link), holds))
    return None if end.startswith(("/", "..")) or holds.startswith("/") else end


def end_of(link: str, links: Mapping[str, str]) -> str | None:
    """Where `link`, one of `links`, leads; a folder on the way may be a link, too. None outside of the repository."""
    end = target(link, links[link])
    for _ in range(_DEPTH):
        over = next((p for p in _parents(end) if p in links), None) if end else None
        if end is None or over is None:
            break
        inner = target(over, links[over])
        end = posixpath.normpath(f"{inner}{end[len(over) :]}") if inner is not None else None
    return end


class _Walk:
    """Follows links. known: all paths, in order. found: see `names`."""

    def __init__(self, known: list[str], links: Mapping[str, str]) -> None:
        self.known = known
        self.links = links
        self.found: dict[str, str] = {}
        self.budget = iter(range(_FOLLOWED))

    def follow(self, name: str, link: str, way: tuple[str, ...]) -> None:
        """Note what stands below the link at `link`, which is seen as `name`. way: the folders that it was come by."""
        end = end_of(link, self.links)
        if end is None or end == "." or end in way or len(way) == _DEPTH:
            return
        if next(self.budget, None) is None:
            return
        known = self.known
        at = bisect.bisect_left(known, end)
        if at < len(known) and known[at] == end:
            self.found.setdefault(name, end)
            return
        at = bisect.bisect_left(known, f"{end}/")
        while at < len(known) and known[at].startswith(f"{end}/") and len(self.found) < _MOST:
            path = known[at]
            below = name + path[len(end) :]
            if path in self.links:
                self.follow(below, path, (*way, end))
            else:
                self.found.setdefault(below, path)
            at += 1


def _parents(path: str) -> Iterable[str]:
    parts = path.split("/")
    return ("/".join(parts[:n]) for n in range(1, len(parts) + 1))
