"""hold: which commit a saltenv serves, whatever its branch says. No branch is touched."""

from __future__ import annotations

from saltbranch.base.durations import iso
from saltbranch.base.errors import RefusedError
from saltbranch.config.model import Saltenv
from saltbranch.journal.events import HOLD
from saltbranch.promote.hold_all_plan import HoldAllPlan, Row
from saltbranch.promote.hold_plan import (
    HoldPlan,
    asked_reason,
    event_of,
    hold_at,
    promotions_to,
    served,
)
from saltbranch.promote.promotion import named
from saltbranch.repository import prepared, timeline
from saltbranch.repository.workplace import Workplace


def plan_hold(
    work: Workplace, saltenv: str, *, at: str | None, reason: str, until: float | None
) -> HoldPlan:
    """Hold `saltenv` at a commit, tag or promotion; without `at` at what it serves now (a freeze).

    until: seconds since 1970. Raises UsageError, RefusedError.
    """
    found = named(work, saltenv)
    commit = _commit(work, found, at) if at else _served_now(work, found)
    if commit is None:
        raise RefusedError(
            f"{saltenv} serves nothing that it could be held at", hint="name a commit with --at"
        )
    return hold_at(work, found, commit, kind=HOLD, reason=reason, until=until)


def plan_hold_all(work: Workplace, *, reason: str, until: float | None) -> HoldAllPlan:
    """Hold every saltenv of the model at what it serves now, by one event; holds of single ones stay below it.

    Also those that other masters serve. until: as in plan_hold. Raises UsageError, RefusedError.
    """
    reason, rows = asked_reason(reason, "hold --all"), []
    for saltenv in (*work.config.saltenvs, *work.config.elsewhere):
        commit, note = _stopped_at(work, saltenv)
        rows.append(Row(saltenv.name, commit, commit, note))
    held = [{"saltenv": row.saltenv, "commit": row.will_serve} for row in rows if row.will_serve]
    if not held:
        raise RefusedError(
            "no saltenv serves anything that it could be held at", hint="saltbranch status"
        )
    details = {
        "all": True,
        "saltenvs": held,
        "reason": reason,
        "until": iso(until) if until is not None else None,
    }
    event = event_of(work, HOLD, details)
    return HoldAllPlan("hold --all", tuple(rows), event, reason, until)


def _stopped_at(work: Workplace, saltenv: Saltenv) -> tuple[str | None, str]:
    """What a hold of all holds `saltenv` at, and what is to be said of it: an emergency waits for no answer."""
    try:
        commit = _served_now(work, saltenv)
    except RefusedError as err:
        return work.wanted(saltenv).commit, err.message
    return commit, "" if commit else "it serves nothing yet"


def _served_now(work: Workplace, saltenv: Saltenv) -> str | None:
    """What a freeze holds: what is really served, where what was pushed by hand is refused, too.

    What a master served before that was refused it goes on serving. So a master looks at what it serves, and others
    at what masters told. Raises RefusedError where that is not known.
    """
    wanted, tip = work.wanted(saltenv), work.state.tips.get(saltenv.branch)
    head = work.refs.branches.get(saltenv.branch)
    if wanted.hold or not saltenv.promote_from or tip is None or tip.head != head:
        return served(work, saltenv)
    if not tip.is_refused:
        return served(work, saltenv)
    told = _told_served(work, saltenv)
    if len(told) == 1:
        return told.pop()
    known = f"{saltenv.branch} was pushed to by hand, which is refused"
    if told:
        known += f", and masters serve {', '.join(sorted(c[:12] for c in told))}"
    else:
        known += ", and no master has told the journal what it serves since (record_syncs)"
    raise RefusedError(
        f"what {saltenv.name} serves is not known here: {known}",
        hint=f"name it: --at {(wanted.commit or tip.good)[:12]} is the last that was promoted or accepted;"
        " saltbranch status on a master says what it serves",
    )


def _told_served(work: Workplace, saltenv: Saltenv) -> set[str]:
    """The commits that this master serves, or that masters told."""
    if work.serves:
        record = prepared.load_served(work.config.root).get(saltenv.dirname)
        return {record.commit} if record else set()
    return {r.commit for r in work.state.serving(saltenv.name).values()}


def _commit(work: Workplace, saltenv: Saltenv, at: str) -> str:
    """What `at` names, which must be of the saltenv's history. Raises UsageError, RefusedError."""
    commit = timeline.commit_of(work, at, option="--at").commit
    promotions = promotions_to(work, saltenv)
    head = work.head(saltenv)
    known = [p.new for p in promotions] + [p.served_before for p in promotions]
    if not work.git.is_ancestor(commit, head) and commit not in known:
        raise RefusedError(
            f"{commit[:12]} was never on {saltenv.branch}, so {saltenv.name} cannot have been proven with it",
            hint=f"promote it to {saltenv.name}, or name one of: {work.repo.log_command(saltenv.branch)}",
        )
    return commit
