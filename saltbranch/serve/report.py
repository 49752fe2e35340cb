"""What a master tells the journal: which commits it serves since when, and holds that were made here.

Loaded by a sync that has something to tell. What cannot be sent is kept: it is never a reason for
a sync to fail, or to take longer than a moment.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence

from saltbranch.base import files
from saltbranch.base.durations import iso
from saltbranch.base.errors import SaltbranchError, os_error
from saltbranch.base.text import printable
from saltbranch.git import identity
from saltbranch.git.mirror import Mirror
from saltbranch.journal import events, pending_holds, push
from saltbranch.journal import store as journal
from saltbranch.journal.events import Event
from saltbranch.repository.decision import Choices
from saltbranch.repository.prepared import Prepared, Served
from saltbranch.serve.run import SaltenvResult

_PATIENCE = 20  # seconds for all tries of a run
_MOST = 200  # events that are kept; older ones are dropped
_EAGER = 3  # failed tries after which it is tried only every _PAUSE seconds
_PAUSE = 600


def record(
    ready: Prepared,
    mirror: Mirror,
    done: Sequence[SaltenvResult],
    served: Mapping[str, Served],
    *,
    fresh: bool,
) -> None:
    """Keep an event that says what was switched, to be sent. Whatever goes wrong here is passed over.

    served: what was recorded before. fresh: the configuration was read anew; a master that tells the journal for the
    first time then says all that it serves.
    """
    now = time.time()
    # What labs serve follows from the journal already.
    ours = {s.name for s in ready.saltenvs}
    rows = [
        _row(r.saltenv, r.branch, r.old, r.new, at=now, why=r.why)
        for r in done
        if r.saltenv in ours
    ]
    labs = int(ready.labs.partition(" ")[0] or 0)
    me = f"{ready.reporter}\nlabs {labs}" if labs else ready.reporter
    try:
        name = f"{ready.root}/state/reporter"
        before = files.read_or_none(name) or b""
        if fresh and before != me.encode():
            told = [r.saltenv for r in done]
            rows += [
                _row(s.name, s.branch, None, known.commit, at=known.since, why=known.why)
                for s in ready.saltenvs
                if s.name not in told and (known := served.get(s.dirname))
            ]
            files.write_atomic(name, me, durable=False)
        if rows:
            details: dict[str, object] = {"master": ready.reporter, "saltenvs": rows}
            if labs or b"\nlabs " in before:
                details["labs"] = labs
            who = identity.who(mirror.git)
            event = Event(events.SYNC, journal.new_id(now), now, who, details)
            tries, kept = _load(ready.root)
            _save(ready.root, [*kept, event], tries)
    except (SaltbranchError, OSError):
        pass


def _row(
    saltenv: str, branch: str, old: str | None, new: str | None, *, at: float, why: str
) -> dict[str, object]:
    row = {"saltenv": saltenv, "branch": branch, "old": old, "new": new, "time": iso(at)}
    return {**row, "why": why}


def path(root: str) -> str:
    """The file of what could not be sent yet; its time is when to try again."""
    return f"{root}/state/unreported"


def send(ready: Prepared, mirror: Mirror, found: Choices) -> list[str]:
    """Publish pending holds, kept syncs and what `found` lacks in the journal; what is to be noted.

    It raises nothing that is expected.
    """
    root = ready.root
    try:
        tries, syncs = _load(root)
        lacking = _parsed(json.loads(found.unrecorded or "[]"))
        pending = pending_holds.load(root)
        if not ready.reporter:
            syncs, lacking = [], lacking if pending else []
        if pending or syncs or lacking:
            try:
                push.push(
                    mirror, ready.remote, [*pending, *syncs],
                    patience=_PATIENCE, found=lacking, found_at=found.journal,
                )  # fmt: skip
            except SaltbranchError as err:
                _save(root, syncs, tries + 1)
                return [] if tries else [_complaint(err, pending)]
            pending_holds.drop(root, [event.id for event in pending])
        files.unlink(path(root))
        return [f"published: {event.kind} of {_about(event)}" for event in pending]
    except OSError as err:
        return [os_error(err).message]
    except SaltbranchError as err:
        return [err.message]


def _about(event: Event) -> str:
    return "all saltenvs" if event.is_of_all else event.text("saltenv")


def _complaint(err: SaltbranchError, pending: Sequence[Event]) -> str:
    what = (
        "the hold stays one of this master alone"
        if pending
        else "what is served will be reported later"
    )
    first, *rest = err.message.split("\n")
    reason = printable(" ".join(line.strip() for line in rest))
    return f"{first} {reason}; {what} ({err.hint})" if err.hint else f"{first} {reason}; {what}"


def _load(root: str) -> tuple[int, list[Event]]:
    """How often it was tried, and the events; nothing where the file is torn."""
    try:
        data = json.loads(files.read_or_none(path(root)) or b"{}")
        return int(data.get("tries", 0)), _parsed(data.get("events", []))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return 0, []


def _parsed(items: Iterable[object]) -> list[Event]:
    found = [events.from_dict(item) for item in items]
    return [event for event in found if event]


def _save(root: str, kept: Sequence[Event], tries: int) -> None:
    data = {"tries": tries, "events": [event.as_dict() for event in kept[-_MOST:]]}
    files.write_atomic(path(root), json.dumps(data), durable=False)
    again = time.time() + (_PAUSE if tries > _EAGER else 0)
    os.utime(path(root), (again, again))
