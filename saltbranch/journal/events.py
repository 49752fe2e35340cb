"""What the journal records.

An event is one commit of `refs/saltbranch/journal`: a line for people, an empty line, JSON. The journal can be
written by whoever may push, so nothing in it is trusted to have the right shape.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from saltbranch.base import asked_by
from saltbranch.base.durations import from_iso, iso
from saltbranch.journal import tips

VERSION = 1
Kind = Literal[
    "promotion", "hold", "unhold", "rollback", "tag", "override", "debt", "sync", "push", "accept", "backmerge",
    "lab", "approval", "verify", "apply",
]  # fmt: skip
"""What an event tells of. One of a newer release is none of these, and is passed over when the journal is read."""

PROMOTION: Final = tips.PROMOTION
HOLD: Final = "hold"
UNHOLD: Final = "unhold"
ROLLBACK: Final = "rollback"
TAG: Final = "tag"
OVERRIDE: Final = "override"
DEBT: Final = "debt"
SYNC: Final = "sync"
PUSH: Final = tips.PUSH
ACCEPT: Final = tips.ACCEPT
BACKMERGE: Final = tips.BACKMERGE
LAB: Final = "lab"
APPROVAL: Final = "approval"
VERIFY: Final = "verify"
APPLY: Final = "apply"
KINDS: tuple[Kind, ...] = get_args(Kind)
_KNOWN: dict[object, Kind] = {kind: kind for kind in KINDS}


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that was done. `time`: seconds since 1970. `commit`: of the journal, empty when not written yet."""

    kind: Kind
    id: str
    time: float
    by: str
    details: Mapping[str, Any]
    commit: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The JSON of the journal."""
        head = {"version": VERSION, "event": self.kind, "id": self.id, "time": iso(self.time)}
        return {**head, "by": self.by, **self.details}

    def message(self) -> str:
        """The message of its commit."""
        about = "all" if self.is_of_all else self.text("saltenv") or self.text("branch")
        what = [self.kind, about, self.id]
        return f"{' '.join(w for w in what if w)}\n\n{json.dumps(self.as_dict(), sort_keys=True)}\n"

    def text(self, key: str) -> str:
        """A detail that is text; empty when it is missing or something else."""
        value = self.details.get(key)
        return value if isinstance(value, str) else ""

    def commit_of(self, key: str) -> str | None:
        """A detail that is the hash of a commit."""
        value = self.text(key)
        return value if is_hash(value) else None

    @property
    def is_of_all(self) -> bool:
        """Whether it is a hold of all saltenvs, or the end of one."""
        return self.kind in (HOLD, UNHOLD) and self.details.get("all") is True

    def held_rows(self) -> list[tuple[str, str]]:
        """Of a hold of all saltenvs: each with the commit that it is held at."""
        rows = self.details.get("saltenvs") if self.is_of_all and self.kind == HOLD else None
        found = [
            row for row in (rows if isinstance(rows, list) else ()) if isinstance(row, Mapping)
        ]
        pairs = [(row.get("saltenv"), row.get("commit")) for row in found]
        return [
            (name, commit)
            for name, commit in pairs
            if isinstance(name, str) and isinstance(commit, str) and name and is_hash(commit)
        ]

    def names(self) -> list[str]:
        """The commits that the event speaks of and that must not be lost while it counts."""
        keys = ["commit", "hold_moves_to", "new", "served_before"]
        keys += ["good", "old", "since"] if self.kind == PUSH else []
        found = [self.commit_of(k) for k in keys]
        # What masters served, and what back-merges made, is the measure for a branch that is rewritten later.
        told = self.details.get({SYNC: "saltenvs", PROMOTION: "merges"}.get(self.kind, ""))
        rows = told if isinstance(told, list) else []
        found += [commit for _, commit in self.held_rows()]
        found += [str(row.get("new")) for row in rows if isinstance(row, Mapping)]
        found = [c for c in found if c and is_hash(c)]
        return list(dict.fromkeys(c for c in found if c))


def time_of(text: str) -> float | None:
    """The time, in seconds since 1970, that a detail says; None for what is none."""
    try:
        return from_iso(text)
    except (ValueError, OverflowError):
        return None


def is_hash(text: str) -> bool:
    """Whether `text` is a full object name in lower case."""
    return len(text) == 40 and not text.strip("0123456789abcdef")


def parse_message(commit: str, message: str) -> Event | None:
    """The event of a journal commit; None for what is not one, or is of an unknown version."""
    try:
        data = json.loads(message.partition("\n\n")[2])
    except (ValueError, RecursionError):
        return None
    return from_dict(data, commit)


def from_dict(data: Any, commit: str = "") -> Event | None:
    """The event that the JSON of the journal stands for; None for what is not one, or is of an unknown version."""
    try:
        time = from_iso(data["time"])
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None
    word, name, by = data.get("event"), data.get("id"), data.get("by")
    kind = _KNOWN.get(word) if isinstance(word, str) else None
    if data.get("version") != VERSION or kind is None:
        return None
    if not isinstance(name, str) or not isinstance(by, str):
        return None
    head = ("version", "event", "id", "time", "by")
    details = {k: v for k, v in data.items() if k not in head}
    return Event(
        kind=kind, id=name, time=time, by=asked_by.shortened(by), details=details, commit=commit
    )
