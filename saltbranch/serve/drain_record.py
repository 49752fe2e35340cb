"""Which state runs a switch waits for, as it is kept for `status`, and as it is told."""

from __future__ import annotations

import json
import os
import time

from saltbranch.base import files
from saltbranch.base.durations import iso
from saltbranch.base.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

SHOWN = 5  # runs that are named
_KEYS = {"old", "new", "since", "at", "until", "then", "runs", "problem"}
_FORGOTTEN = (
    600  # seconds after the end of a drain that no sync went on with: it is put off anew then
)


def path(root: str, saltenv: str) -> str:
    """The file that says for whom the switch of `saltenv` was put off last; a cache."""
    return f"{root}/state/drain/waits/{saltenv}"


def lock_path(root: str, saltenv: str) -> str:
    """The file whose lock the sync holds that waits for `saltenv`."""
    return f"{root}/state/drain/locks/{saltenv}"


def save(root: str, saltenv: str, record: dict[str, object]) -> None:
    """Keep it for `status`. A disk that is full is no reason to fail."""
    try:
        os.makedirs(os.path.dirname(path(root, saltenv)), exist_ok=True)
        files.write_atomic(path(root, saltenv), json.dumps(record), durable=False)
    except OSError:
        pass


def load(root: str, saltenv: str) -> dict[str, Any] | None:
    """What was kept: ``{"old", "new", "since", "at", "until", "then", "runs", "problem"}``; None for nothing.

    at: when it was written. Times are in seconds since 1970.
    """
    try:
        data = json.loads(files.read_or_none(path(root, saltenv)) or b"null")
        is_whole = (
            float(data["since"])
            and float(data["until"])
            and float(data["at"])
            and data.keys() >= _KEYS
        )
        told_runs(data["runs"])
        return dict(data) if is_whole else None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def first_put_off(root: str, name: str, served: str | None) -> float:
    """When the switch away from the commit `served` was put off first."""
    now, known = time.time(), load(root, name)
    if known is None or known["old"] != served:
        return now
    if now - max(float(known["at"]), float(known["until"])) > _FORGOTTEN:
        return now
    return min(float(known["since"]), now)


def plain(run: dict[str, Any]) -> dict[str, object]:
    """A run as it is told; what minions and callers wrote is one line each."""
    return {
        "minion": printable(str(run["minion"])),
        "jid": printable(str(run["jid"])),
        "function": printable(str(run["function"])),
        "since": iso(float(run["since"])),
    }


def told_runs(runs: Sequence[dict[str, Any]]) -> str:
    """In one line, runs as `plain` has them."""
    named = [
        f"{r['minion']}: {r['function']} since {r['since']} (job {r['jid']})" for r in runs[:SHOWN]
    ]
    more = f"; and {len(runs) - SHOWN} more" if len(runs) > SHOWN else ""
    return "; ".join(named) + more
