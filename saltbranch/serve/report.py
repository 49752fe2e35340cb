"""What a master tells the journal: which commits it serves since when, and holds that were made here.

Loaded by a sync that has something to tell. What cannot be sent is kept: it is never a reason for
a sync to fail, or to take longer than a moment.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
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
    try:
        name = f"{ready.root}/state/reporter"
        before = (files.read_or_none(name) or b"").decode("utf-8", "replace")
        if not (ready.reporter or before):
            return
        root = root_id(ready.root)
        me = _introduced(ready, root, labs)
        anew = before != me and (fresh or bool(rows))
        told: list[Event] = []
        if anew and before and before.partition("\n")[0] != ready.reporter:
            gone: dict[str, object] = {
                "master": before.partition("\n")[0],
                "root": root,
                "saltenvs": [],
                "serves": [],
            }
            told.append(_event(mirror, now, gone))
        if anew:
            named = [r.saltenv for r in done]
            rows += [
                _row(s.name, s.branch, None, known.commit, at=known.since, why=known.why)
                for s in ready.saltenvs
                if s.name not in named and (known := served.get(s.dirname))
            ]
        if ready.reporter and (rows or anew):
            details: dict[str, object] = {"master": ready.reporter, "root": root}
            details |= {"saltenvs": rows, "serves": sorted(ours)}
            if labs or "\nlabs " in before:
                details["labs"] = labs
            told.append(_event(mirror, now, details))
        if told:
            tries, kept = _load(ready.root)
            _save(ready.root, [*kept, *told], tries)
        if anew:
            if me:
                files.write_atomic(name, me, durable=False)
            else:
                files.unlink(name)
    except (SaltbranchError, OSError):
        pass


def _introduced(ready: Prepared, root: str, labs: int) -> str:
    """What tells whether this master is to say anew all that it serves; empty for one that tells nothing."""
    if not ready.reporter:
        return ""
    lines = [ready.reporter, f"root {root}", *([f"labs {labs}"] if labs else [])]
    return "\n".join([*lines, *sorted(s.name for s in ready.saltenvs)])


def _event(mirror: Mirror, now: float, details: dict[str, object]) -> Event:
    return Event(events.SYNC, journal.new_id(now), now, identity.who(mirror.git), details)


def root_id(root: str) -> str:
    """What tells this root from another one that tells under the same name: made once, another one on a machine that
    was made from an image of this one. Raises OSError.
    """
    name = f"{root}/state/reporter-root"
    made = (files.read_or_none(name) or b"").decode("ascii", "replace").strip()
    if not made:
        made = secrets.token_hex(16)
        files.write_atomic(name, f"{made}\n")
    machine = files.read_or_none("/etc/machine-id") or b""
    return hashlib.sha256(made.encode() + b"\n" + machine).hexdigest()[:8]


def _row(
    saltenv: str, branch: str, old: str | None, new: str | None, *, at: float, why: str
) -> dict[str, object]:
    row = {"saltenv": saltenv, "branch": branch, "old": old, "new": new, "time": iso(at)}
    return {**row, "why": why}


def keep(root: str, event: Event) -> None:
    """Let the next sync tell the journal of `event`, too, and once. The caller holds the lock of the root.

    Raises OSError.
    """
    tries, kept = _load(root)
    _save(root, [*(one for one in kept if one.id != event.id), event], tries)


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
            # Only that it tells no more; what it serves since then is nobody's business.
            syncs = [event for event in syncs if event.details.get("serves") == []]
            lacking = lacking if pending else []
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
