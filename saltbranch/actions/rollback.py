"""rollback: a saltenv serves again what it served before its last promotion. No branch is touched."""

from __future__ import annotations

from dataclasses import replace

from saltbranch.actions.shared.steps import Step, steps
from saltbranch.base.errors import RefusedError, UsageError
from saltbranch.config.model import Saltenv
from saltbranch.journal.events import ROLLBACK
from saltbranch.journal.facts import Promotion
from saltbranch.promote.hold_plan import HoldPlan, hold_at, promotions_to, refused_here
from saltbranch.promote.promotion import named
from saltbranch.repository.workplace import Workplace

_PATIENCE = 20.0  # seconds for the preview: whoever rolls back is in a hurry


def plan_rollback(work: Workplace, saltenv: str, *, to: str | None, reason: str) -> HoldPlan:
    """Hold `saltenv` at what it served before its last promotion, or at what the promotion `to` brought.

    What was pushed by hand and served counts as a promotion does. Raises UsageError, RefusedError.
    """
    found = named(work, saltenv)
    if to:
        promotion = _promotion(work, found, to)
        commit = promotion.new
        step = promotion.id
    else:
        commit, step = _last(work, found)
    return hold_at(work, found, commit, kind=ROLLBACK, reason=reason, promotion=step)


def with_stays(work: Workplace, plan: HoldPlan) -> HoldPlan:
    """`plan` with what it does not undo, by the fleet that is known here. It compiles, within a limit of time."""
    if not (plan.serves and plan.will_serve) or plan.serves == plan.will_serve:
        return plan
    from saltbranch.apply.ask_preview import Preview  # who is in a hurry does not load the compiler

    preview = Preview(work.place, plan.saltenv, seconds=_PATIENCE)
    minions = preview.minions()
    if not minions:
        return plan
    return replace(plan, stays=preview.stays(plan.serves, plan.will_serve, minions).as_dict())


def _promotion(work: Workplace, saltenv: Saltenv, name: str) -> Promotion:
    known = [p for p in promotions_to(work, saltenv) if p.id == name or p.id.startswith(name)]
    found = known[0] if name and len({p.id for p in known}) == 1 else None
    if found is None or found.saltenv != saltenv.name:
        raise UsageError(
            f"--to {name}: there is no such promotion to {saltenv.name}",
            hint=f"saltbranch history {saltenv.name} lists them",
        )
    return found


def _last(work: Workplace, saltenv: Saltenv) -> tuple[str, str]:
    """What was served before the last step whose result the saltenv serves, and the id of that step.

    A step is a promotion, or a push by hand that is served; after a rollback it is an earlier one. What this machine
    refused is passed over: it was on the branch, and no minion has had it.
    """
    serves = work.wanted(saltenv).commit
    never = refused_here(work, saltenv)
    for step in reversed(steps(work, saltenv)):
        if step.before is None or step.before == serves or step.before in never:
            continue
        if serves is None or _contains(work, serves, step):
            return step.before, step.id
    if work.repo.problem:
        raise work.repo.problem
    raise RefusedError(
        f"the journal knows no promotion of what {saltenv.name} serves now",
        hint=f"name the commit: saltbranch hold {saltenv.name} --at COMMIT --reason TEXT",
    )


def _contains(work: Workplace, serves: str, step: Step) -> bool:
    """Whether what is served has come by `step`; of a hotfix on top of a hold only its source is served."""
    named = [step.new, step.source] if step.source else [step.new]
    return any(work.git.commit_or_none(c) and work.git.is_ancestor(c, serves) for c in named)
