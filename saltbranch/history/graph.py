"""Which commit of a branch brought which other commit: a history read as one line.

The line of a branch are its first parents: there a merge stands where it was made, and what it merged belongs to it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from heapq import heapify, heappop, heappush

# Seen from one commit and from the other; below a common ancestor that was found.
_BOTH, _STALE = 3, 4


class Line:
    """The history of `head`, numbered so that parents come before children and side lines before their merge.

    detours: merge to the parent to follow instead of the first, for a branch that was fast-forwarded to a merge made
    on another one.
    """

    __slots__ = ("_marks", "_order", "_parents", "spine")

    def __init__(
        self, parents: Mapping[str, tuple[str, ...]], head: str, detours: Mapping[str, str]
    ) -> None:
        self._parents = parents
        self.spine = _spine(parents, head, detours)
        self._order: dict[str, int] = {}
        self._marks = []
        for commit in self.spine:
            _number(self._order, parents, commit)
            self._marks.append(self._order[commit])

    def __contains__(self, commit: object) -> bool:
        return commit in self._order

    def position(self, commit: str) -> int:
        """Its number in the order of the history."""
        return self._order[commit]

    def brought_by(self, commit: str) -> str:
        """The commit of the line that brought `commit`: itself, or a merge."""
        return self.spine[self._place(commit)]

    def before(self, commit: str) -> str | None:
        """The commit of the line before the one that brought `commit`."""
        place = self._place(commit)
        return self.spine[place - 1] if place else None

    def has(self, descendant: str, ancestor: str) -> bool:
        """Whether `descendant` contains `ancestor`; both are in this history, or the answer is no."""
        if descendant not in self._order or ancestor not in self._order:
            return False
        lowest, seen, todo = self._order[ancestor], {descendant}, [descendant]
        while todo:
            commit = todo.pop()
            if commit == ancestor:
                return True
            for parent in self._parents[commit]:
                if parent not in seen and self._order.get(parent, -1) >= lowest:
                    seen.add(parent)
                    todo.append(parent)
        return False

    def _place(self, commit: str) -> int:
        return bisect_left(self._marks, self._order[commit])


class Graph:
    """Parents and committer's time (seconds since 1970) of commits, with all their ancestors."""

    def __init__(self, rows: Iterable[str]) -> None:
        """rows: as `git rev-list --topo-order --timestamp --parents` writes them."""
        self.parents: dict[str, tuple[str, ...]] = {}
        self.times: dict[str, int] = {}
        for row in rows:
            time, commit, *parents = row.split()
            self.parents[commit] = tuple(parents)
            self.times[commit] = int(time)
        self.ordered = list(self.parents)[::-1]
        self.number = {commit: n for n, commit in enumerate(self.ordered)}
        self._lines: dict[tuple[str, tuple[tuple[str, str], ...]], Line] = {}

    def line(self, head: str, detours: Mapping[str, str] | None = None) -> Line:
        """The history of `head`."""
        key = (head, tuple((detours or {}).items()))
        if key not in self._lines:
            self._lines[key] = Line(self.parents, head, detours or {})
        return self._lines[key]

    def merge_bases(self, one: str, other: str) -> list[str]:
        """The best common ancestors (git-merge-base(1) --all), the latest first."""
        sides = {one: 1}
        sides[other] = sides.get(other, 0) | 2
        todo = [-self.number[c] for c in sides]
        heapify(todo)
        live, found = len(todo), []  # live: how many of todo are not ancestors of one found
        while live:
            commit = self.ordered[-heappop(todo)]
            if not sides[commit] & _STALE:
                live -= 1
                if sides[commit] == _BOTH:
                    found.append(commit)
                    sides[commit] |= _STALE
            for parent in self.parents[commit]:
                before = sides.get(parent)
                after = sides[parent] = (before or 0) | sides[commit]
                if before is None:
                    heappush(todo, -self.number[parent])
                    live += not after & _STALE
                elif after & _STALE and not before & _STALE:
                    live -= 1
        return found

    def full(self, prefix: str) -> str | None:
        """The only commit whose hash begins so."""
        if len(prefix) == 40:
            return prefix if prefix in self.parents else None
        found = [c for c in self.parents if c.startswith(prefix)]
        return found[0] if len(found) == 1 else None

    def side(self, merge: str) -> Iterator[str]:
        """The first parents of what `merge` merged, down to what was there before."""
        first, *others = self.parents[merge] or ("",)
        before = self.line(first) if others else None
        for commit in others:
            while before is not None and commit in self.parents and commit not in before:
                yield commit
                commit = (self.parents[commit] or ("",))[0]


def _spine(
    parents: Mapping[str, tuple[str, ...]], head: str, detours: Mapping[str, str]
) -> list[str]:
    found = []
    commit = head
    while commit in parents:
        found.append(commit)
        above = parents[commit]
        commit = detours[commit] if detours.get(commit) in above else (above or ("",))[0]
    return found[::-1]


def _number(order: dict[str, int], parents: Mapping[str, tuple[str, ...]], commit: str) -> None:
    """Number `commit` and its ancestors that have none yet, parents first."""
    todo = [commit]
    while todo:
        last = todo[-1]
        missing = [p for p in parents[last] if p not in order and p in parents]
        if missing:
            todo += reversed(missing)
        else:
            todo.pop()
            order.setdefault(last, len(order))
