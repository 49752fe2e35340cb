"""What people and hooks are still to be told: one file each, below ``state/outbox`` of the root.

Written by a sync in the moment that something happens, sent by a process of its own (send.py). A file that lies there
is told until it is gone, so whoever is killed tells twice rather than never; its id says that it is the same.

``queue/<ms>-<id>.json``            a notice: what happened
``queue/<ms>-<id>@<channel>.json``  what is to be told to one target or hook; its time is when to try (again)
``channels/<channel>``              what went wrong there last; its time is before when nothing is tried
``wanted``                          the events that anybody wants, a line each
``heard``                           the head of the journal up to which everything was told
``pause``                           its time is before when a sync without news starts no sender
``dropped``                         a line, the time, for each file that there was no room for, or that got too old
"""

from __future__ import annotations

import hashlib
import json
import os
import time

from saltbranch.base import files
from saltbranch.base.durations import iso

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

MOST = 1000
"""Files in the queue; the oldest make room."""
LARGEST = 300_000
"""Characters of a file in the queue."""
JOURNAL = "journal"
_STAMP = "%s-%s.json"


def folder(root: str) -> str:
    """Where the outbox of `root` is."""
    return f"{root}/state/outbox"


def want(root: str, names: Iterable[str], heard: str) -> None:
    """Remember which events anybody wants. heard: the journal as it is; older entries are told to nobody.

    Raises OSError.
    """
    place = folder(root)
    text = "".join(f"{name}\n" for name in sorted(set(names)))
    if not text:
        for name in ("wanted", "heard"):
            files.unlink(f"{place}/{name}")
        return
    for path in (f"{place}/queue", f"{place}/channels"):
        os.makedirs(path, mode=0o700, exist_ok=True)
    if not os.path.exists(f"{place}/pause"):
        files.write_atomic(f"{place}/pause", "", durable=False)
    if files.read_or_none(f"{place}/heard") is None:
        files.write_atomic(f"{place}/heard", heard)
    files.write_atomic(f"{place}/wanted", text)


def wanted(root: str) -> frozenset[str]:
    """The events that anybody wants to be told of."""
    data = files.read_or_none(f"{folder(root)}/wanted") or b""
    return frozenset(data.decode("utf-8", "replace").split())


def put(
    root: str,
    event: str,
    id_: str,
    data: Mapping[str, Any],
    saltenvs: Iterable[str] = (),
    *,
    at: float | None = None,
) -> str:
    """Keep a notice, if anybody wants it; why that failed, empty where it did not. It raises nothing expected.

    event: its name (config/notify.py). id_: the same each time that this is told. at: seconds since 1970, now
    otherwise.
    """
    try:
        if event not in wanted(root):
            return ""
        place, when = f"{folder(root)}/queue", time.time() if at is None else at
        names = os.listdir(place)
        if any(name.endswith(f"-{id_}.json") for name in names):
            return ""
        notice = {"event": event, "id": id_, "time": iso(when), "saltenvs": list(saltenvs)}
        text = json.dumps({**notice, **data}, sort_keys=True)
        if len(text) > LARGEST:
            text = json.dumps({**notice, "shortened": True}, sort_keys=True)
        make_room(root, names, 1)
        files.write_atomic(f"{place}/{_name(when, id_)}", text)
        os.utime(f"{folder(root)}/pause", (0, 0))
    except OSError as err:
        _drop(root, 1)
        return f"nobody will be told of it: {err.strerror} ({folder(root)})"
    return ""


def hear(root: str, head: str) -> None:
    """Keep that the journal is at `head` now, for what is told of its entries. It raises nothing expected."""
    try:
        path = f"{folder(root)}/queue/{_name(0, JOURNAL)}"
        if files.write_atomic(path, json.dumps({"event": JOURNAL, "id": JOURNAL, "head": head})):
            os.utime(f"{folder(root)}/pause", (0, 0))
    except OSError:
        pass  # the next sync sees it as well


def id_of(root: str, *words: object) -> str:
    """An id that is the same whenever the same thing is told by this root, and no other thing's."""
    text = "\0".join([os.uname().nodename, root, *map(str, words)])
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:20]


def make_room(root: str, names: Iterable[str], number: int) -> None:
    """Drop the oldest of the files `names` until `number` more have room. Raises OSError."""
    queue = sorted(name for name in names if name.endswith(".json"))
    gone = queue[: max(0, len(queue) + number - MOST)]
    removed = 0
    for name in gone:
        try:
            os.unlink(f"{folder(root)}/queue/{name}")
            removed += 1
        except FileNotFoundError:
            pass  # it was sent meanwhile
    _drop(root, removed)


def drop(root: str, name: str) -> None:
    """Give the file `name` of the queue up. Raises OSError."""
    files.unlink(f"{folder(root)}/queue/{name}")
    _drop(root, 1)


def _drop(root: str, number: int) -> None:
    if not number:
        return
    try:
        fd = os.open(
            f"{folder(root)}/dropped", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640
        )
        try:
            os.write(fd, f"{int(time.time())}\n".encode() * number)  # one write: nobody's is lost
        finally:
            os.close(fd)
    except OSError:
        pass


def dropped(root: str) -> list[int]:
    """When each was dropped, in seconds since 1970."""
    data = files.read_or_none(f"{folder(root)}/dropped") or b""
    return [int(line) for line in data.split() if line.isdigit()]


def forget_drops(root: str, *, before: float) -> None:
    """Begin to count anew where the last one was before then. Raises OSError."""
    when = dropped(root)
    if when and when[-1] < before:
        files.unlink(f"{folder(root)}/dropped")


def _name(at: float, id_: str) -> str:
    return _STAMP % (f"{int(at * 1000):014d}", id_)
