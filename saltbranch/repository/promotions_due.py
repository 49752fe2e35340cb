"""What a sync keeps of promotions that move by themselves: whether one may be due, and what became of the last try.

``state/promotions``       the next moment at which something may move, and the heads that this follows from; the file
                           is there only where this machine promotes by itself
``state/promotions.json``  saltenv to what its promotion waits for, or how it failed
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from saltbranch.base import files
from saltbranch.base.durations import from_iso, iso
from saltbranch.config.model import Config, Saltenv


def wanted(config: Config) -> list[Saltenv]:
    """The saltenvs that this machine promotes to by itself: the model of the repository says so, and its own file."""
    if not config.promotes or not config.source.branch:
        return []
    names = {s.name for s in config.saltenvs}
    return [s for s in config.saltenvs if s.auto_promote and s.promote_from in names]


def want(config: Config) -> None:
    """Let syncs look whether something is due, or look no more. Raises OSError."""
    name = path(config.root)
    if not wanted(config):
        files.unlink(name)
        files.unlink(f"{name}.json")
    elif not os.path.exists(name):
        files.write_atomic(name, "0\n", durable=False)


def path(root: str) -> str:
    """The file that syncs look at."""
    return f"{root}/state/promotions"


def keep(root: str, again: float | None, seen: str, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Remember what was found by the heads `seen`, and that nothing moves before `again` while these stay.

    again: seconds since 1970, None for never. Raises OSError.
    """
    files.write_atomic(f"{path(root)}.json", json.dumps(rows, sort_keys=True))
    files.write_atomic(
        path(root), f"{'' if again is None else int(again) + 1}\n{seen}", durable=False
    )


def told(root: str) -> dict[str, dict[str, Any]]:
    """Saltenv to what was found last: its `state` (waiting, failed), `reason`, `digest`, `since`, `passes_at`."""
    try:
        data = json.loads(files.read_or_none(f"{path(root)}.json") or b"{}")
    except (OSError, ValueError, RecursionError):
        return {}
    rows = data.items() if isinstance(data, dict) else ()
    return {name: row for name, row in rows if _is_row(row)}


def _is_row(row: object) -> bool:
    if not isinstance(row, dict) or not row.keys() >= _KEYS:
        return False
    at, texts = row["passes_at"], [row[key] for key in ("state", "reason", "digest", "since")]
    is_whole = all(isinstance(text, str) for text in texts) and row["state"] in _STATES
    try:
        from_iso(row["since"] if is_whole else "")
    except ValueError:
        return False
    return at is None or isinstance(at, int | float)


def shown(config: Config) -> dict[str, dict[str, object]]:
    """Saltenv to what its promotion waits for, of those that are promoted to by themselves; times in ISO 8601."""
    here, rows = {s.name for s in wanted(config)}, told(config.root)
    found: dict[str, dict[str, object]] = {}
    for saltenv in config.saltenvs:
        if saltenv.auto_promote:
            row = rows.get(saltenv.name, _NOTHING) if saltenv.name in here else _ELSEWHERE
            at = row["passes_at"]
            when = iso(at) if isinstance(at, int | float) else None
            found[saltenv.name] = {key: row[key] for key in _KEYS} | {"passes_at": when}
    return found


_NOTHING = {"state": "nothing", "reason": "", "digest": "", "since": None, "passes_at": None}
_ELSEWHERE = {**_NOTHING, "state": "elsewhere"}
_STATES = ("waiting", "failed", "trouble")
_KEYS = {"state", "reason", "digest", "since", "passes_at"}
