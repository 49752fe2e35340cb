"""The events that tell the master's bus of what a runner pushed: promotions, holds and their like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saltbranch.base import asked_by
from saltbranch.base.durations import iso

if TYPE_CHECKING:
    from saltbranch.promote.apply_plan import Published
    from saltbranch.promote.hold_plan import HoldPlan


def promotion_tag(saltenv: str) -> str:
    """The tag of the event for a promotion to `saltenv`."""
    return f"saltbranch/promote/{saltenv}"


def promotion_data(done: Published) -> dict[str, object]:
    """The data of that event; `old` and `new` are heads of the branch, `id` is that of the journal."""
    plan = done.plan
    return {
        "saltenv": plan.saltenv,
        "branch": plan.target.branch,
        "id": done.id,
        "source": plan.source,
        "source_commit": plan.target.source,
        "old": plan.target.old,
        "new": done.new,
        "tag": plan.tag or None,
        "tickets": list(plan.changes.tickets),
        "digest": plan.digest,
        **asked_by.told(done.by, done.asked.details()),
    }


def recorded_tag(plan: HoldPlan) -> str:
    """The tag of the event for a hold, unhold, rollback or accept that was recorded."""
    return f"saltbranch/{plan.event.kind}/{plan.saltenv}"


def recorded_data(plan: HoldPlan, *, local: bool) -> dict[str, object]:
    """The data of that event; `old` and `new` are what the saltenv serves, `id` is that of the journal."""
    return {
        "saltenv": plan.saltenv,
        "id": plan.event.id,
        "old": plan.serves,
        "new": plan.will_serve,
        "reason": plan.reason,
        "until": iso(plan.until) if plan.until is not None else None,
        "promotion": plan.promotion or None,
        "local": local,
        **asked_by.told(plan.event.by, plan.event.details),
    }
