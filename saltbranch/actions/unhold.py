"""unhold: a saltenv follows its branch or tags again."""

from __future__ import annotations

from saltbranch.base import asked_by
from saltbranch.base.errors import RefusedError
from saltbranch.config.model import Saltenv
from saltbranch.journal.events import UNHOLD
from saltbranch.promote.hold_plan import HoldPlan, event_of
from saltbranch.promote.promotion import named
from saltbranch.repository.workplace import Workplace


def plan_unhold(work: Workplace, saltenv: str, *, reason: str) -> HoldPlan:
    """Let `saltenv` follow its branch or tags again. Raises UsageError, RefusedError."""
    found = named(work, saltenv)
    hold = work.hold(found)
    if hold is None:
        raise RefusedError(f"{saltenv} is not held", hint="saltbranch status shows holds")
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


def _without_hold(work: Workplace, saltenv: Saltenv) -> str | None:
    kept = work.state.holds.pop(saltenv.name)
    try:
        return work.wanted(saltenv).commit
    finally:
        work.state.holds[saltenv.name] = kept
