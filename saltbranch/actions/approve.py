"""approve: sign the digest of a plan, so that the gate `approvals` lets it pass; list and revoke such signatures."""

from __future__ import annotations

from dataclasses import dataclass, replace

from saltbranch.actions.shared import recording
from saltbranch.actions.shared.caller import Caller, Opener
from saltbranch.base.durations import iso
from saltbranch.base.errors import EXIT_PENDING, RefusedError, UsageError
from saltbranch.config.gates import ApprovalsGate
from saltbranch.config.model import Saltenv
from saltbranch.git import ssh_signature
from saltbranch.journal.approvals import APPROVE, REVOKE, Approval, is_digest, signed_text
from saltbranch.journal.events import APPROVAL, Event
from saltbranch.promote import approvals, make_plan, plan_diff, promotion
from saltbranch.promote.approvals import Approvals, Judge, Judged
from saltbranch.promote.gates import SHORTEST_DIGEST
from saltbranch.promote.hold_plan import event_of
from saltbranch.promote.plan import Plan
from saltbranch.promote.request import DiffOptions
from saltbranch.repository.workplace import Workplace


@dataclass(frozen=True, slots=True)
class ApprovalPlan:
    """What would be recorded. digest: of the plan that is approved, all of it, empty where an approval is revoked.

    plan: it, where this machine made it, too. event: without the signature as yet. note: what is to be said.
    """

    verb: str
    saltenv: str
    event: Event
    digest: str = ""
    plan: Plan | None = None
    judge: Judge | None = None
    note: str = ""

    @property
    def events(self) -> tuple[Event, ...]:
        """What is to be recorded."""
        return (self.event,)

    def refusal(self, new: ApprovalPlan) -> str:
        """Why `new`, planned after another push, is not what was agreed to; empty where it is."""
        return "" if new.digest == self.digest else f"the plan is {new.digest[:16]} now"

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        return {
            "version": 1,
            "verb": self.verb,
            "saltenv": self.saltenv,
            "id": self.event.id,
            "action": self.event.text("action"),
            "approval": self.event.text("approval") or None,
            "digest": self.digest or None,
            "by": self.event.by,
            "note": self.note or None,
        }


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of it. recorded: not only planned."""

    plan: ApprovalPlan
    recorded: bool

    @property
    def exit_code(self) -> int:
        """0, or 3 where something would be done."""
        return 0 if self.recorded else EXIT_PENDING


@dataclass(frozen=True, slots=True)
class Listed:
    """Approvals of a saltenv. digest: of its next promotion. others: of other plans, which do not count for it."""

    saltenv: str
    digest: str
    count: int
    found: Approvals
    others: tuple[Approval, ...]

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        return {
            "version": 1,
            "saltenv": self.saltenv,
            "digest": self.digest,
            "count": self.count,
            "persons": len(self.found.persons),
            "problem": self.found.problem or None,
            "approvals": [
                {
                    "id": row.approval.id,
                    "time": iso(row.approval.time),
                    "by": row.name,
                    "counts": not row.why_not,
                    "why_not": row.why_not or None,
                }
                for row in self.found.rows
            ],
            "other_plans": [{"id": a.id, "by": a.by, "digest": a.digest} for a in self.others],
        }


def approve(
    caller: Caller[ApprovalPlan],
    saltenv: str,
    *,
    expect: str,
    key: str | None = None,
    plan: bool = False,
) -> Recorded:
    """Sign the plan with the digest `expect` and record that.

    expect: of the next promotion, or all 64 digits of a plan of any verb. key: file of an ssh key.
    Raises SaltbranchError.
    """
    work = caller.open()
    recording.refuse_unrecordable(work)
    found = _planned(work, saltenv, expect)
    caller.show(work, found, is_result=plan)
    if plan:
        return Recorded(found, recorded=False)
    caller.agree(found.verb)
    signed = _signed(work, found, key)

    def again() -> ApprovalPlan:
        return replace(_planned(work, saltenv, expect), event=signed.event)

    with caller.watching() as watcher:
        return Recorded(recording.record(work, again, signed, watcher.say), recorded=True)


def revoke(
    caller: Caller[ApprovalPlan], saltenv: str, name: str, *, plan: bool = False
) -> Recorded:
    """Take back the approval whose id begins with `name`. Raises SaltbranchError."""
    work = caller.open()
    recording.refuse_unrecordable(work)
    promotion.named(work, saltenv)
    mine = [a for a in work.state.approvals.values() if a.saltenv == saltenv]
    ids = [a.id for a in mine if name and a.id.startswith(name)]
    if len(ids) != 1:
        raise UsageError(
            f"{name!r} names {'no' if not ids else 'more than one'} approval of {saltenv}",
            hint=f"saltbranch approve {saltenv} --list shows them",
        )
    details = {"action": REVOKE, "saltenv": saltenv, "approval": ids[0]}
    verb = f"approve {saltenv} --revoke {ids[0]}"
    found = ApprovalPlan(verb, saltenv, event_of(work, APPROVAL, details))
    caller.show(work, found, is_result=plan)
    if plan:
        return Recorded(found, recorded=False)
    caller.agree(found.verb)
    with caller.watching() as watcher:
        return Recorded(recording.record(work, lambda: found, found, watcher.say), recorded=True)


def listed(opener: Opener, saltenv: str) -> Listed:
    """The approvals of the next promotion to `saltenv`, and of other plans. Raises SaltbranchError."""
    work = opener.open()
    target = promotion.named(work, saltenv)
    gate = _gate(target)
    plan = _next(work, target)
    digest = plan.whole_digest if plan else ""
    others = [
        a for a in work.state.approvals.values() if a.saltenv == saltenv and a.digest != digest
    ]
    found = approvals.find(work, gate, plan, all_=True) if plan else Approvals()
    return Listed(saltenv, digest, gate.count, found, tuple(others))


def _gate(saltenv: Saltenv) -> ApprovalsGate:
    for gate in saltenv.gates:
        if isinstance(gate, ApprovalsGate):
            return gate
    raise RefusedError(
        f"{saltenv.name} asks for no approvals",
        hint=f"saltenvs.{saltenv.name}.gates: [{{approvals: {{count: 2, from: allowed_signers}}}}]",
    )


def _next(work: Workplace, target: Saltenv) -> Plan | None:
    """The plan of the next promotion, as `promote` makes it; None where nothing is promoted there."""
    if target.promote_from is None:
        return None
    request = promotion.request(work, target.name)
    request = replace(request, diff=DiffOptions(wanted=request.asks_for_diff))
    found = make_plan.plan(work, request, commands=False)
    return plan_diff.added(work, request, found) if request.asks_for_diff else found


def _planned(work: Workplace, saltenv: str, expect: str) -> ApprovalPlan:
    target = promotion.named(work, saltenv)
    gate = _gate(target)
    if not SHORTEST_DIGEST <= len(expect) <= 64 or expect.strip("0123456789abcdef"):
        raise UsageError(
            f"{expect!r} is not the digest of a plan", hint=f"saltbranch promote {saltenv} --plan"
        )
    plan = _next(work, target)
    if plan and plan.is_conflict:
        plan = None
    note = ""
    if plan is None or plan.is_empty or not plan.whole_digest.startswith(expect):
        if not is_digest(expect):
            now = f"is {plan.digest}" if plan and not plan.is_empty else "has nothing to approve"
            raise RefusedError(
                f"the next promotion to {saltenv} {now}, not {expect}",
                hint="look at it again (promote --plan); a plan of another verb, or with options, is approved by all"
                " 64 digits of its digest, which its gate `approvals` names",
            )
        plan = None
        note = "it is not the next promotion, and was not made on this machine: look at it before you sign it"
    digest = plan.whole_digest if plan else expect
    judge = (
        approvals.judge_of(work, gate, plan)
        if plan
        else Judge(gate, saltenv, digest, approvals.signers_of(work, gate))
    )
    details = {"action": APPROVE, "saltenv": saltenv, "digest": digest}
    return ApprovalPlan(
        verb=f"approve {saltenv}",
        saltenv=saltenv,
        event=event_of(work, APPROVAL, details),
        digest=digest,
        plan=plan,
        judge=judge,
        note=note,
    )


def _signed(work: Workplace, found: ApprovalPlan, key: str | None) -> ApprovalPlan:
    """With the signature, which has to count. Raises RefusedError."""
    event, judge = found.event, found.judge
    assert judge is not None
    text = signed_text(event.id, found.saltenv, found.digest)
    signature = ssh_signature.sign(work.git, text, key)
    made = Approval(
        id=event.id,
        saltenv=found.saltenv,
        digest=found.digest,
        signature=signature,
        time=event.time,
        by=event.by,
    )
    judged: Judged = judge.judge(made)
    if judged.why_not:
        raise RefusedError(
            f"your approval would not count: {judged.why_not}",
            hint="allowed signers are those of the production branch; nothing was recorded",
        )
    details = {**event.details, "signature": signature}
    return replace(found, event=replace(event, details=details))
