"""From a plan to the remote: the commits, one atomic push, and what belongs to it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from saltbranch.base import asked_by, files
from saltbranch.base.asked_by import NOBODY, Asked
from saltbranch.base.durations import local_time
from saltbranch.base.errors import EXIT_PARTIAL, RefusedError, UsageError
from saltbranch.git import identity, merge, signing
from saltbranch.git.merge import FAST_FORWARD, MERGE
from saltbranch.git.mirror import JOURNAL_REF
from saltbranch.git.signing import Signer
from saltbranch.journal import store as journal
from saltbranch.promote import plan as plans
from saltbranch.promote import proposed, record, tell_hooks
from saltbranch.promote.gates import GateResult
from saltbranch.promote.plan import BACK_MERGE, DELETE, RECORDED, Plan
from saltbranch.promote.record import Prepared
from saltbranch.repository import timeline
from saltbranch.repository.push import PushRefused, RefUpdate, push_refs
from saltbranch.repository.workplace import Say, Workplace
from saltbranch.serve.run import SyncResult

TYPE_CHECKING = False
if TYPE_CHECKING:
    from saltbranch.promote.wait_masters import Waited

_ATTEMPTS = 8


@dataclass(frozen=True, slots=True)
class Published:
    """What a verb did. moved: (ref, old, new), None for not there. problems: what went wrong afterwards.

    by: who did it as git knows them; asked: who asked for it. waited: for masters, None where that was not asked for.
    """

    plan: Plan
    id: str
    new: str
    moved: tuple[RefUpdate, ...]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    sync: SyncResult | None = None
    by: str = ""
    asked: Asked = NOBODY
    waited: Waited | None = None

    @property
    def exit_code(self) -> int:
        """0, or 20 when something that follows the push failed."""
        if self.problems or (self.sync is not None and self.sync.exit_code):
            return EXIT_PARTIAL
        return 0

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        return {
            "version": 1,
            "id": self.id,
            "digest": self.plan.digest,
            "new": self.new,
            "plan": self.plan.as_dict(),
            "moved": [{"ref": u.ref, "old": u.old, "new": u.new} for u in self.moved],
            "problems": list(self.problems),
            "notes": list(self.notes),
            "sync": self.sync.as_dict() if self.sync is not None else None,
            "waited": self.waited.as_dict() if self.waited else None,
            **asked_by.told(self.by, self.asked.details()),
        }


def check(plan: Plan, expect: str | None) -> None:
    """Refuse what must not be applied. Raises UsageError, RefusedError."""
    check_expected(plan, expect)
    if plan.is_conflict:
        paths = ", ".join(repr(c.path) for c in plan.target.conflicts[:5])
        more = len(plan.target.conflicts) - 5
        raise RefusedError(
            f"merging {plan.target.source_name} into {plan.target.branch} conflicts in {paths}"
            + (f" and {more} more" if more > 0 else "")
            + "; nothing was changed",
            hint=f"saltbranch {plan.verb} --resolve DIR opens a worktree to resolve it in,"
            " --continue continues from there, --abort discards it",
        )
    closed = plan.closed_gates
    if closed:
        why = "\n".join(f"  {g.name}: {g.verdict}: {_told(g)}" for g in closed)
        raise RefusedError(
            f"{plan.saltenv or plan.target.branch}: not promoted, because of\n{why}",
            hint="saltbranch why-not shows all gates; --override GATE --reason TEXT where the configuration allows it"
            + ("; --wait TIME waits for them" if all(g.passes_at for g in closed) else ""),
        )


def _told(gate: GateResult) -> str:
    moment = gate.passes_at
    return gate.reason + (f"; passes {local_time(moment)}" if moment is not None else "")


def check_expected(plan: Plan, expect: str | None) -> None:
    """Refuse another plan than the one with the digest `expect`. Raises UsageError, RefusedError."""
    if expect is None:
        return
    if len(expect) < 6 or expect.strip("0123456789abcdef"):
        raise UsageError(f"{expect!r} is not the digest of a plan", hint="--plan shows it")
    if not plan.digest.startswith(expect):
        raise RefusedError(
            f"the plan is not the expected one: its digest is {plan.digest}, not {expect}",
            hint=f"look at it again: saltbranch {plan.verb} --plan",
        )


def _refuse_closed(plan: Plan, now: float) -> None:
    """Refuse what was open when it was planned and is closed by now: a person, or a compile, took a while."""
    for gate in plan.gates:
        if gate.opens_after and gate.overridden is None and gate.opens_after(now) != now:
            raise RefusedError(
                f"{plan.saltenv or plan.target.branch}: not promoted: the gate {gate.name!r} has closed meanwhile",
                hint=f"saltbranch why-not {plan.saltenv} says when it opens",
            )


def publish(
    work: Workplace,
    plan: Plan,
    replan: Callable[[], Plan],
    *,
    expect: str | None = None,
    say: Say | None = None,
    ask: bool = False,
) -> Published:
    """Apply `plan`: all of its refs move on the remote, or none.

    replan: makes the plan anew after another push came first; with the same digest it goes on. ask: a person at the
    terminal may be asked for the passphrase of a key.
    Raises RefusedError, RemoteError, GitError.
    """
    check(plan, expect)
    if plan.via_branch and (proposal := proposed.find(work, plan)):
        note = f"{proposal.branch} is on the remote already"
        return Published(plan, proposal.id, proposal.commit, (), notes=(note,))
    identity.check_person(work.git)
    id_ = journal.new_id(work.now)
    tell_hooks.before(work, plan, id_)
    for _ in range(_ATTEMPTS):
        prepared = _prepare(work, plan, id_, ask=ask)
        _refuse_closed(plan, time.time())
        pending = tell_hooks.note_pending(work, plan, id_)
        try:
            push_refs(work.repo, prepared.updates, say)
        except PushRefused as err:
            files.unlink(pending)
            if err.kind != "race":
                raise _with_way_out(err, plan) from err
            plan = _again(work, plan, replan, err, say)
            continue
        problems = tell_hooks.after(work, plan, prepared)
        files.unlink(pending)
        return Published(
            plan, id_, prepared.new, tuple(prepared.updates), tuple(problems),
            by=identity.who(work.git), asked=work.asked,
        )  # fmt: skip
    raise PushRefused(
        f"others pushed {_ATTEMPTS} times in a row while this tried to; nothing was changed",
        kind="race",
        hint="run it again when it is quieter",
    )


def _again(
    work: Workplace, plan: Plan, replan: Callable[[], Plan], err: PushRefused, say: Say | None
) -> Plan:
    """The plan for the remote as it is now. Raises RefusedError when it is another one."""
    work.refresh(say)
    new = replan()
    if new.digest == plan.digest:
        check(new, None)
        return new
    raise RefusedError(
        f"another push came first ({what_moved(plan, new)}); nothing was changed",
        hint=f"look at the new plan ({new.digest}): saltbranch {plan.verb} --plan",
    ) from err


def what_moved(plan: Plan, new: Plan) -> str:
    """Why `new`, for the same request, is another plan: the branches that are others by now."""
    names = [s.branch for s, t in zip(plan.steps, new.steps, strict=False) if s.old != t.old]
    if plan.target.source != new.target.source:
        names.append(plan.target.source_name)
    return ", ".join(f"{n} moved" for n in dict.fromkeys(names)) or "the plan is another one now"


def _with_way_out(err: PushRefused, plan: Plan) -> PushRefused:
    if err.kind != "protected" or plan.kind not in RECORDED:
        return err
    return PushRefused(
        err.message,
        kind=err.kind,
        hint=f"saltbranch {plan.verb} --via branch pushes promote/{plan.saltenv}/ID for a pull request instead",
    )


def _prepare(work: Workplace, plan: Plan, id_: str, *, ask: bool) -> Prepared:
    """Write the commits, the tag and the journal's events; which refs are to move."""
    by = identity.who(work.git)
    with signing.signer(work.git, ask=ask) as signed:
        found = _written(work, plan, id_, by, signed)
    if plan.via_branch:
        return found
    if any(s.require_signed for s in work.config.saltenvs):
        from saltbranch.promote import signed as vouched

        vouched.refuse(work, plan, found.new)
    events = record.events(work, plan, found, by)
    if events:
        head, _ = journal.append(work.git, work.refs.journal, [*timeline.unrecorded(work), *events])
        found.updates.append(RefUpdate(JOURNAL_REF, work.refs.journal, head))
    return found


