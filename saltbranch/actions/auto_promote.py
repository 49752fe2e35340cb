"""Promotions that move by themselves (`auto_promote`): what a sync starts where one may be due.

A process of its own: no sync waits for it, or fails by it. Whoever tries at the same time, the one push that moves the
branch decides; the others find that nothing is left to promote.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from saltbranch.actions.shared.merge_verb import FlowVerb
from saltbranch.base import files
from saltbranch.base.asked_by import ITSELF, Asked
from saltbranch.base.durations import from_iso, iso
from saltbranch.base.errors import RefusedError, SaltbranchError
from saltbranch.config.model import Saltenv
from saltbranch.notify import outbox, start
from saltbranch.promote import ask_gates, gates, make_plan, promotion
from saltbranch.promote.gates import CANNOT_TELL
from saltbranch.promote.plan import Plan
from saltbranch.promote.request import DiffOptions, Request
from saltbranch.repository import decision, prepared, promotions_due
from saltbranch.repository.push import PushRefused
from saltbranch.repository.workplace import Workplace, open_machine
from saltbranch.serve import bus_event, notices

ASKED = Asked(claimed=ITSELF)
WAITING, FAILED, TROUBLE = "waiting", "failed", "trouble"
_PAUSE = 600  # seconds after which what went wrong for no reason of the plan is tried again
_LONGEST_PAUSE = 6 * 3600  # as it grows, where it went wrong for as long as that
_ROUNDS = 8


def main() -> None:
    """Promote what is due of the root in `sys.argv`, by the machine's file that stands after it."""
    os.closerange(3, 1024)  # whatever whoever started the sync left open: nobody is to wait for us
    try:
        run(*sys.argv[1:3])
    except (SaltbranchError, OSError):
        pass  # nothing was kept, so the next sync starts one again


