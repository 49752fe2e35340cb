"""What a minion's return of state.apply means.

Salt's own tools disagree about that (an empty return is no failure to its batches, and the exit code of a minion
depends on how it was asked), so what a minion says is looked at state by state.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, cast, get_args

from saltbranch.base.text import printable
from saltbranch.salt_master.jobs import Return

State = Literal["pending", "running", "applied", "failed", "timed-out", "gone", "skipped"]
PENDING: Final = "pending"
RUNNING: Final = "running"
APPLIED: Final = "applied"
FAILED: Final = "failed"
TIMED_OUT: Final = "timed-out"
GONE: Final = "gone"
SKIPPED: Final = "skipped"
STATES: tuple[State, ...] = get_args(State)
WRONG: Final = (FAILED, TIMED_OUT, GONE)
"""Those that count as a failure."""

NOTHING_CHANGES: Final = "nothing would change"
"""Why a minion is left out where only those are wanted that change."""
NOTHING: Final = "it returned nothing"
_LONGEST = 300
_NAMED = 3  # failed states that are named


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a minion. changed: how many states changed something, of `states`. jid: of its job."""

    state: State
    reason: str = ""
    changed: int = 0
    states: int = 0
    jid: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def outcome_from_dict(data: Mapping[str, Any]) -> Outcome:
    """What Outcome.as_dict() gave. Raises ValueError."""
    state, reason, jid = (data.get(key) for key in ("state", "reason", "jid"))
    changed, states = (data.get(key) for key in ("changed", "states"))
    if state not in STATES or not isinstance(reason, str) or not isinstance(jid, str):
        raise ValueError(f"no outcome: {data!r}")
    if type(changed) is not int or type(states) is not int:
        raise ValueError(f"no outcome: {data!r}")
    return Outcome(cast(State, state), reason, changed, states, jid)


@dataclass(frozen=True, slots=True)
class Change:
    """A state that changes something, or would. what: the changes as JSON, as far as a test run knows them."""

    sls: str
    id: str
    function: str
    name: str
    what: str


@dataclass(frozen=True, slots=True)
class Run:
    """A minion's states. changes: of those that changed something, or would. failed: what each that failed says.

    problem: why these are no results of states at all. tested: how many were not really run. states: how many.
    """

    problem: str = ""
    changes: tuple[Change, ...] = ()
    failed: tuple[str, ...] = ()
    tested: int = 0
    states: int = 0


def is_busy(returned: Return) -> bool:
    """Whether a minion began nothing since it runs states already (salt/modules/state.py, _check_queue)."""
    value = returned.value
    return isinstance(value, list) and any("is running as PID" in str(line) for line in value)


def look(returned: Return) -> Run:
    """What a minion returned of its states, run or tested."""
    value = returned.value
    if problem := _problem(returned):
        return Run(problem=problem)
    changes, failed, tested = [], [], 0
    for key, state in value.items():
        if not isinstance(state, Mapping) or "result" not in state:
            return Run(problem=f"it returned {short(repr(state))} for {short(key)}")
        result = state["result"]
        if result is None:
            tested += 1
        elif result is not True:
            failed.append(f"{_id_of(key, state)}: {short(str(state.get('comment') or ''))}")
        if state.get("changes") or result is None:
            changes.append(_change(key, state))
    return Run("", tuple(sorted(changes, key=repr)), tuple(failed), tested, len(value))


def _problem(returned: Return) -> str:
    """Why a return is no results of states; empty where it may be."""
    value = returned.value
    if returned.problem:
        return returned.problem
    if value is None or value in ({}, [], ""):
        return NOTHING
    if isinstance(value, (str, list)):
        lines = [value] if isinstance(value, str) else [str(line) for line in value]
        return short("; ".join(lines))
    if not isinstance(value, Mapping):
        return f"it returned {short(repr(value))}, which are no states"
    return ""


def judge(returned: Return) -> Outcome:
    """What became of a minion that was really applied to."""
    run = look(returned)
    changed = len(run.changes)
    if run.problem:
        return Outcome(FAILED, run.problem)
    if run.failed:
        more = len(run.failed) - _NAMED
        told = "; ".join(run.failed[:_NAMED]) + (f"; and {more} more" if more > 0 else "")
        return Outcome(
            FAILED, f"{len(run.failed)} of {run.states} states: {told}", changed, run.states
        )
    if run.tested:
        return Outcome(
            FAILED, f"{run.tested} of {run.states} states were only tested", changed, run.states
        )
    if returned.retcode or not returned.success:
        return Outcome(
            FAILED, f"no state failed, but its retcode is {returned.retcode}", changed, run.states
        )
    return Outcome(APPLIED, "", changed, run.states)


def _change(key: str, state: Mapping[str, Any]) -> Change:
    module, _, rest = key.partition("_|-")
    what = json.dumps(state.get("changes") or {}, sort_keys=True)
    return Change(
        sls=_text(state.get("__sls__")),
        id=_id_of(key, state),
        function=f"{short(module)}.{short(rest.rpartition('_|-')[2])}",
        name=_text(state.get("name")),
        what=what,
    )


def _id_of(key: str, state: Mapping[str, Any]) -> str:
    parts = key.split("_|-")
    return _text(state.get("__id__")) or short(parts[1] if len(parts) > 1 else key)


def _text(value: object) -> str:
    return short(value) if isinstance(value, str) else ""


def short(text: str) -> str:
    """What a minion says, as one line that is not long."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."
