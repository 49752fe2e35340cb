"""What all verbs that merge have in common: plan, resolve, continue, abort, apply, and the sync afterwards.

Each verb's action makes a FlowVerb and runs it by `run`, for the command line and the runners alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from saltbranch.actions.shared.after_push import Notify, follow
from saltbranch.actions.shared.caller import Caller
from saltbranch.base import asked_by
from saltbranch.base.errors import RefusedError, UsageError
from saltbranch.promote import (
    apply_plan,
    ask_gates,
    conflict,
    make_plan,
    tell_hooks,
)
from saltbranch.promote.apply_plan import Published
from saltbranch.promote.conflict import Resolution
from saltbranch.promote.gates import check_reviewed
from saltbranch.promote.plan import Plan
from saltbranch.promote.request import DiffOptions, Request
from saltbranch.repository.workplace import Say, Workplace
from saltbranch.serve import notices

Build = Callable[[Workplace, str | None], Request]
"""Makes the request of a verb; with a commit, the source is that one (a conflict that was resolved)."""


def overrides(gates: Iterable[str], reason: str | None) -> dict[str, str]:
    """Gate to reason. Raises UsageError without a reason."""
    why = asked_by.reason(reason or "")
    given = dict.fromkeys(gates, why)
    if given and not why:
        raise UsageError("--override wants --reason TEXT", hint="it is recorded with the promotion")
    return given


def is_via_branch(via: str) -> bool:
    """Whether `--via` asks for a branch. Raises UsageError."""
    if via not in ("push", "branch"):
        raise UsageError(f"--via {via}: unknown", hint="known: push, branch")
    return via == "branch"


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeOptions:
    """What is asked of every verb that merges.

    plan: only say what would be done. expect: the digest of the only plan to do. resolve: the folder to resolve a
    conflict in; go_on, abort: what becomes of the one that was resolved there. diff: compile what changes.
    reviewed: the digest of the diff that somebody reviewed. overrides: gates to pass over, each with its reason.
    wait: seconds to wait for gates that time or people may open. wait_masters: the same until all masters serve it.
    """

    plan: bool = False
    expect: str | None = None
    resolve: str | None = None
    go_on: bool = False
    abort: bool = False
    diff: bool = True
    reviewed: str | None = None
    via_branch: bool = False
    overrides: dict[str, str] = field(default_factory=dict)
    wait: float | None = None
    wait_masters: float | None = None

    def __post_init__(self) -> None:
        if self.wait_masters is not None and self.via_branch:
            raise UsageError(
                "--wait-masters and --via branch exclude each other",
                hint="a pull request is served when it was merged",
            )
        if sum((bool(self.resolve), self.go_on, self.abort)) > 1:
            raise UsageError("--resolve, --continue and --abort exclude each other")


@dataclass(frozen=True, slots=True)
class Planned:
    """Only the plan was asked for."""

    plan: Plan

    @property
    def exit_code(self) -> int:
        """3 when there is anything to do."""
        return self.plan.exit_code


@dataclass(frozen=True, slots=True)
class Finished:
    """There was nothing to push. left: what a run that was killed after its push had left undone."""

    plan: Plan
    left: Published

    @property
    def exit_code(self) -> int:
        """20 when something of that failed."""
        return self.left.exit_code


@dataclass(frozen=True, slots=True)
class Resolving:
    """A worktree is open to resolve the conflict in `paths`."""

    resolution: Resolution
    paths: list[str]

    exit_code = 0


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The conflict is forgotten. removed: its worktree is gone, too."""

    resolution: Resolution
    removed: bool

    exit_code = 0


Outcome = Planned | Finished | Published | Resolving | Forgotten
"""What became of a verb that merges."""


