"""The event that tells the master's bus of a promotion through the runner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saltbranch.base import asked_by

if TYPE_CHECKING:
    from saltbranch.promote.apply_plan import Published


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
