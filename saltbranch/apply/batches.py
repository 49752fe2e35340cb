"""In which batches minions are applied to."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from saltbranch.base.errors import UsageError

_NUMBER = re.compile(r"([0-9]{1,9})(%?)")


@dataclass(frozen=True, slots=True)
class Share:
    """A number of minions, or percents of them."""

    number: int
    is_percent: bool = False

    def __str__(self) -> str:
        return f"{self.number}%" if self.is_percent else str(self.number)

    def at_most(self, total: int) -> int:
        """How many of `total` that is, rounded down: of a limit."""
        return total * self.number // 100 if self.is_percent else self.number

    def at_least(self, total: int) -> int:
        """How many of `total` that is, rounded up, and one at the least: of a batch."""
        return max(1, math.ceil(total * self.number / 100) if self.is_percent else self.number)


def parse_share(text: str, option: str, *, least: int = 0) -> Share:
    """`3` or `10%`. option: for messages. least: the smallest that makes sense. Raises UsageError."""
    found = _NUMBER.fullmatch(text.strip())
    share = Share(int(found[1]), bool(found[2])) if found else None
    if share is None or share.number < least or (share.is_percent and share.number > 100):
        raise UsageError(
            f"{option} {text!r} is not a number of minions", hint="for example 3, or 10% of them"
        )
    return share


def batches_of(
    minions: Collection[str], size: Share | None, canary: str = ""
) -> tuple[tuple[str, ...], ...]:
    """`minions` in the order of their ids, in batches of `size`; all at once without one.

    canary: how many go first, or the id of the one that does; empty for none. Raises UsageError for one that is not
    among them.
    """
    left = sorted(set(minions))
    if not left:
        return ()
    first = _canary(left, canary) if canary else []
    left = [minion for minion in left if minion not in first]
    step = size.at_least(len(left) + len(first)) if size else max(1, len(left))
    rest = [tuple(left[at : at + step]) for at in range(0, len(left), step)]
    return (tuple(first), *rest) if first else tuple(rest)


def _canary(ids: Sequence[str], canary: str) -> list[str]:
    if canary in ids:
        return [canary]
    if canary.isascii() and canary.isdigit() and int(canary) > 0:
        return list(ids[: int(canary)])
    raise UsageError(
        f"--canary {canary!r} is none of the minions to apply to",
        hint="name one of them by its id, or say how many go first",
    )


def only(batches: Sequence[Sequence[str]], minions: Collection[str]) -> tuple[tuple[str, ...], ...]:
    """The same batches with `minions` alone, without those that are empty then."""
    kept = (tuple(m for m in batch if m in minions) for batch in batches)
    return tuple(batch for batch in kept if batch)
