"""What a hold of all saltenvs, and the end of one, would record."""

from __future__ import annotations

from dataclasses import dataclass

from saltbranch.base import asked_by
from saltbranch.base.durations import iso
from saltbranch.journal.events import Event


@dataclass(frozen=True, slots=True)
class Row:
    """One of the saltenvs. serves, will_serve: commits before and after, None where nothing is served."""

    saltenv: str
    serves: str | None
    will_serve: str | None
    note: str = ""

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "saltenv": self.saltenv,
            "serves": self.serves,
            "will_serve": self.will_serve,
            "note": self.note,
        }


@dataclass(frozen=True, slots=True)
class HoldAllPlan:
    """What a verb would record, as one event. until: seconds since 1970, None for no end."""

    verb: str
    rows: tuple[Row, ...]
    event: Event
    reason: str
    until: float | None

    @property
    def events(self) -> tuple[Event, ...]:
        """What is to be recorded."""
        return (self.event,)

    def refusal(self, new: HoldAllPlan) -> str:
        """Why `new`, planned after another push, is not what was agreed to; empty where it is."""
        before = {row.saltenv: (row.serves, row.will_serve) for row in self.rows}
        moved = [r for r in new.rows if before.get(r.saltenv) != (r.serves, r.will_serve)]
        told = [f"{r.saltenv} serves {(r.serves or 'nothing')[:12]} now" for r in moved]
        return ", ".join(told) or (
            "" if len(before) == len(new.rows) else "the saltenvs are others"
        )

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        return {
            "version": 1,
            "verb": self.verb,
            "saltenvs": [row.as_dict() for row in self.rows],
            "reason": self.reason,
            "until": iso(self.until) if self.until is not None else None,
            "id": self.event.id,
            **asked_by.told(self.event.by, self.event.details),
        }
