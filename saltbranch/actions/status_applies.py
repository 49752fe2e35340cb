"""What runs on the minions of a saltenv: a part of `status`.

That is the commit that this master applied last, the apply that is not over, and state runs that a switch waits for.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from saltbranch.actions.shared.apply_end import finish_in_passing
from saltbranch.apply import run_state
from saltbranch.apply.outcome import APPLIED, NOTHING_CHANGES, RUNNING, SKIPPED, Outcome
from saltbranch.apply.run_state import OVER, UNDER_WAY, Record
from saltbranch.base import files
from saltbranch.base.durations import iso
from saltbranch.base.errors import LockedError, SaltbranchError
from saltbranch.base.text import printable
from saltbranch.config.model import Config, Saltenv
from saltbranch.git.describe import CommitInfo
from saltbranch.serve import drain_record, leased
from saltbranch.serve.leased import Lease

PLANNING, KILLED = "planning", "killed"


def owned(claims: Mapping[str, Sequence[tuple[str, Any]]]) -> dict[str, set[str]]:
    """The minions that each saltenv alone claims. claims: minion to the saltenvs that claim it, and how."""
    found: dict[str, set[str]] = {}
    for minion, by in claims.items():
        if len(by) == 1:
            found.setdefault(by[0][0], set()).add(minion)
    return found


def records_of(config: Config) -> dict[str, list[Record]]:
    """The records of each saltenv, the newest first; those that cannot be read are passed over.

    What a killed apply still had to tell of its end is told.
    """
    found: dict[str, list[Record]] = {}
    for name in reversed(run_state.names(config.root)):
        try:
            record = run_state.load(config.root, name)
        except (SaltbranchError, OSError):
            continue
        finish_in_passing(config, record)
        found.setdefault(record.saltenv, []).append(record)
    return found


def applied(records: Iterable[Record], minions: Collection[str]) -> dict[str, object] | None:
    """The commit that was applied last, and on how many of `minions` it was; None where nothing was.

    records: of the saltenv, the newest first. Of a minion what came last counts.
    """
    records = list(records)
    last = run_state.last_by_minion(records)
    newest = next(
        (
            (run.commit, record.ended or record.since)
            for record in records
            for run in reversed(record.passes)
            if any(one.state == APPLIED for one in run.outcomes.values())
        ),
        None,
    )
    if newest is None:
        return None
    left_out = {**records[0].skipped, **_skipped(records[0])}
    commit = newest[0]
    runs = {m for m in minions if m in last and _has(last[m], commit)}
    others = {m: _straggler(last.get(m), left_out.get(m)) for m in sorted(set(minions) - runs)}
    return {
        "commit": commit,
        "applied": len(runs),
        "of": len(minions),
        "since": iso(max((last[m][2] for m in runs), default=newest[1])),
        "others": others,
    }


def _skipped(record: Record) -> dict[str, str]:
    """Those that were left out in the middle, and why."""
    outcomes = {m: run.of(m) for run in record.passes for m in run.minions}
    return {m: one.reason for m, one in outcomes.items() if one.state == SKIPPED}


def _has(last: tuple[str, Outcome, float], commit: str) -> bool:
    return last[0] == commit and last[1].state == APPLIED


def _straggler(last: tuple[str, Outcome, float] | None, left_out: str | None) -> str:
    """What a minion got last instead of the newest commit, and why that one was left out."""
    said = f"{last[1].state} at {last[0][:12]}" if last else "nothing applied from here"
    is_reason = left_out and left_out != NOTHING_CHANGES
    return f"{said}, left out: {printable(left_out or '')}" if is_reason else said


def not_over(
    root: str, saltenv: Saltenv, records: Sequence[Record], now: float
) -> dict[str, object] | None:
    """The apply of a saltenv that is under way, was killed or has stopped, and the command that goes on with it."""
    lease = leased.read(root, saltenv.dirname, now)
    record = records[0] if records else None
    if lease and not (record and record.id >= lease.apply):
        return _planning(root, saltenv, lease)
    if record is None or record.status in OVER:
        return None
    run = record.last
    state: str = record.status
    if record.status == UNDER_WAY and not is_alive(root, saltenv.dirname):
        state = KILLED
    return {
        "id": record.id,
        "state": state,
        "kind": run.kind,
        "commit": run.commit,
        "by": printable(record.by),
        "since": iso(record.since),
        "batch": min(run.at + 1, len(run.batches)),
        "batches": len(run.batches),
        "step": run.step or None,
        "counts": run.counts(),
        "running": [m for m in run.minions if run.of(m).state == RUNNING],
        "why": printable(record.why) or None,
        "command": "" if state == UNDER_WAY else f"saltbranch apply --resume {record.id}",
    }


def _planning(root: str, saltenv: Saltenv, lease: Lease) -> dict[str, object]:
    """Nothing of it is written down yet but that it holds the saltenv."""
    alive = is_alive(root, saltenv.dirname)
    return {
        "id": printable(lease.apply),
        "state": PLANNING if alive else KILLED,
        "kind": run_state.APPLY,
        "commit": printable(lease.commit),
        "by": printable(lease.by),
        "since": iso(lease.since),
        "batch": 0,
        "batches": 0,
        "step": None,
        "counts": {},
        "running": [],
        "why": None,
        "command": "" if alive else f"saltbranch apply {saltenv.name}",
    }


def waits(root: str, saltenv: str, served: str) -> dict[str, object] | None:
    """The state runs that the switch of a saltenv waits for, which serves the commit `served` meanwhile."""
    found = drain_record.load(root, saltenv)
    if found is None or found["old"] != served:
        return None
    return {key: found[key] for key in ("since", "until", "then", "runs")}


def is_alive(root: str, dirname: str) -> bool:
    """Whether a process applies the saltenv with that folder name."""
    path = run_state.lock_path(root, dirname)
    if not os.path.exists(path):
        return False
    try:
        with files.Lock(path):
            return False
    except LockedError:
        return True


def signed_by(root: str, saltenv: Saltenv | None, served: CommitInfo | None) -> tuple[str, ...]:
    """Who signed what came with the commit that is served, as the sync found it; nobody where that is not asked."""
    if saltenv is None or saltenv.require_signed is None or served is None:
        return ()
    from saltbranch.serve import signed  # only where it is asked for

    try:
        found = signed.load(root, saltenv.name)
    except OSError:
        return ()
    return tuple(found.by) if found.accepted == served.commit else ()
