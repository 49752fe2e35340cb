"""What is still to be told, what was dropped, and what went wrong last: for `status`, `doctor` and `notify`."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass

from saltbranch.base.text import many, printable
from saltbranch.notify import outbox
from saltbranch.notify.channel import Channel


@dataclass(frozen=True, slots=True)
class Failure:
    """channel: ``to-`` and the name of a target, ``hook-`` and that of a hook, or ``sender``. since: of 1970."""

    channel: str
    reason: str
    since: float

    def told(self) -> str:
        """In a line, for people."""
        kind, _, name = self.channel.partition("-")
        what = {"to": f"target {name}", "hook": f"hook {name}"}.get(kind, "all of them")
        return f"{what}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Backlog:
    """waiting: messages and calls of hooks; oldest: since when. dropped: how many; last_dropped: when. Since 1970."""

    waiting: int
    oldest: float | None
    dropped: int
    last_dropped: float | None
    failures: tuple[Failure, ...]

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return asdict(self)

    def told(self) -> list[str]:
        """Lines for people; none where all is well."""
        lines = [f"notifications: {failure.told()}" for failure in self.failures]
        if self.waiting and self.failures:
            lines.append(f"notifications: {many(self.waiting, 'message')} not sent yet")
        if self.dropped:
            lines.append(
                f"notifications: {many(self.dropped, 'message')} dropped, and nobody was told"
            )
        return lines


def backlog(root: str) -> Backlog:
    """That of the outbox of `root`. What cannot be read is not there."""
    folder = outbox.folder(root)
    names = [name for name in _names(f"{folder}/queue") if name.partition("-")[2] != "journal.json"]
    stamps = [
        int(name.partition("-")[0]) / 1000 for name in names if name.partition("-")[0].isdigit()
    ]
    failures = []
    for name in _names(f"{folder}/channels"):
        channel = Channel(folder, name)
        if channel.failure:
            failures.append(Failure(name, printable(channel.failure), channel.since))
    try:
        dropped = outbox.dropped(root)
    except OSError:
        dropped = []
    return Backlog(
        waiting=len(names),
        oldest=min(stamps, default=None),
        dropped=len(dropped),
        last_dropped=dropped[-1] if dropped else None,
        failures=tuple(failures),
    )


def _names(folder: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if not name.endswith("saltbranch-new"))
    except OSError:
        return []
