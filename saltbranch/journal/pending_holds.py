"""Holds that only this master knows of, recorded while the remote was out of reach.

Each is in force until the journal has it (by its id); then it is dropped from the file. They are no
cache: the file is written durably, and a damaged one is an error.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

from saltbranch.base import files
from saltbranch.base.errors import SaltbranchError
from saltbranch.journal import events
from saltbranch.journal.events import Event


def load(root: str) -> list[Event]:
    """The recorded events, the oldest first. Raises SaltbranchError."""
    path = files.pending_path(root)
    data = files.read_or_none(path)
    if data is None:
        return []
    try:
        found = [events.from_dict(item) for item in json.loads(data)]
    except (ValueError, TypeError, RecursionError):
        found = [None]
    known = [event for event in found if event]
    if len(known) < len(found):
        raise SaltbranchError(
            f"{path} cannot be read: it holds the pending holds of this master",
            hint="fix it, or remove it and repeat the holds that are still needed",
        )
    return known


def saltenvs(told: Sequence[Event], known: Sequence[str]) -> list[str]:
    """Those of the saltenvs `known` that one of the events `told` is about."""
    names = {event.text("saltenv") for event in told}
    return [name for name in known if name in names or any(e.is_of_all for e in told)]


def add(root: str, event: Event) -> None:
    """Record `event`; once, however often it is added. Raises SaltbranchError."""
    known = load(root)
    if event.id not in [e.id for e in known]:
        _save(root, [*known, event])


def drop(root: str, ids: Collection[str]) -> None:
    """Forget the events with these ids. Raises SaltbranchError."""
    known = load(root)
    kept = [e for e in known if e.id not in ids]
    if len(kept) < len(known):
        _save(root, kept)


def _save(root: str, kept: Sequence[Event]) -> None:
    path = files.pending_path(root)
    if kept:
        files.write_atomic(path, json.dumps([e.as_dict() for e in kept], indent=1))
    else:
        files.unlink(path)
