"""Which minions this master knows, so that each is new once: a file of the root, and who started since it was read.

    state/minions/known     JSON: by minion id, the digest of its key, how far it was brought, and by which job
    state/minions/started   a line of JSON for each minion that is said to have started and that is not known

A minion is its id and its key: a server that is built anew under its old name has another key, so it is new. Whoever
removes this folder makes nobody new: all that the master has accepted by then count as known.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Final, Literal

from saltbranch.base import files

Stage = Literal["started", "asked", "applying", "known", "unplaced"]
STARTED: Final = "started"
ASKED: Final = "asked"
APPLYING: Final = "applying"
KNOWN: Final = "known"
UNPLACED: Final = "unplaced"
_STAGES = (STARTED, ASKED, APPLYING, KNOWN, UNPLACED)

_VERSION = 1
_MOST_GONE = 10_000  # minions without a key that are remembered, should their key come back
_LONGEST_SPOOL = 1 << 20  # bytes
_LONGEST_KEY = 1 << 16  # bytes


@dataclass(slots=True)
class Entry:
    """A minion. key: digest of its key. jid: the job by which it was brought to its stage, empty for none.

    at: when that was, in seconds since 1970; of one that has started, when it may be asked. seen: the configuration by
    which it was judged last. had: it has applied a highstate before. starts: how often it started since it was asked.
    """

    key: str
    stage: Stage = STARTED
    jid: str = ""
    at: float = 0.0
    seen: str = ""
    had: bool = False
    starts: int = 0


@dataclass(slots=True)
class Known:
    """What is known, by minion id."""

    minions: dict[str, Entry] = field(default_factory=dict)

    def under_way(self) -> list[tuple[str, Entry]]:
        """Those that are new and not done with."""
        return [(i, e) for i, e in self.minions.items() if e.stage in (STARTED, ASKED, APPLYING)]


def folder(root: str) -> str:
    """Where this is kept."""
    return f"{root}/state/minions"


def path(root: str) -> str:
    """The file of what is known."""
    return f"{folder(root)}/known"


def is_id(minion: str) -> bool:
    """Whether Salt would take it for a minion's id, and for none of its own files."""
    return bool(minion) and not minion.startswith(".") and not any(c in minion for c in "/\\\0")


def key_of(pki_dir: str, minion: str) -> str | None:
    """The digest of the key that the master has accepted for `minion`; None where it has accepted none."""
    if not is_id(minion):
        return None
    try:
        with open(f"{pki_dir}/minions/{minion}", "rb") as file:
            return hashlib.sha256(file.read(_LONGEST_KEY)).hexdigest()[:32]
    except (OSError, ValueError):
        return None


def load(root: str) -> Known | None:
    """What is known; None where nothing was recorded, or not readably."""
    data = files.read_or_none(path(root))
    if data is None:
        return None
    try:
        found = json.loads(data)
        if found["version"] != _VERSION:
            return None
        minions = {str(name): Entry(**entry) for name, entry in found["minions"].items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return Known(minions) if all(map(_is_sound, minions.values())) else None


def _is_sound(entry: Entry) -> bool:
    texts = (entry.key, entry.stage, entry.jid, entry.seen)
    return (
        all(isinstance(text, str) for text in texts)
        and entry.stage in _STAGES
        and isinstance(entry.at, (int, float))
        and type(entry.had) is bool
        and type(entry.starts) is int
    )


def save(root: str, known: Known) -> None:
    """Keep it, also through a power cut: it says what must not be done twice. Raises OSError."""
    os.makedirs(folder(root), mode=0o750, exist_ok=True)
    data = {
        "version": _VERSION,
        "minions": {name: asdict(entry) for name, entry in known.minions.items()},
    }
    files.write_atomic(path(root), json.dumps(data, ensure_ascii=True), mode=0o640)


def begin(accepted: Iterable[str], digest: Callable[[str], str | None]) -> Known:
    """All that the master has accepted by now, as known. digest: of a minion's key."""
    keys = ((minion, digest(minion)) for minion in accepted)
    return Known({minion: Entry(key, KNOWN) for minion, key in keys if key})


def forget_gone(known: Known, accepted: Iterable[str]) -> None:
    """Drop the oldest of those whose key is gone, where these are many."""
    here = set(accepted)
    gone = [name for name in known.minions if name not in here]
    for name in gone[: max(0, len(gone) - _MOST_GONE)]:
        del known.minions[name]


def note_started(root: str, minion: str) -> None:
    """Leave word that `minion` is said to have started. Raises OSError, LockedError."""
    os.makedirs(folder(root), mode=0o750, exist_ok=True)
    place = f"{folder(root)}/started"
    with files.Lock(f"{place}.lock", wait=10):
        fd = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            if os.fstat(fd).st_size < _LONGEST_SPOOL:
                os.write(fd, json.dumps(minion).encode() + b"\n")
        finally:
            os.close(fd)


def has_started(root: str) -> bool:
    """Whether somebody left word since it was taken last."""
    return os.path.exists(f"{folder(root)}/started")


def started(root: str) -> list[str]:
    """Who is said to have started, each once. Raises OSError, LockedError."""
    place = f"{folder(root)}/started"
    if not os.path.exists(place):
        return []
    with files.Lock(f"{place}.lock", wait=10):
        data = files.read_or_none(place) or b""
    return list(dict.fromkeys(filter(None, map(_word, data.split(b"\n")))))


def forget_started(root: str, taken: Iterable[str]) -> None:
    """Drop the word that is taken, and keep what came since. Raises OSError, LockedError."""
    place, done = f"{folder(root)}/started", set(taken)
    with files.Lock(f"{place}.lock", wait=10):
        data = files.read_or_none(place) or b""
        left = [line for line in data.split(b"\n") if (word := _word(line)) and word not in done]
        if left:
            files.write_atomic(place, b"\n".join([*left, b""]).decode(), durable=False)
        else:
            files.unlink(place)


def _word(line: bytes) -> str:
    try:
        found = json.loads(line) if line else ""
    except ValueError:
        return ""  # torn
    return found if isinstance(found, str) else ""


def lock(root: str) -> files.Lock:
    """Held by the one process that brings new minions on. Raises OSError."""
    os.makedirs(folder(root), mode=0o750, exist_ok=True)
    return files.Lock(f"{folder(root)}/lock")
