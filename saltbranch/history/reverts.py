"""What became of a change on a branch: brought there, reverted, brought back.

A change is a commit with its cherry-picks. What messages say of other commits is what git itself writes there:
git-cherry-pick(1) -x and git-revert(1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from saltbranch.history.graph import Graph, Line

_PICKED = re.compile(r"^\(cherry picked from commit ([0-9a-f]{7,40})\)", re.MULTILINE)
_REVERTS = re.compile(r"^This reverts commit ([0-9a-f]{7,40})\b", re.MULTILINE)


@dataclass(slots=True)
class Links:
    """picks: commit to those that it is a cherry-pick of. reverts: commit to those that it reverts."""

    picks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    reverts: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def family(self, commits: Iterable[str]) -> frozenset[str]:
        """`commits`, what they were picked from, and whatever was picked from one of these."""
        near: dict[str, set[str]] = {}
        for pick, originals in self.picks.items():
            for original in originals:
                near.setdefault(pick, set()).add(original)
                near.setdefault(original, set()).add(pick)
        found, todo = set(), list(commits)
        while todo:
            commit = todo.pop()
            if commit not in found:
                found.add(commit)
                todo += near.get(commit, ())
        return frozenset(found)


def read_links(messages: Mapping[str, str], graph: Graph) -> Links:
    """What the bodies of commits (hash to text) say of other commits; hashes of unknown commits stay as they are."""
    links = Links()
    for commit, text in messages.items():
        for pattern, into in ((_PICKED, links.picks), (_REVERTS, links.reverts)):
            named = [graph.full(h) or h for h in pattern.findall(text)]
            if named:
                into[commit] = tuple(dict.fromkeys(n for n in named if n != commit))
    return links


@dataclass(frozen=True, slots=True)
class Turn:
    """At `by`, a commit of the branch's own line, the change came (or went): `commit` did it."""

    commit: str
    by: str
    there: bool


class Fate:
    """The change that `family` are the commits of: at which commits it is there, and at which not (any more).

    Followed through the history as git itself goes on: a merge of a side that has the change with one that has it not
    gives what differs from the state of their merge base.
    """

    def __init__(self, graph: Graph, links: Links, family: frozenset[str]) -> None:
        self.family = family
        self._graph = graph
        self._links = links
        self._bits = {c: 1 << n for n, c in enumerate(sorted(family & graph.parents.keys()))}
        self._masks: dict[str, int] = {}
        self._there: dict[str, bool] = {}
        numbers = [graph.number[c] for c in self._bits]
        for commit in graph.ordered[min(numbers) :] if numbers else ():
            self._visit(commit)

    def is_there(self, commit: str) -> bool:
        """Whether the change is in the content of `commit`."""
        return self._there.get(commit, False)

    def was_there(self, commit: str) -> bool:
        """Whether the history of `commit` has it, reverted or not."""
        return self._masks.get(commit, 0) != 0

    def turns(self, line: Line) -> list[Turn]:
        """When it came and went along the branch, the oldest first; the last one counts."""
        turns: list[Turn] = []
        before = False
        for commit in line.spine:
            now = self.is_there(commit)
            if now is not before:
                turns.append(Turn(self._cause(commit, there=now), commit, now))
            before = now
        if turns or not line.spine or not self.was_there(line.spine[-1]):
            return turns
        return self._came_reverted(line)

    def _came_reverted(self, line: Line) -> list[Turn]:
        """The change and its revert came together, so that it never was there."""
        first = min((c for c in self._bits if c in line), key=line.position)
        undoing = [c for c in self._links.reverts if c in line and self._effect(c, ()) is False]
        turns = [Turn(first, line.brought_by(first), there=True)]
        if undoing:
            last = max(undoing, key=line.position)
            turns.append(Turn(last, line.brought_by(last), there=False))
        return turns

    def _visit(self, commit: str) -> None:
        parents = self._graph.parents[commit]
        mask = self._bits.get(commit, 0)
        for parent in parents:
            mask |= self._masks.get(parent, 0)
        there = self._effect(commit, ())
        if there is None:
            there = self._merged(parents)
        if mask:
            self._masks[commit] = mask
        if there:
            self._there[commit] = True

    def _merged(self, parents: tuple[str, ...]) -> bool:
        there = self.is_there(parents[0]) if parents else False
        for other in parents[1:]:
            if self.is_there(other) is not there:
                there = not self._base_has(parents[0], other)
        return there

    def _base_has(self, one: str, other: str) -> bool:
        """Whether what git takes for the merge base has it: of several bases the merge of these (git-merge(1), ort)."""
        if not self._masks.get(one, 0) & self._masks.get(other, 0):
            return False  # nothing of it is common to both
        first, *others = self._graph.merge_bases(one, other) or ("",)
        there = self.is_there(first)
        for base in others:
            if self.is_there(base) is not there:
                there = not self._base_has(first, base)
        return there

    def _effect(self, commit: str, above: tuple[str, ...]) -> bool | None:
        """Whether `commit` itself brings the change or takes it away; None where it does neither."""
        if commit in self.family:
            return True
        for target in self._links.reverts.get(commit, ()):
            if target in above:
                continue  # messages may name each other in a circle
            parents = self._graph.parents.get(target, ())
            if len(parents) > 1:
                # What is left of a reverted merge is what its first parent had.
                before = self.is_there(parents[0])
                effect = None if before is self.is_there(target) else before
            else:
                brought = self._effect(target, (*above, commit))
                effect = None if brought is None else not brought
            if effect is not None:
                return effect
        return None

    def _cause(self, commit: str, *, there: bool) -> str:
        """The commit below `commit` that made it so: the way down along parents in the same state."""
        while self._effect(commit, ()) is not there:
            same = (p for p in self._graph.parents[commit] if self.is_there(p) is there)
            nearest = next((p for p in same if there or self.was_there(p)), None)
            if nearest is None:
                break
            commit = nearest
        return commit
