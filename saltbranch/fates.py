"""What became of a change on a branch: brought there, reverted, brought back.

A change is a commit with its cherry-picks. What messages say of other commits is what git itself writes there:
git-cherry-pick(1) -x and git-revert(1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from saltbranch.lineage import Graph

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
    """From `commit` on the change is there, or is not any more."""

    commit: str
    there: bool


class Fate:
    """The change that `family` are the commits of."""

    def __init__(self, graph: Graph, links: Links, family: frozenset[str]) -> None:
        self.family = family
        self._graph = graph
        self._links = links
        self._known: dict[str, list[Turn]] = {}

    def turns(self, head: str) -> list[Turn]:
        """When it came and went in the history of `head`, the oldest first; the last one counts."""
        if head not in self._known:
            self._known[head] = []  # for a message that names what comes after it
            self._known[head] = self._find(head)
        return self._known[head]

    def is_there(self, head: str) -> bool:
        """Whether it is there at `head`, and not reverted."""
        turns = self.turns(head)
        return bool(turns) and turns[-1].there

    def _find(self, head: str) -> list[Turn]:
        line = self._graph.line(head)
        involved = [c for c in (*self.family, *self._links.reverts) if c in line]
        turns: list[Turn] = []
        if not any(c in self.family for c in involved):
            return turns
        for commit in sorted(set(involved), key=line.position):
            effect = self._effect(commit, head, ())
            there = bool(turns) and turns[-1].there
            if effect is not None and effect is not there:
                turns.append(Turn(commit, effect))
        return turns

    def _effect(self, commit: str, head: str, above: tuple[str, ...]) -> bool | None:
        """Whether `commit` brings the change or takes it away; None where it does neither."""
        if commit in self.family:
            return True
        for target in self._links.reverts.get(commit, ()):
            if target in above:
                continue
            if len(self._graph.parents.get(target, ())) > 1:
                effect = self._effect_of_unmerging(target, head)
            else:
                brought = self._effect(target, head, (*above, commit))
                effect = None if brought is None else not brought
            if effect is not None:
                return effect
        return None

    def _effect_of_unmerging(self, merge: str, head: str) -> bool | None:
        """A reverted merge leaves what its first parent had; None where that makes no difference."""
        line = self._graph.line(head)
        if merge not in line or not any(line.has(merge, c) for c in self.family):
            return None
        before = self.is_there(self._graph.parents[merge][0])
        return None if before is self.is_there(merge) else before
