"""The events that tell the master's bus of what a runner pushed: promotions, holds and their like."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from saltbranch.base import asked_by
from saltbranch.base.durations import iso
from saltbranch.promote.hold_all_plan import HoldAllPlan

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


def recorded(
    plan: HoldPlan | HoldAllPlan, *, local: bool
) -> Iterator[tuple[str, dict[str, object]]]:
    """Tag and data of the events for a hold, unhold, rollback or accept that was recorded, of each saltenv.

    `old` and `new` are what the saltenv serves, `id` is that of the journal.
    """
    promotion = "" if isinstance(plan, HoldAllPlan) else plan.promotion
    for row in plan.rows if isinstance(plan, HoldAllPlan) else (plan,):
        yield (
            f"saltbranch/{plan.event.kind}/{row.saltenv}",
            {
                "saltenv": row.saltenv,
                "id": plan.event.id,
                "old": row.serves,
                "new": row.will_serve,
                "reason": plan.reason,
                "until": iso(plan.until) if plan.until is not None else None,
                "promotion": promotion or None,
                "local": local,
                **asked_by.told(plan.event.by, plan.event.details),
            },
        )
