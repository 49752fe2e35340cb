"""unhold: a saltenv follows its branch or tags again."""

from __future__ import annotations

from saltbranch.base import asked_by
from saltbranch.base.errors import RefusedError
from saltbranch.config.model import Saltenv
from saltbranch.journal.events import UNHOLD
from saltbranch.promote.hold_all_plan import HoldAllPlan, Row
from saltbranch.promote.hold_plan import HoldPlan, event_of
from saltbranch.promote.promotion import named
from saltbranch.repository.workplace import Workplace


def plan_unhold(work: Workplace, saltenv: str, *, reason: str) -> HoldPlan:
    """Let `saltenv` follow its branch or tags again. Raises UsageError, RefusedError."""
    found = named(work, saltenv)
    hold = work.hold(found)
    if hold is None:
        raise RefusedError(f"{saltenv} is not held", hint="saltbranch status shows holds")
    if hold.all:
        raise RefusedError(
            f"{saltenv} is held with all other saltenvs, by {hold.who} ({hold.reason})",
            hint="saltbranch unhold --all lets all of them go; hold before, one by one, what is to stay as it is",
        )
    after, reason = _without_hold(work, found), asked_by.reason(reason)
    event = event_of(work, UNHOLD, {"saltenv": found.name, "reason": reason, "held": hold.commit})
    return HoldPlan(
        verb=f"unhold {saltenv}",
        saltenv=saltenv,
        event=event,
        serves=hold.commit,
        will_serve=after,
        reason=reason,
        until=None,
    )


def plan_unhold_all(work: Workplace, *, reason: str) -> HoldAllPlan:
    """End the hold of all saltenvs; what holds single ones counts again. Raises UsageError, RefusedError."""
    if work.state.hold_of_all(work.now) is None:
        raise RefusedError(
            "there is no hold of all saltenvs",
            hint="saltbranch status shows holds; saltbranch unhold SALTENV lets one go",
        )
    saltenvs = (*work.config.saltenvs, *work.config.elsewhere)
    before = {s.name: work.wanted(s).commit for s in saltenvs}
    kept, work.state.held_all = work.state.held_all, {}
    try:
        rows = tuple(Row(s.name, before[s.name], *_free(work, s)) for s in saltenvs)
    finally:
        work.state.held_all = kept
    reason = asked_by.reason(reason)
    held = [{"saltenv": hold.saltenv, "held": hold.commit} for hold in kept.values()]
    event = event_of(work, UNHOLD, {"all": True, "saltenvs": held, "reason": reason})
    return HoldAllPlan("unhold --all", rows, event, reason, None)


def _free(work: Workplace, saltenv: Saltenv) -> tuple[str | None, str]:
    """What `saltenv` is to serve, and whether it stays held."""
    found = work.wanted(saltenv)
    return found.commit, f"stays held: {found.hold.reason}" if found.hold else ""


def _without_hold(work: Workplace, saltenv: Saltenv) -> str | None:
    kept = work.state.holds.pop(saltenv.name)
    try:
        return work.wanted(saltenv).commit
    finally:
        work.state.holds[saltenv.name] = kept
