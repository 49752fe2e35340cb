"""The errors of a whole fleet by their cause: one that forty minions share is told once. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from saltbranch.preview.difference import MinionDiff, Side

_ORDER = {"after": 0, "both": 1, "before": 2}
_ADDRESS = re.compile(r"0x[0-9a-f]{4,}")


@dataclass(frozen=True, slots=True)
class Cause:
    """An error. side: which of the two has it. minions: of whom; failed: those of them of which nothing came out."""

    text: str
    side: Side
    minions: tuple[str, ...]
    failed: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "error": self.text,
            "side": self.side,
            "minions": list(self.minions),
            "failed": self.failed,
        }


def causes(diffs: Iterable[MinionDiff]) -> tuple[Cause, ...]:
    """Every error of `diffs` once: those that only the new side has first, then by how many minions have them.

    A minion's own ID in an error and addresses in memory make no other cause.
    """
    found: dict[tuple[Side, str], dict[str, tuple[str, bool]]] = {}
    for diff in diffs:
        for error in diff.errors:
            text = error.text
            key = (error.side, _ADDRESS.sub("0x", _without(text, diff.minion)))
            found.setdefault(key, {})[diff.minion] = (text, diff.result == "failed")
    made = [
        Cause(
            shared if len(members) > 1 else next(iter(members.values()))[0],
            side,
            tuple(sorted(members)),
            sum(failed for _, failed in members.values()),
        )
        for (side, shared), members in found.items()
    ]
    return tuple(sorted(made, key=lambda c: (_ORDER[c.side], -len(c.minions), c.text)))


def _without(text: str, minion: str) -> str:
    if minion not in text:
        return text
    return re.sub(rf"(?<![\w.-]){re.escape(minion)}(?![\w-])", "<minion>", text)
