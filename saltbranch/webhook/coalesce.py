"""Several pushes in a row make one sync: what was pushed is noted, and of all who come at most one waits.

Whoever comes notes its push first and then tries to be the one that waits. Where another waits already, that one reads
the notes only after it stopped waiting, so it sees this one, too. The locks end with their holders, and the notes stay
until they are served, so a kill loses nothing: the next event, or the timer, goes on.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from saltbranch.base import files
from saltbranch.base.errors import LockedError

PATIENCE = 30  # seconds for which the remote is asked for a commit that was pushed
_TURN = 900  # seconds that one waits at the most for the one before it
_GAP = 1.0  # seconds from the begin of one sync to that of the next
_MOST = 500  # refs that are noted; a sync serves the others as well


@dataclass(frozen=True, slots=True)
class Note:
    """A push that was announced. commit: where the ref is now, empty where it is gone. since: seconds since 1970."""

    ref: str
    commit: str
    since: float

    def is_due(self, now: float) -> bool:
        """Whether the remote is asked for it still."""
        return 0 <= now - self.since < PATIENCE


def path(root: str) -> str:
    """The file of the notes."""
    return f"{root}/state/pushed"


def note(root: str, ref: str, commit: str) -> None:
    """Remember that `ref` was pushed; the newest counts. Raises OSError, LockedError."""
    with _notes(root):
        kept = [n for n in _load(root) if n.ref != ref][-_MOST + 1 :]
        _save(root, [*kept, Note(ref, commit, time.time())])


def noted(root: str) -> list[Note]:
    """The pushes that are not known to be served."""
    return _load(root)


def forget(root: str, served: Iterable[Note]) -> None:
    """Drop what was served, unless the ref was pushed again meanwhile. Raises OSError, LockedError."""
    gone = set(served)
    with _notes(root):
        _save(root, [n for n in _load(root) if n not in gone])


def _notes(root: str) -> files.Lock:
    return files.Lock(f"{path(root)}.lock", wait=30)


@contextmanager
def turn(root: str) -> Iterator[bool]:
    """Wait until nobody else serves pushes of `root`; False at once where another waits already, and does it.

    Raises LockedError where the one before does not end.
    """
    waiting = files.Lock(f"{path(root)}.waiting")
    try:
        waiting.__enter__()
    except LockedError:
        yield False
        return
    running = files.Lock(f"{path(root)}.running", wait=_TURN)
    with ExitStack() as mine:
        with _held(waiting):
            before = _mtime(running.path)
            mine.enter_context(running)
            # Whoever comes meanwhile leaves: of pushes without a pause, one sync a second is enough.
            time.sleep(min(max(before + _GAP - time.time(), 0), _GAP))
            os.utime(running.path)
        yield True


def _mtime(file: str) -> float:
    """When the one before began, in seconds since 1970; 0 where there was none."""
    try:
        return os.stat(file).st_mtime
    except OSError:
        return 0


@contextmanager
def _held(lock: files.Lock) -> Iterator[None]:
    try:
        yield
    finally:
        lock.__exit__()


def _load(root: str) -> list[Note]:
    """Nothing where the file is torn: a sync serves all that was pushed."""
    data = (files.read_or_none(path(root)) or b"").decode("utf-8", "surrogateescape")
    found = []
    for line in data.split("\n"):
        words = line.split("\t")
        try:
            ref, commit, since = words
            found.append(Note(ref, commit, float(since)))
        except ValueError:
            continue
    return found


def _save(root: str, notes: list[Note]) -> None:
    if not notes:
        files.unlink(path(root))
        return
    text = "".join(f"{n.ref}\t{n.commit}\t{n.since!r}\n" for n in notes)
    files.write_atomic(path(root), text, mode=0o600)
