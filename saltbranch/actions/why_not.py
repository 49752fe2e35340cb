"""why-not: what stands in the way of the next promotion."""

from __future__ import annotations

from dataclasses import replace

from saltbranch.actions.shared.caller import Caller
from saltbranch.promote import ask_gates, make_plan, promotion
from saltbranch.promote.plan import Plan
from saltbranch.promote.request import DiffOptions
from saltbranch.promote.why_not import WhyNot
from saltbranch.repository.workplace import Workplace


def why_not(
    caller: Caller[Plan], saltenv: str, *, commit: str | None = None
) -> tuple[Workplace, WhyNot]:
    """What the gates of `saltenv` say of its next promotion; compiled is only where one of them asks for that.

    Raises RefusedError, UsageError, GitError.
    """
    work = caller.open()
    caller.settle(
        work,
        lambda: ask_gates.commands(work, promotion.request(work, saltenv, commit=commit)),
    )
    with caller.watching() as watcher:
        request = promotion.request(work, saltenv, commit=commit)
        options = DiffOptions(wanted=request.asks_for_diff, progress=watcher.compiled)
        return work, WhyNot.of(make_plan.plan(work, replace(request, diff=options)))
