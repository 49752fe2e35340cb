"""
Move state code from saltenv to saltenv: promote, hold, unhold, rollback and accept, with the same
results and exit codes as the command ``saltbranch``.

They are functions of the runner ``saltbranch``, too: Salt puts all modules of one virtual name together
(salt/loader/lazy.py).

To call one is to agree: nothing is asked. ``plan=True`` only shows what would be done (retcode 3), and
``expect`` does only what was shown. The configuration is found as for ``saltbranch.sync``.

What is recorded says who called: the name that Salt authenticated, beside that of this machine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from saltbranch.ext import contract

if TYPE_CHECKING:
    from saltbranch.base.asked_by import Asked
    from saltbranch.promote.apply_plan import Published
    from saltbranch.promote.hold_all_plan import HoldAllPlan
    from saltbranch.promote.hold_plan import HoldPlan
    from saltbranch.repository.workplace import Workplace

    __opts__: dict[str, Any]

__virtualname__ = "saltbranch"


def __virtual__() -> str:
    """The name Salt loads it under."""
    return __virtualname__


@contract.plain
def promote(
    saltenv: str,
    commit: str | None = None,
    tag: str | None = None,
    plan: bool = False,  # noqa: FBT001, FBT002 - Salt calls by name
    expect: str | None = None,
    via: str = "push",
    override: str | list[str] | None = None,
    reason: str | None = None,
    reviewed: str | None = None,
    diff: bool = True,  # noqa: FBT001, FBT002
    claimed_by: str | None = None,
    wait_masters: str | None = None,
) -> contract.Result:
    """
    Merge what the saltenv before ``saltenv`` serves into its branch, by one atomic push, and sync.

    saltenv
        The saltenv to promote to.
    commit
        An earlier commit of the source.
    tag
        Make this annotated tag in the same push; ``auto`` for the next version.
    plan
        Only say what would be done; retcode 3 if that is anything.
    expect
        The digest of a plan: do it only if the plan is still that one.
    via
        ``branch`` pushes a branch for a pull request instead of the protected branch.
    override
        Gates to pass over, where the configuration allows it; with a reason.
    reason
        Why a gate is passed over; it is recorded.
    reviewed
        The digest of the diff that somebody reviewed, or its beginning: do it only with that one.
    diff
        Compile what changes for the minions of the saltenv, where there is a fleet.
    claimed_by
        For whom, where Salt does not know it: the name that an event brought to a reactor. It is recorded as a claim.
    wait_masters
        How long to wait until all masters that record their syncs serve it (``60s``); retcode 20 if some do not.

    A promotion fires the event ``saltbranch/promote/<saltenv>`` with its ``id``, ``old`` and ``new`` commit and
    tickets; each saltenv that the sync switches fires ``saltbranch/sync/<saltenv>``.

    CLI Example:

    .. code-block:: bash

        salt-run saltbranch.promote stage plan=True
        salt-run saltbranch.promote stage expect=5f3c2a81b0d94e67
    """
    from saltbranch.actions.promote import promote as action
    from saltbranch.actions.shared.merge_verb import (
        Finished,
        Forgotten,
        MergeOptions,
        Planned,
        Resolving,
        is_via_branch,
        overrides,
    )
    from saltbranch.ext.caller import Runner
    from saltbranch.promote.apply_plan import Published
    from saltbranch.promote.wait_masters import parse_seconds

    options = MergeOptions(
        plan=plan,
        expect=contract.text(expect),
        diff=diff,
        reviewed=contract.text(reviewed),
        via_branch=is_via_branch(contract.word(via)),
        overrides=overrides(contract.words(override), contract.reason(reason) or None),
        wait_masters=parse_seconds(contract.text(wait_masters)),
    )
    done = action(
        Runner(__opts__, contract.asked(claimed_by)),
        options,
        contract.word(saltenv),
        commit=contract.text(commit),
        tag=contract.text(tag),
    )
    match done:
        case Published():
            return _told(done)
        case Finished(found, left):
            return {**found.as_dict(), "problems": list(left.problems), "retcode": done.exit_code}
        case Planned(found):
            return {**found.as_dict(), "retcode": done.exit_code}
        case Resolving() | Forgotten():
            raise AssertionError("a runner opens no worktree, and asks for none to be forgotten")


def _told(done: Published) -> contract.Result:
    result = {**done.as_dict(), "retcode": done.exit_code}
    problem = None if done.plan.via_branch else contract.tell_promotion(__opts__, done)
    if problem:
        result["notes"] = [*done.notes, problem]
    return result


@contract.plain
def hold(
    saltenv: str,
    at: str | None = None,
    reason: str = "",
    until: str | None = None,
    local: bool = False,  # noqa: FBT001, FBT002
    plan: bool = False,  # noqa: FBT001, FBT002
    claimed_by: str | None = None,
) -> contract.Result:
    """
    Let ``saltenv`` serve a certain commit, whatever its branch says; every master follows at its next sync.

    saltenv
        The saltenv to hold.
    at
        A commit, a tag or the id of a promotion; what it serves now when not given.
    reason
        Why; it is recorded and has to be given.
    until
        When it ends: ``2h``, ``3d``, ``2026-12-24T18:00``; with ``unhold`` when not given.
    local
        The remote is out of reach: serve it on this master at once, publish it when the remote is back.
    plan
        Only say what would be recorded; retcode 3.
    claimed_by
        For whom, as in ``promote``.
    CLI Example:

    .. code-block:: bash

        salt-run saltbranch.hold prod reason='end of quarter' until=3d
    """
    from saltbranch.actions.hold import plan_hold
    from saltbranch.base.durations import parse_until

    def build(work: Workplace) -> HoldPlan:
        ends = parse_until(contract.word(until), work.now) if until is not None else None
        return plan_hold(
            work,
            contract.word(saltenv),
            at=contract.text(at),
            reason=contract.reason(reason),
            until=ends,
        )

    return _record(build, local=local, plan=plan, asked=contract.asked(claimed_by))


@contract.plain
def unhold(
    saltenv: str,
    reason: str = "",
    local: bool = False,  # noqa: FBT001, FBT002
    plan: bool = False,  # noqa: FBT001, FBT002
    claimed_by: str | None = None,
) -> contract.Result:
    """
    Let ``saltenv`` follow its branch or tags again.

    saltenv
        The saltenv that is held.
    reason
        Why; it is recorded.
    local
        The remote is out of reach: serve it on this master at once, publish it when the remote is back.
    plan
        Only say what would be recorded; retcode 3.
    claimed_by
        For whom, as in ``promote``.
    CLI Example:

    .. code-block:: bash

        salt-run saltbranch.unhold prod
    """
    from saltbranch.actions.unhold import plan_unhold

    def build(work: Workplace) -> HoldPlan:
        return plan_unhold(work, contract.word(saltenv), reason=contract.reason(reason))

    return _record(build, local=local, plan=plan, asked=contract.asked(claimed_by))


@contract.plain
def hold_all(
    reason: str = "",
    until: str | None = None,
    local: bool = False,  # noqa: FBT001, FBT002
    plan: bool = False,  # noqa: FBT001, FBT002
    claimed_by: str | None = None,
) -> contract.Result:
    """
    The emergency stop: every saltenv goes on serving what it serves now; every master follows at its next sync.

    reason
        Why; it is recorded and has to be given.
    until
        When it ends, as for ``hold``; with ``unhold_all`` when not given.
    local
        The remote is out of reach: do it on this master at once, publish it when the remote is back.
    plan
        Only say what would be recorded; retcode 3.
    claimed_by
        For whom, as in ``promote``.
    CLI Example:

    .. code-block:: bash

        salt-run saltbranch.hold_all reason='incident 4711'
    """
    from saltbranch.actions.hold import plan_hold_all
    from saltbranch.base.durations import parse_until

    def build(work: Workplace) -> HoldAllPlan:
        ends = parse_until(contract.word(until), work.now) if until is not None else None
        return plan_hold_all(work, reason=contract.reason(reason), until=ends)

    return _record(build, local=local, plan=plan, asked=contract.asked(claimed_by))


@contract.plain
def unhold_all(
    reason: str = "",
    local: bool = False,  # noqa: FBT001, FBT002
    plan: bool = False,  # noqa: FBT001, FBT002
    claimed_by: str | None = None,
) -> contract.Result:
    """
    End ``hold_all``; what was held or rolled back by itself stays so.

    reason
        Why; it is recorded.
    local
        The remote is out of reach: do it on this master at once, publish it when the remote is back.
    plan
        Only say what would be recorded; retcode 3.
    claimed_by
        For whom, as in ``promote``.
    CLI Example:

    .. code-block:: bash

        salt-run saltbranch.unhold_all reason='the incident is over'
    """
    from saltbranch.actions.unhold import plan_unhold_all

    def build(work: Workplace) -> HoldAllPlan:
        return plan_unhold_all(work, reason=contract.reason(reason))

    return _record(build, local=local, plan=plan, asked=contract.asked(claimed_by))


@contract.plain
def rollback(
    saltenv: str,
    to: str | None = None,
    reason: str = "",
    local: bool = False,  # noqa: FBT001, FBT002
    plan: bool = False,  # noqa: FBT001, FBT002
    claimed_by: str | None = None,
) -> contract.Result:
    """
    Let ``saltenv`` serve again what it served before its last promotion. No branch is touched.

    saltenv
        The saltenv to roll back.
    to
        The id of a promotion: serve what that one brought.
    reason
        Why; it is recorded and has to be given.
    local
        The remote is out of reach: serve it on this master at once, publish it when the remote is back.
    plan
        Only say what would be recorded; retcode 3.
    claimed_by
        For whom, as in ``promote``.
    The next promotion brings everything back, with what was fixed, and lifts the hold.

    CLI Example:

    .. code-block:: bash

        salt-run saltbranch.rollback prod reason='KEY-123 breaks sshd'
    """
    from saltbranch.actions.rollback import plan_rollback

    def build(work: Workplace) -> HoldPlan:
        return plan_rollback(
            work,
            contract.word(saltenv),
            to=contract.text(to),
            reason=contract.reason(reason),
        )

    return _record(build, local=local, plan=plan, asked=contract.asked(claimed_by))


@contract.plain
def accept(
    saltenv: str,
    reason: str = "",
    plan: bool = False,  # noqa: FBT001, FBT002
    claimed_by: str = "",
) -> contract.Result:
    """
    Let what was pushed to the branch of ``saltenv`` by hand count as if it had been promoted.

    saltenv
        The saltenv whose branch was pushed to.
    reason
        Why; it is recorded and has to be given.
    plan
        Only say what would be recorded; retcode 3.

    With ``direct_pushes: refuse`` it is not served before that.

    CLI Example:

    .. code-block:: bash

        salt-run saltbranch.accept prod reason='KEY-123, agreed with Ann on the phone'
    """
    from saltbranch.actions.accept import plan_accept

    def build(work: Workplace) -> HoldPlan:
        return plan_accept(work, contract.word(saltenv), reason=contract.reason(reason))

    return _record(build, local=False, plan=plan, asked=contract.asked(claimed_by))


def _record(
    build: Callable[[Workplace], HoldPlan | HoldAllPlan],
    *,
    local: bool,
    plan: bool,
    asked: Asked,
) -> contract.Result:
    from saltbranch.actions.shared import recording
    from saltbranch.actions.shared.recording import Recorded
    from saltbranch.ext.caller import Runner

    runner: Runner[HoldPlan | HoldAllPlan] = Runner(__opts__, asked)
    done = recording.run(runner, build, local=local, plan=plan)
    if not isinstance(done, Recorded):
        return {**done.plan.as_dict(), "retcode": done.exit_code}
    result = {**done.as_dict(), "retcode": done.exit_code}
    problem = contract.tell_recorded(__opts__, done.plan, local=local)
    if problem:
        result["problems"] = [*filter(None, [done.problem]), problem]
    return result
