"""Minions for which a test run found the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from saltbranch.apply.outcome import Change, Run

MINION = "MINION"
"""Stands for the id of each."""


@dataclass(frozen=True, slots=True)
class Group:
    """Minions with the same changes. problems: what fails already in a test run; it may be right all the same."""

    minions: tuple[str, ...]
    changes: tuple[Change, ...]
    problems: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Plain data. Names and changes, which may hold values of the pillar, are only compared."""
        return {
            "minions": list(self.minions),
            "changes": [{"sls": c.sls, "id": c.id, "function": c.function} for c in self.changes],
            "problems": list(self.problems),
        }


def _nameless(change: Change, minion: str) -> Change:
    """The same without the minion's own id, which many names and contents have."""
    id_, name, what = (
        text.replace(minion, MINION) for text in (change.id, change.name, change.what)
    )
    return replace(change, id=id_, name=name, what=what)


def grouped(runs: Mapping[str, Run]) -> tuple[Group, ...]:
    """The minions by what their test runs found, the most first; those for which it is nothing are left out."""
    by_key: dict[tuple[tuple[Change, ...], tuple[str, ...]], list[str]] = {}
    for minion, run in sorted(runs.items()):
        problems = (run.problem,) if run.problem else run.failed
        if run.changes or problems:
            changes = tuple(_nameless(change, minion) for change in run.changes)
            by_key.setdefault((changes, problems), []).append(minion)
    found = [Group(tuple(ids), changes, said) for (changes, said), ids in by_key.items()]
    return tuple(sorted(found, key=lambda group: (-len(group.minions), group.minions)))
