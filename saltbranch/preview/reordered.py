"""Which states run in another order than before. Pure."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence

from saltbranch.compiler.model import Chunk, Which


def reordered(
    old: Sequence[Chunk], new: Sequence[Chunk], changed: set[str], which_of: Which
) -> tuple[str, ...]:
    """Which are the fewest states whose moving explains that the others stand in another order, as far as they
    also run in another one; those aside that changed anyway.
    """
    before = {
        which_of(c): c.place for c in old if c.place is not None and which_of(c) not in changed
    }
    written = [c for c in new if c.place is not None and which_of(c) in before]
    written.sort(key=lambda c: c.place or 0)
    kept = set(_longest_rising([before[which_of(c)] or 0 for c in written]))
    moved = {which_of(c) for n, c in enumerate(written) if n not in kept}
    if not moved:
        return ()
    ran = {w: n for n, w in enumerate(which_of(c) for c in old if which_of(c) in before)}
    runs = [w for w in map(which_of, new) if w in ran]
    return tuple(w for n, w in enumerate(runs) if w in moved and _overtook(n, runs, ran))


def _overtook(place: int, runs: Sequence[str], ran: Mapping[str, int]) -> bool:
    """Whether a state runs before one that it ran after, or the other way round."""
    then = ran[runs[place]]
    return any(ran[key] > then for key in runs[:place]) or any(
        ran[key] < then for key in runs[place + 1 :]
    )


def _longest_rising(numbers: Sequence[float]) -> list[int]:
    """The indices of a longest rising subsequence (patience sorting)."""
    tails: list[float] = []
    ends: list[int] = []
    previous: list[int] = []
    for index, number in enumerate(numbers):
        place = bisect.bisect_left(tails, number)
        previous.append(ends[place - 1] if place else -1)
        if place == len(tails):
            tails.append(number)
            ends.append(index)
        else:
            tails[place], ends[place] = number, index
    found, index = [], ends[-1] if ends else -1
    while index >= 0:
        found.append(index)
        index = previous[index]
    return found[::-1]
