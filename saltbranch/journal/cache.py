"""What follows from the journal, kept in the git folder, so that only events that are new have to be read.

A cache: it is tied to a commit of the journal and to the code that made it, and may be deleted at any time. Whatever is
not as it should be in it is passed over, and the journal is read whole.
"""

from __future__ import annotations

import functools
import hashlib
import typing
from dataclasses import fields

import msgspec

from saltbranch.base import asked_by, durations, files
from saltbranch.base.errors import GitError, SaltbranchError
from saltbranch.git.program import Git
from saltbranch.journal import approvals, events, facts, masters, tips
from saltbranch.journal import state as journal_state
from saltbranch.journal import store as journal
from saltbranch.journal.events import Event
from saltbranch.journal.state import State, Told

_NAME = "saltbranch-journal"
_MANY = 200  # new events after which it is written anew; fewer are read again each time


def state(git: Git, head: str | None, *, write: bool = True) -> State:
    """What follows from the journal up to its commit `head`. Raises GitError.

    write: keep it for the next time, where much of it was new.
    """
    if head is None:
        return State()
    start, since = _load(git) or (None, None)
    told = _after(git, head, since) if start is not None else None
    if start is None or told is None:
        start, told = State(), journal.read(git, head)
    found = journal_state.replay(told, start)
    if write and len(told) > _MANY:
        _save(git, head, found)
    return found


def path(git: Git) -> str:
    """The file of the cache."""
    return f"{git.directory}/{_NAME}"


def _after(git: Git, head: str, since: str | None) -> list[Event] | None:
    """The events after the commit `since`; None where `head` does not go on from there."""
    if since == head:
        return []
    try:
        found = journal.read_on(git, head, since) if since else None
    except GitError:
        return None  # `since` is not here any more, or never was
    return found


def _load(git: Git) -> tuple[State, str] | None:
    """The kept state, and the commit of the journal that it follows from."""
    try:
        data = files.read_or_none(path(git)) or b""
    except OSError:
        return None
    first, _, rest = data.partition(b"\n")
    words = first.decode("ascii", "replace").split(" ")
    if len(words) != 2 or words[0] != _format() or not events.is_hash(words[1]):
        return None
    head = words[1]
    try:
        kept = msgspec.json.decode(rest, type=_kept())
        found = State(
            events=Told(lambda: journal.read(git, head)),
            **{f.name: getattr(kept, f.name) for f in fields(State) if f.name != "events"},
        )
        _check(found)
    except (msgspec.MsgspecError, ValueError):
        return None
    return found, head


def _check(found: State) -> None:
    """Raises ValueError where a place in a list does not exist."""
    most = len(found.residences)
    if any(not 0 <= n < most for places in found.latest.values() for n in places.values()):
        raise ValueError("no such place")


def _save(git: Git, head: str, found: State) -> None:
    kept = {f.name: getattr(found, f.name) for f in fields(State) if f.name != "events"}
    try:
        data = msgspec.json.encode(kept).decode()
        files.write_atomic(path(git), f"{_format()} {head}\n{data}", durable=False)
    except (OSError, ValueError, SaltbranchError):
        pass  # a full disk, somebody else's repository, half a character: it is read whole again


@functools.cache
def _kept() -> type[msgspec.Struct]:
    """The shape of the file: all fields of a State but its events."""
    hints = typing.get_type_hints(State)
    shape = [(f.name, hints[f.name]) for f in fields(State) if f.name != "events"]
    return msgspec.defstruct("Kept", shape, forbid_unknown_fields=True)


@functools.cache
def _format() -> str:
    """Names the code that says what follows from an event: of another release nothing is believed."""
    digest = hashlib.sha256()
    modules = (events, asked_by, durations, tips, facts, masters, approvals, journal_state)
    for module in modules:
        with open(str(module.__file__), "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()
