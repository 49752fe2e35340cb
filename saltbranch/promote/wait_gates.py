"""--wait: promote exactly the plan that was shown, once time or people have opened the gates that they may open.

Nothing is locked meanwhile. The remote is read anew at the moment at which all can have passed; where approvals are
missing, it is asked in between where its journal stands, one ref.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from saltbranch.base.durations import local_time, shown_duration
from saltbranch.base.errors import Interrupted, LockedError, RefusedError, RemoteError
from saltbranch.promote import apply_plan, gates
from saltbranch.promote.gates import FAIL, GateResult
from saltbranch.promote.plan import Plan
from saltbranch.promote.wait_masters import parse_wait
from saltbranch.repository.workplace import Say, Workplace

_BREATH = 5.0  # seconds asleep at a time: a clock may be set, and a laptop be closed meanwhile
_LEAST = 1.0  # seconds between two looks at the remote, whatever moment a gate names
_AGAIN = 30.0  # seconds between two looks for people, or after a remote that could not be read


def parse_seconds(text: str | None) -> float | None:
    """Seconds of `--wait`. Raises UsageError."""
    return parse_wait(text, "--wait", "1h")


@dataclass(frozen=True, slots=True)
class Awaited:
    """What a plan waits for. gates: their names. moment: when time has opened its part, None where it has already.

    people: approvals are among them.
    """

    gates: tuple[str, ...]
    moment: float | None
    people: bool

    def told(self, verb: str, now: float, deadline: float) -> str:
        """A sentence for people."""
        what = f"{verb}: waits for {', '.join(self.gates)}"
        when = f", until {_shown(self.moment, now)}" if self.moment else ""
        most = f", at most until {_shown(deadline, now)}" if self.people else ""
        return f"{what}{when}{most}; ^C ends it, and nothing is changed"


def _shown(moment: float, now: float) -> str:
    return f"{local_time(moment)} (in {shown_duration(moment - now)})"


def awaited(plan: Plan) -> Awaited | None:
    """What time and people may still open of `plan`; None where nothing is closed, or something that neither opens."""
    closed = plan.closed_gates
    people = [gate for gate in closed if _is_of_people(gate)]
    timed = [gate for gate in plan.gates if gate not in people]
    moment = gates.passes_at(timed)
    if plan.is_conflict or not closed or (moment is None and len(people) < len(closed)):
        return None
    return Awaited(tuple(gate.name for gate in closed), moment, bool(people))


def _is_of_people(gate: GateResult) -> bool:
    return gate.name == "approvals" and gate.verdict == FAIL


def begin(plan: Plan, deadline: float, now: float) -> Awaited | None:
    """What is waited for until `deadline`, in seconds since 1970; None where waiting would not help.

    Raises RefusedError where it takes longer.
    """
    found = awaited(plan)
    if found and found.moment and found.moment > deadline:
        raise RefusedError(
            f"{plan.verb}: {', '.join(found.gates)} cannot pass before {_shown(found.moment, now)}, and --wait ends"
            f" {local_time(deadline)}; nothing was changed",
            hint="pass a longer --wait (1d at most), or run it again then",
        )
    return found


def wait(
    work: Workplace,
    plan: Plan,
    replan: Callable[[], Plan],
    seconds: float,
    *,
    tell: Callable[[str], None],
    say: Say | None = None,
) -> Plan:
    """The same plan made anew, with all gates open; tell: takes a sentence about what is waited for.

    Raises RefusedError where that takes longer than `seconds`, where something closes that neither time nor people
    open, and where the plan or the model is another one by then; Interrupted; RemoteError, LockedError, GitError.
    """
    try:
        found = _Wait(
            work=work,
            plan=plan,
            replan=replan,
            seconds=seconds,
            tell=tell,
            say=say,
            begun=time.time(),
        )
        return found.run()
    except KeyboardInterrupt as err:
        message = f"{plan.verb}: interrupted while it waited; nothing was changed"
        raise Interrupted(message) from err


@dataclass(slots=True, kw_only=True)
class _Wait:
    work: Workplace
    plan: Plan
    replan: Callable[[], Plan]
    seconds: float
    tell: Callable[[str], None]
    say: Say | None
    begun: float

    @property
    def deadline(self) -> float:
        return self.begun + self.seconds

    def run(self) -> Plan:
        told = None
        while self.plan.closed_gates:
            now = time.time()
            found = begin(self.plan, self.deadline, now)
            if found is None or (found.moment is None and now >= self.deadline):
                apply_plan.check(self.plan, None)  # which refuses it
                break
            if found != told:
                self.tell(found.told(self.plan.verb, now, self.deadline))
                told = found
            self._pass(found)
            self._look()
        return self.plan

    def _pass(self, found: Awaited) -> None:
        """Until the moment of `found`, or until somebody has told the journal something."""
        head = self.work.refs.journal
        until = self.deadline if found.moment is None else max(found.moment, time.time() + _LEAST)
        while time.time() < until:
            self._sleep(min(until, time.time() + _AGAIN) if found.people else until, until)
            if found.people and self._has_moved(head):
                return

    def _sleep(self, until: float, whole: float) -> None:
        while (left := until - time.time()) > 0:
            if self.say:
                part = 1 - (whole - time.time()) / max(1.0, whole - self.begun)
                self.say(f"Waiting for gates: {int(100 * min(1, max(0, part)))}%")
            time.sleep(min(left, _BREATH))

    def _has_moved(self, head: str | None) -> bool:
        try:
            return self.work.repo.ask_journal(timeout=self.work.repo.timeout) != head
        except RemoteError:
            return False  # asked again, and read at the end

    def _look(self) -> None:
        """Read the remote, and make the plan anew. What cannot be read is tried again, as long as there is time."""
        model = self.work.config.source
        while True:
            self.work.now = time.time()
            try:
                self.work.refresh(self.say)
                break
            except (RemoteError, LockedError):
                if time.time() + _AGAIN > self.deadline:
                    raise
                self._sleep(time.time() + _AGAIN, self.deadline)
        new, found = self.replan(), self.work.config.source
        if (found.place, found.blob) != (model.place, model.blob):
            raise self._refused(f"the model became another one ({found.shown()})", new)
        if new.digest != self.plan.digest:
            raise self._refused(apply_plan.what_moved(self.plan, new), new)
        self.plan = new

    def _refused(self, what: str, new: Plan) -> RefusedError:
        return RefusedError(
            f"{self.plan.verb}: while it waited, {what}; nothing was changed",
            hint=f"look at the new plan ({new.digest}): saltbranch {self.plan.verb} --plan",
        )
