"""What hold, unhold, rollback and accept have in common: plan, ask, record in the journal, and sync."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from saltbranch.actions.shared.after_push import WAIT, Followed, Notify, follow
from saltbranch.actions.shared.caller import Caller
from saltbranch.base.errors import EXIT_PENDING, RefusedError
from saltbranch.git import identity
from saltbranch.git.mirror import JOURNAL_REF
from saltbranch.journal import store as journal
from saltbranch.promote.hold_plan import HoldPlan
from saltbranch.repository import timeline
from saltbranch.repository.push import PushRefused, RefUpdate, push_refs
from saltbranch.repository.workplace import Say, Workplace


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a verb recorded, and the sync that followed on this machine. serves: whether it has saltenvs itself."""

    plan: HoldPlan
    followed: Followed
    serves: bool

    @property
    def exit_code(self) -> int:
        """That of the sync: what is recorded is recorded."""
        return self.followed.exit_code

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        sync = self.followed.sync
        problems = [self.problem] if self.problem else []
        synced = sync.as_dict() if sync else None
        return {**self.plan.as_dict(), "problems": problems, "sync": synced}

    @property
    def problem(self) -> str:
        """What went wrong afterwards."""
        found = self.followed.problem
        return f"recorded, but not synced: {found}" if found else ""


@dataclass(frozen=True, slots=True)
class HoldPlanned:
    """Only the plan was asked for."""

    plan: HoldPlan

    exit_code = EXIT_PENDING


def run(
    caller: Caller[HoldPlan],
    build: Callable[[Workplace], HoldPlan],
    *,
    local: bool = False,
    plan: bool = False,
) -> Recorded | HoldPlanned:
    """Plan by `build`, show, ask, record and sync.

    local: on this master alone, without the remote. plan: only say what would be recorded. Raises SaltbranchError.
    """
    work = caller.open_mirror() if local else caller.open()
    if not local:
        refuse_unrecordable(work)
    found = build(work)
    caller.show(work, found, is_result=plan)
    if plan:
        return HoldPlanned(found)
    caller.agree(found.verb)
    if local:
        return carry_out_locally(work, found, caller.notify)
    with caller.watching() as watcher:
        return carry_out(work, lambda: build(work), found, say=watcher.say, notify=caller.notify)


def refuse_unrecordable(work: Workplace) -> None:
    """Refuse what cannot be recorded, since what the remote has as journal is not one. Raises RefusedError."""
    if found := work.repo.problem:
        here = "; --local does it at once on this master" if work.serves else ""
        raise RefusedError(found.message, hint=f"{found.hint}{here}")


def record(
    work: Workplace, replan: Callable[[], HoldPlan], plan: HoldPlan, say: Say | None = None
) -> HoldPlan:
    """Append the event of `plan` to the journal; the plan that was applied.

    When somebody else wrote meanwhile it is planned anew, and goes on if it says the same.
    Raises RefusedError, RemoteError.
    """
    refuse_unrecordable(work)
    identity.check_person(work.git)
    for _ in range(8):
        new_events = [*timeline.unrecorded(work), plan.event]
        head, _written = journal.append(work.git, work.refs.journal, new_events)
        try:
            push_refs(work.repo, [RefUpdate(JOURNAL_REF, work.refs.journal, head)], say)
            return plan
        except PushRefused as err:
            if err.kind != "race":
                raise
            work.refresh(say)
            new = replan()
            if (new.will_serve, new.serves) != (plan.will_serve, plan.serves):
                raise RefusedError(
                    f"another push came first: {plan.saltenv} serves {(new.serves or 'nothing')[:12]} now",
                    hint=f"look again: saltbranch {plan.verb} --plan",
                ) from err
            plan = new
    raise RefusedError(
        "others wrote to the journal all the time; nothing was changed", hint="run it again"
    )


def carry_out(
    work: Workplace,
    replan: Callable[[], HoldPlan],
    plan: HoldPlan,
    *,
    say: Say | None = None,
    notify: Notify | None = None,
) -> Recorded:
    """Record `plan`, then sync this machine's saltenvs, where it has any. Raises what record raises."""
    done = record(work, replan, plan, say)
    return Recorded(done, follow(work, notify), work.serves)


def carry_out_locally(work: Workplace, plan: HoldPlan, notify: Notify | None) -> Recorded:
    """Record and serve `plan` on this master alone; the next sync that reaches the remote publishes it.

    work: of `workplace.open_mirror`. Raises what hold_here.hold_locally raises.
    """
    from saltbranch.serve.hold_here import hold_locally

    synced = hold_locally(work.config_path, plan.event, wait=WAIT, notify=notify)
    return Recorded(plan, Followed(synced), work.serves)
