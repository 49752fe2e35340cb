"""metrics: what `status` knows of this master, as numbers for a monitoring system. The network is not touched."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from saltbranch import __version__
from saltbranch.actions.status import SaltenvStatus, Status, status
from saltbranch.base.durations import from_iso
from saltbranch.base.openmetrics import Gauge

_PREFIX = "saltbranch_"
_OF_MASTER = {
    "info": "The version of saltbranch, and the branch that the model stands on.",
    "last_good_sync_timestamp_seconds": "When the remote was last read and served without a fault.",
    "sync_failed": "Whether a sync has failed since the last good one.",
    "restart_needed": "Whether the salt-master has to be restarted.",
    "unreported": "Whether the journal does not know yet what this master serves.",
    "unread_refs": "Refs of the remote that the last sync could not read.",
    "held_all": "Whether all saltenvs are held (hold --all).",
    "notifications_waiting": "Messages and calls of hooks that are not sent yet.",
    "notifications_dropped": "Messages that were dropped lately, so that nobody was told.",
    "unclaimed_minions": "Accepted minions that no saltenv claims.",
}
_OF_SALTENV = {
    "info": "What the saltenv serves, and why.",
    "served_commit_timestamp_seconds": "When the commit that is served was made.",
    "served_since_timestamp_seconds": "Since when that commit is served here.",
    "in_sync": "Whether it serves what it is to serve.",
    "unserved_commits": "Commits of the branch beyond the one that is served, merges aside.",
    "unpromoted_commits": "Commits of the saltenv before it that it lacks, merges aside.",
    "commits_missing_below": "Its commits that the saltenv before it lacks, merges aside.",
    "held": "Whether a hold or rollback decides what it serves.",
    "held_since_timestamp_seconds": "Since when it is held.",
    "hold_ends_timestamp_seconds": "When the hold ends by itself.",
    "refused": "Whether syncs refuse the commit that it is to serve, or what was pushed by hand.",
    "pushed_by_hand_commits": "Commits pushed to its branch by hand that nobody accepted or promoted.",
    "debts": "Hotfixes that its branch lacks.",
    "minions": "Accepted minions that it claims.",
    "switch_waits_since_timestamp_seconds": "Since when a switch waits for state runs.",
    "state_runs_waited_for": "State runs that a switch waits for.",
    "promotion_possible": "Whether the next promotion to it could go on, where there is one.",
    "promotion_conflicts": "Paths in which the next promotion to it conflicts.",
}
_OF_GATE = {
    "gate_open": "Whether a gate lets the next promotion to the saltenv go on; 0 also where it cannot tell.",
    "gate_passes_timestamp_seconds": "When a closed gate passes by itself.",
}


def metrics(config_path: str) -> list[Gauge]:
    """The gauges of the master whose machine's file is `config_path`. Raises ConfigError, SaltError, GitError."""
    return of(status(config_path))


def of(found: Status) -> list[Gauge]:
    """The same, of its status."""
    master = {name: Gauge(f"{_PREFIX}{name}", text) for name, text in _OF_MASTER.items()}
    saltenv = {
        name: Gauge(f"{_PREFIX}saltenv_{name}", text)
        for name, text in (_OF_SALTENV | _OF_GATE).items()
    }
    _of_master(master, found)
    for row in found.saltenvs:
        _of_saltenv(saltenv, row)
        if row.next and not row.next["nothing_to_promote"]:
            _of_promotion(saltenv, row.saltenv, row.next)
    return [*master.values(), *saltenv.values()]


def _of_master(gauges: Mapping[str, Gauge], found: Status) -> None:
    gauges["info"].add(1, version=__version__, model_branch=str(found.model["branch"] or ""))
    values = {
        "last_good_sync_timestamp_seconds": found.last_good_sync,
        "sync_failed": found.failure is not None,
        "restart_needed": found.restart_needed is not None,
        "unreported": found.unreported,
        "unread_refs": len(found.unread),
        "held_all": any(row.hold and row.hold["all"] for row in found.saltenvs),
        "notifications_waiting": found.notifications.waiting,
        "notifications_dropped": found.notifications.dropped,
        "unclaimed_minions": len(found.unclaimed),
    }
    for name, value in values.items():
        gauges[name].add(value)


def _of_saltenv(gauges: Mapping[str, Gauge], row: SaltenvStatus) -> None:
    served = row.served
    words = {"branch": row.branch, "state": row.state, "why": row.why, "tag": row.tag or ""}
    commits = {"served": served.commit if served else "", "wanted": row.wanted or ""}
    gauges["info"].add(1, saltenv=row.saltenv, **words, **commits)
    hold, waits = row.hold, row.waits
    values = {
        "served_commit_timestamp_seconds": _of_iso(served.date) if served else None,
        "served_since_timestamp_seconds": row.served_since,
        "in_sync": row.state != "absent" and not row.drift,
        "unserved_commits": row.remote_ahead,
        "unpromoted_commits": row.waiting,
        "commits_missing_below": row.lacking,
        "held": hold is not None,
        "held_since_timestamp_seconds": from_iso(str(hold["since"])) if hold else None,
        "hold_ends_timestamp_seconds": from_iso(str(hold["until"]))
        if hold and hold["until"]
        else None,
        "refused": row.refused is not None or bool(row.pushed and row.pushed["refused"]),
        "pushed_by_hand_commits": _number(row.pushed, "number") if row.pushed else 0,
        "debts": len(row.debts),
        "minions": row.minions,
        "switch_waits_since_timestamp_seconds": _number(waits, "since") if waits else None,
        "state_runs_waited_for": _number_of_runs(waits),
    }
    for name, value in values.items():
        gauges[name].add(value, saltenv=row.saltenv)


def _of_promotion(gauges: Mapping[str, Gauge], saltenv: str, following: Mapping[str, Any]) -> None:
    """What its next promotion waits for. following: as WhyNot has it."""
    gauges["promotion_possible"].add(following["possible"], saltenv=saltenv)
    gauges["promotion_conflicts"].add(len(following["conflicts"]), saltenv=saltenv)
    for gate in following["gates"]:
        labels = {"saltenv": saltenv, "gate": str(gate["gate"])}
        gauges["gate_open"].add(gate["verdict"] == "pass", **labels)
        if gate["passes_at"]:
            gauges["gate_passes_timestamp_seconds"].add(from_iso(gate["passes_at"]), **labels)


def _of_iso(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _number(data: Mapping[str, object], key: str) -> float | None:
    value = data[key]
    return float(value) if isinstance(value, int | float) else None


def _number_of_runs(waits: Mapping[str, object] | None) -> int:
    runs = waits["runs"] if waits else ()
    return len(runs) if isinstance(runs, list | tuple) else 0
