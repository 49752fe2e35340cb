"""What a rollback does not undo: removing a state leaves what it made on the minion. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from saltbranch.preview.difference import MinionDiff


@dataclass(frozen=True, slots=True)
class Stay:
    """A state of the newer commit that the former one lacks. key: as in `preview.difference.OneState`."""

    key: str
    sls: str
    minions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stays:
    """What stays on minions that go back from one commit to the `former`. unknown: minion to why that is not known."""

    former: str
    states: tuple[Stay, ...] = ()
    unknown: Mapping[str, str] = field(default_factory=dict)

    def of(self, minions: Iterable[str]) -> Stays:
        """The same of `minions` alone."""
        wanted = set(minions)
        states = (
            replace(s, minions=tuple(m for m in s.minions if m in wanted)) for s in self.states
        )
        unknown = {m: why for m, why in self.unknown.items() if m in wanted}
        return Stays(self.former, tuple(s for s in states if s.minions), unknown)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "former": self.former,
            "states": [{**asdict(s), "minions": list(s.minions)} for s in self.states],
            "unknown": dict(self.unknown),
        }


def stays_from_dict(data: Mapping[str, Any]) -> Stays | None:
    """What Stays.as_dict() gave; None for anything else."""
    try:
        states = tuple(
            Stay(str(s["key"]), str(s["sls"]), tuple(map(str, s["minions"])))
            for s in data["states"]
        )
        unknown = {str(m): str(why) for m, why in data["unknown"].items()}
        return Stays(str(data["former"]), states, unknown)
    except (KeyError, TypeError, AttributeError):
        return None


def what_stays(former: str, diffs: Iterable[MinionDiff], unknown: Mapping[str, str]) -> Stays:
    """What stays by comparisons of the newer commit with `former`. unknown: minions that have none, and why."""
    by_state: dict[tuple[str, str], list[str]] = {}
    lacking = dict(unknown)
    for diff in diffs:
        if diff.difference is None or diff.result != "ok":
            lacking[diff.minion] = f"the preview cannot compile it: {first_error(diff)}"
            continue
        for state in diff.difference.removed:
            if state.stays:
                by_state.setdefault((state.sls, state.key), []).append(diff.minion)
    states = (Stay(key, sls, tuple(ids)) for (sls, key), ids in sorted(by_state.items()))
    return Stays(former, tuple(states), dict(sorted(lacking.items())))


def first_error(diff: MinionDiff) -> str:
    """Why a minion cannot be compared, in short."""
    return str(diff.errors[0])[:200] if diff.errors else "no result"