def run(root: str, config_path: str) -> bool:
    """Promote what is due, one at a time; False where another process of this root does, and nothing was done.

    Raises SaltbranchError, OSError where nothing could be found out.
    """
    with files.private_umask(), open(f"{promotions_due.path(root)}.lock", "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        work = open_machine(config_path)
        work.asked = ASKED
        before = promotions_due.told(root)
        for _ in range(_ROUNDS):
            work.now, refs = time.time(), work.refs
            rows = _tried(work, before)
            ready = prepared.load(root, config_path)
            if ready is None:
                return True  # the configuration is another one by now
            times = [row["passes_at"] for row in rows.values() if row["passes_at"] is not None]
            seen = decision.heads(refs, ready)
            promotions_due.keep(root, min(times, default=None), seen, rows)
            if seen == decision.heads(work.refs, ready):
                break
            before = rows  # what was looked at first may have been done for newer heads
        return True


def _tried(work: Workplace, before: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What is to be remembered of each saltenv, after one try. before: what was found the last time."""
    rows = {}
    for saltenv in promotions_due.wanted(work.config):
        one = _Try(work, saltenv.name, before.get(saltenv.name))
        try:
            found = one.go()
        except SaltbranchError as err:
            found = one.row(TROUBLE, err.message, "", work.now + _PAUSE)
        if found is not None:
            rows[saltenv.name] = found
    return rows


@dataclass(slots=True)
class _Try:
    """One promotion. before: what was found the last time."""

    work: Workplace
    saltenv: str
    before: dict[str, Any] | None

    def go(self) -> dict[str, Any] | None:
        """Promote, where every gate lets it; what is to be remembered, None where nothing waits."""
        for _ in range(_ROUNDS):
            target = next(
                (s for s in promotions_due.wanted(self.work.config) if s.name == self.saltenv), None
            )
            if target is None:
                return None  # the model in force does not want it any more
            verb = FlowVerb(self.work, self._build, f"promote {self.saltenv}")
            plan = make_plan.plan(self.work, verb.request(), commands=False)
            if plan.is_empty:
                verb.finish(plan)  # what one that was killed after its push left undone
                return None
            if found := self._closed(target, plan):
                return found
            try:
                full = verb_plan(verb)
                if full.closed_gates:
                    return self._waits(target, full, full=True) or self._undecided(
                        target, plan, full
                    )
                verb.carry_out(full, notify=bus_event.tell)
            except RefusedError as err:
                self._renew()
                again = make_plan.plan(self.work, verb.request(), commands=False)
                if again.digest == plan.digest:
                    # Held, or out of its window, by now: that says nothing against the plan.
                    return self._closed(target, again) or self._refused(plan, err)
            else:
                self._renew()
        return self._busy()

    def _refused(self, plan: Plan, err: RefusedError) -> dict[str, Any]:
        if isinstance(err, PushRefused) and err.kind == "race":
            return self._busy()
        return self._failed(plan, None, err.message)

    def _busy(self) -> dict[str, Any]:
        return self.row(WAITING, "others push all the time", "", self.work.now + 60)

    def _renew(self) -> None:
        self.work.now = time.time()
        self.work.refresh()

    def _build(self, work: Workplace, resolved: str | None) -> Request:
        return promotion.request(work, self.saltenv, commit=resolved)

    def _closed(self, target: Saltenv, plan: Plan) -> dict[str, Any] | None:
        """What is to be remembered where it cannot be promoted now; None where the gates that take long are to say."""
        if self._is_known(plan):
            return self.before
        if plan.is_conflict:
            return self._failed(plan, None, f"it conflicts in {plan.target.conflicts[0].path!r}")
        return self._waits(target, plan)

    def _is_known(self, plan: Plan) -> bool:
        """Whether the plan failed, or could not be judged and is to be tried again later."""
        if self.before is None or self.before["digest"] != plan.digest:
            return False
        at = self.before["passes_at"]
        undecided = self.before["state"] == TROUBLE and at is not None
        return self.before["state"] == FAILED or bool(undecided and self.work.now < at)

    def _waits(self, target: Saltenv, plan: Plan, *, full: bool = False) -> dict[str, Any] | None:
        """What is to be remembered where nothing but time or people is missing; None otherwise.

        full: the gates that take long were asked, too.
        """
        slow = {gate.name for gate in target.gates if ask_gates.is_slow(gate)}
        if not full and any(gate.kind == "diff" for gate in target.gates):
            slow.add("approvals")  # what people sign has the diff in it
        quick = [gate for gate in plan.gates if gate.name not in slow]
        closed = [gate for gate in quick if not gate.is_open]
        if not closed or (full and len(closed) < len(plan.closed_gates)):
            return None
        why = "; ".join(f"{gate.name}: {gate.reason}" for gate in closed)
        return self.row(WAITING, why, plan.digest, gates.passes_at(quick))

    def _undecided(self, target: Saltenv, plan: Plan, full: Plan) -> dict[str, Any]:
        """Where gates that take long could not tell, nothing says that the plan is bad: it is tried again, ever later.

        People are told once. What can never tell here is tried again as well, for nobody knows which it is.
        """
        slow = {gate.name for gate in target.gates if ask_gates.is_slow(gate)}
        closed = full.closed_gates
        if any(gate.verdict != CANNOT_TELL or gate.name not in slow for gate in closed):
            return self._failed(plan, full)
        why = "; ".join(f"{gate.name}: {gate.reason}" for gate in closed)
        found = self.row(TROUBLE, why, plan.digest, None)
        tried = self.work.now - from_iso(found["since"])
        if tried < _PAUSE / 2:
            self._tell(plan, [gate.as_dict() for gate in closed])
        return found | {"passes_at": self.work.now + min(max(tried, _PAUSE), _LONGEST_PAUSE)}

    def _failed(self, plan: Plan, full: Plan | None, why: str = "") -> dict[str, Any]:
        """Tell people, once for each plan; what is to be remembered."""
        closed = full.closed_gates if full else []
        why = why or "; ".join(f"{gate.name}: {gate.reason}" for gate in closed)
        rows = [gate.as_dict() for gate in closed] or [
            {"gate": "auto_promote", "verdict": "fail", "reason": why}
        ]
        self._tell(plan, rows)
        return self.row(FAILED, why, plan.digest, None)

    def _tell(self, plan: Plan, rows: Sequence[dict[str, Any]]) -> None:
        root = self.work.config.root
        # Of several masters that tell it, all name it alike.
        id_ = hashlib.sha256(f"auto\0{self.saltenv}\0{plan.digest}".encode()).hexdigest()[:20]
        data = {"verb": plan.verb, "source": plan.source, "gates": rows, "master": notices.master()}
        outbox.put(root, "gate_closed", id_, data, [self.saltenv])
        start.start_if_wanted(root, self.work.config_path)

    def row(self, state: str, reason: str, digest: str, at: float | None) -> dict[str, Any]:
        """What is to be remembered. at: when it is looked at again, or passes, in seconds since 1970."""
        last = self.before or {}
        same = (last.get("state"), last.get("digest")) == (state, digest)
        since = last["since"] if same else iso(self.work.now)
        return {
            "state": state, "reason": reason[:2000], "digest": digest, "since": since, "passes_at": at,
        }  # fmt: skip


def verb_plan(verb: FlowVerb) -> Plan:
    """The plan with all that its gates ask for; compiled is only where one of them wants that."""
    verb.diff = DiffOptions(wanted=verb.request().asks_for_diff)
    return verb.plan()
