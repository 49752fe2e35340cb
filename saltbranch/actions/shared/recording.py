"""What hold, unhold, rollback, accept and lab have in common: plan, ask, record in the journal, and sync."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from saltbranch.actions.shared.after_push import WAIT, Followed, Notify, follow
from saltbranch.actions.shared.caller import Caller
from saltbranch.base.errors import EXIT_PENDING, RefusedError
from saltbranch.git import identity
from saltbranch.git.mirror import JOURNAL_REF
from saltbranch.journal import store as journal
from saltbranch.journal.events import Event
from saltbranch.repository import timeline
from saltbranch.repository.push import PushRefused, RefUpdate, push_refs
from saltbranch.repository.workplace import Say, Workplace


class Recordable(Protocol):
    """A plan of which nothing but events comes."""

    @property
    def verb(self) -> str:
        """The verb and what it is done with, for messages."""

    @property
    def events(self) -> Sequence[Event]:
        """What is to be recorded; none where it is so already."""

    def refusal(self, new: Any, /) -> str:
        """Why `new`, planned after another push, is not what was agreed to; empty where it is."""

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""


R = TypeVar("R", bound=Recordable)


@dataclass(frozen=True, slots=True)
class Recorded(Generic[R]):
    """What a verb recorded, and the sync that followed on this machine. serves: whether it has saltenvs itself."""

    plan: R
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
class HoldPlanned(Generic[R]):
    """Only the plan was asked for."""

    plan: R

    @property
    def exit_code(self) -> int:
        """Whether there is something to do."""
        return EXIT_PENDING if self.plan.events else 0


def run(
    caller: Caller[R],
    build: Callable[[Workplace], R],
    *,
    local: bool = False,
    plan: bool = False,
) -> Recorded[R] | HoldPlanned[R]:
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
    if found.events:
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


def record(work: Workplace, replan: Callable[[], R], plan: R, say: Say | None = None) -> R:
    """Append the events of `plan` to the journal; the plan that was applied.

    When somebody else wrote meanwhile it is planned anew, and goes on if it says the same.
    Raises RefusedError, RemoteError.
    """
    refuse_unrecordable(work)
    identity.check_person(work.git)
    for _ in range(8):
        if not plan.events:
            return plan
        new_events = [*timeline.unrecorded(work), *plan.events]
        head, _written = journal.append(work.git, work.refs.journal, new_events)
        try:
            push_refs(work.repo, [RefUpdate(JOURNAL_REF, work.refs.journal, head)], say)
            return plan
        except PushRefused as err:
            if err.kind != "race":
                raise
            work.refresh(say)
            new = replan()
            if why := plan.refusal(new):
                raise RefusedError(
                    f"another push came first: {why}",
                    hint=f"look again: saltbranch {plan.verb} --plan",
                ) from err
            plan = new
    raise RefusedError(
        "others wrote to the journal all the time; nothing was changed", hint="run it again"
    )


def carry_out(
    work: Workplace,
    replan: Callable[[], R],
    plan: R,
    *,
    say: Say | None = None,
    notify: Notify | None = None,
) -> Recorded[R]:
    """Record `plan`, then sync this machine's saltenvs, where it has any. Raises what record raises."""
    done = record(work, replan, plan, say)
    return Recorded(done, follow(work, notify), work.serves)


def carry_out_locally(work: Workplace, plan: R, notify: Notify | None) -> Recorded[R]:
    """Record and serve `plan` on this master alone; the next sync that reaches the remote publishes it.

    work: of `workplace.open_mirror`. Raises what hold_here.hold_locally raises.
    """
    from saltbranch.serve.hold_here import hold_locally

    synced = hold_locally(work.config_path, plan.events[0], wait=WAIT, notify=notify)
    return Recorded(plan, Followed(synced), work.serves)
