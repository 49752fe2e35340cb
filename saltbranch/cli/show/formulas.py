"""Pins of formulas that change, for people."""

from __future__ import annotations

from collections.abc import Iterator

from saltbranch.history.pins import FormulaChange

_MOST = 10


def lines_of(change: FormulaChange) -> Iterator[str]:
    """One line, and the commits that it brings or takes away; what strangers wrote is not cleaned."""
    yield f"formula {change.text}"
    for commit in change.commits[:_MOST]:
        yield f"  {commit.commit[:12]} {commit.subject} ({commit.author})"
    more = change.count - min(len(change.commits), _MOST)
    if change.commits and more > 0:
        yield f"  and {more} more"