@dataclass(slots=True)
class FlowVerb:
    """One run of a verb that merges. name: as in `promote stage`. after: what belongs to it in the clone.

    diff: how the compiled diff of its plan is dealt with.
    """

    work: Workplace
    build: Build
    name: str
    resolution: Resolution | None = None
    after: Callable[[Workplace, Published], list[str]] | None = None
    notes: list[str] = field(default_factory=list)
    diff: DiffOptions = DiffOptions()

    def request(self) -> Request:
        """What is asked for, of the remote as last read. Raises RefusedError, UsageError."""
        if self.resolution is None:
            return replace(self.build(self.work, None), diff=self.diff)
        request = replace(self.build(self.work, self.resolution.source), diff=self.diff)
        if self.work.git.is_ancestor(self.resolution.source, self.work.branch_head(request.branch)):
            return request  # it was pushed by a run that could not finish
        tree = conflict.finished_tree(self.work, self.resolution)
        return replace(request, resolved=(tree, self.resolution.old))

    def plan(self) -> Plan:
        """What would be done. Raises RefusedError, UsageError, GitError."""
        return make_plan.plan(self.work, self.request())

    def go_on(self) -> None:
        """Continue with the conflict that was resolved. Raises RefusedError when there is none."""
        self.resolution = conflict.find(self.work, self.name)

    def resolve(self, folder: str) -> tuple[Resolution, list[str]]:
        """Open a worktree at `folder` to resolve the conflict in; what is to be resolved."""
        plan = make_plan.plan(self.work, self.request(), commands=False)
        return conflict.begin(self.work, plan, folder)

    def abort(self) -> tuple[Resolution, bool]:
        """Forget the conflict; whether its folder is gone. Raises RefusedError when there is none."""
        resolution = conflict.find(self.work, self.name)
        return resolution, conflict.abort(self.work, resolution)

    def apply(
        self, plan: Plan, *, expect: str | None = None, say: Say | None = None, ask: bool = False
    ) -> Published:
        """Push it. ask: whether somebody may be asked for a passphrase. Raises RefusedError, RemoteError, GitError."""
        problems = tell_hooks.finish_pending(self.work)
        done = apply_plan.publish(self.work, plan, self.plan, expect=expect, say=say, ask=ask)
        return self._tidied(replace(done, problems=(*problems, *done.problems)))

    def finish(self, plan: Plan) -> Published:
        """Nothing is left to push: what a run that was killed after its push left undone."""
        problems = tell_hooks.finish_pending(self.work)
        return self._tidied(Published(plan, "", plan.target.old, (), tuple(problems)))

    def _tidied(self, done: Published) -> Published:
        if self.resolution:
            conflict.abort(self.work, self.resolution)
        notes = self.after(self.work, done) if self.after else []
        return replace(done, notes=(*done.notes, *notes))

    def carry_out(
        self,
        plan: Plan,
        *,
        expect: str | None = None,
        say: Say | None = None,
        notify: Notify | None = None,
        ask: bool = False,
    ) -> Published:
        """Push it, then sync this machine's saltenvs, where it has any. Raises what apply raises."""
        done = self.apply(plan, expect=expect, say=say, ask=ask)
        followed = follow(self.work, notify)
        if followed.problem:
            problem = f"pushed, but not synced: {followed.problem}"
            return replace(done, problems=(*done.problems, problem))
        return replace(done, sync=followed.sync)


def run(caller: Caller[Plan], options: MergeOptions, verb: FlowVerb) -> Outcome:
    """Run `verb` for `caller`: plan, show, ask, apply, sync. Raises SaltbranchError."""
    if options.abort:
        return Forgotten(*verb.abort())
    if options.resolve:
        return Resolving(*verb.resolve(options.resolve))
    if options.go_on:
        verb.go_on()
    verb.diff = DiffOptions(
        wanted=options.diff,
        reviewed=check_reviewed(options.reviewed),
        expected=options.expect is not None,
    )
    caller.settle(verb.work, lambda: ask_gates.commands(verb.work, verb.request()))
    with caller.watching() as watcher:
        verb.diff = replace(verb.diff, progress=watcher.compiled)
        plan = verb.plan()
    is_result = options.plan or plan.is_empty
    if options.wait_masters is not None:
        from saltbranch.promote import wait_masters

        wait_masters.refuse_pointless(verb.work, plan.saltenv)
    caller.show(verb.work, plan, is_result=is_result)
    if plan.is_empty:
        if options.plan:
            return Planned(plan)
        return Finished(plan, _waited(caller, options, verb, verb.finish(plan)))
    if options.plan:
        apply_plan.check_expected(plan, options.expect)
        return Planned(plan)
    plan = _agreed(caller, options, verb, plan)
    with caller.watching() as watcher:
        verb.diff = replace(verb.diff, progress=watcher.compiled)
        done = verb.carry_out(
            plan,
            expect=options.expect,
            say=watcher.say,
            notify=caller.notify,
            ask=caller.has_person,
        )
    return _waited(caller, options, verb, done)


def _agreed(caller: Caller[Plan], options: MergeOptions, verb: FlowVerb, plan: Plan) -> Plan:
    """`plan`, or the same once its gates are open, where the caller waits for them. Raises SaltbranchError."""
    try:
        apply_plan.check_expected(plan, options.expect)
        if not _may_wait(options, plan):
            apply_plan.check(plan, options.expect)
    except RefusedError:
        if plan.closed_gates and verb.work.serves:
            notices.gate_closed(verb.work.config.root, verb.work.config_path, plan.as_dict())
        raise
    caller.agree(plan.verb)
    if options.wait is None or not plan.closed_gates:
        return plan
    from saltbranch.promote import wait_gates

    with caller.watching() as watcher:
        verb.diff = replace(verb.diff, progress=watcher.compiled)
        return wait_gates.wait(
            verb.work, plan, verb.plan, options.wait, tell=caller.waits, say=watcher.say
        )


def _may_wait(options: MergeOptions, plan: Plan) -> bool:
    """Whether time or people may open what is closed while the caller waits. Raises RefusedError where it is longer."""
    if options.wait is None:
        return False
    from saltbranch.promote import wait_gates  # only who waits pays for it

    now = time.time()
    return wait_gates.begin(plan, now + options.wait, now) is not None


def _waited(
    caller: Caller[Plan], options: MergeOptions, verb: FlowVerb, done: Published
) -> Published:
    """`done`, once all masters serve it or the time is over, where that was asked for."""
    if options.wait_masters is None:
        return done
    from saltbranch.promote import wait_masters  # only who waits pays for it

    with caller.watching() as watcher:
        found = wait_masters.wait(verb.work, done.plan.saltenv, options.wait_masters, watcher.say)
    if found.is_done:
        return replace(done, waited=found, notes=(*done.notes, found.told()))
    return replace(done, waited=found, problems=(*done.problems, found.told()))