def _written(work: Workplace, plan: Plan, id_: str, by: str, signed: Signer) -> Prepared:
    """Write the commits and the tag."""
    new = _result(work, plan, id_, by, signed)
    found = Prepared(id_, new)
    target = plan.target
    if plan.via_branch:
        ref = f"refs/heads/{proposed.prefix(plan.saltenv or target.branch)}{id_}"
        found.updates.append(RefUpdate(ref, None, new))
        return found
    if new != target.old:
        found.updates.append(RefUpdate(f"refs/heads/{target.branch}", target.old, new))
    for step in plan.steps[1:]:
        ref = f"refs/heads/{step.branch}"
        if step.role == DELETE:
            found.updates.append(RefUpdate(ref, step.old, None))
        elif step.role == BACK_MERGE and step.moves:
            text = plans.back_merge_message(target.branch, step.branch, id_)
            merged = _back_merge(work, step, new, text, signed)
            found.updates.append(RefUpdate(ref, step.old, merged))
    if plan.tag:
        commit = target.source if plan.tag_source else new
        text = (
            f"{plan.tag}: {plan.source} to {plan.saltenv or target.branch}\n\nPromotion-Id: {id_}"
        )
        tag = merge.write_tag(work.git, plan.tag, commit, text, now=work.now, signed=signed)
        found.updates.append(RefUpdate(f"refs/tags/{plan.tag}", None, tag))
    return found


def _result(work: Workplace, plan: Plan, id_: str, by: str, signed: Signer) -> str:
    """What the target's branch becomes. It contains its old head: ancestry is proven by construction."""
    target = plan.target
    if target.kind == MERGE:
        text = plans.message(plan, id_, by, work.asked)
        return merge.write_commit(work.git, target.tree, [target.old, target.source], text, signed)
    return target.source if target.kind == FAST_FORWARD else target.old


def _back_merge(work: Workplace, step: plans.Step, new: str, text: str, signed: Signer) -> str:
    """What the branch of `step` becomes, which gets `new`. text: of a merge commit."""
    if step.kind == FAST_FORWARD:
        return new
    return merge.write_commit(work.git, step.tree, [step.old, new], text, signed)
