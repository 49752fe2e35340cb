"""An apply whose record is written and whose lease is taken: it runs to its end, or until somebody ends it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from saltbranch.actions.shared import apply_end
from saltbranch.actions.shared.after_push import WAIT
from saltbranch.actions.shared.caller import Caller
from saltbranch.actions.shared.taking_back import plan_back, stays_at
from saltbranch.apply import bus_event, going_on, run_state
from saltbranch.apply.batches import Share
from saltbranch.apply.engine import Engine, Stop, Stopped, Tell
from saltbranch.apply.going_on import AGAIN, BACK, END, GO_ON, Choice, Trouble
from saltbranch.apply.lease_holder import LeaseHolder
from saltbranch.apply.limits import Limits
from saltbranch.apply.make_plan import ApplyPlan
from saltbranch.apply.options import ASK, options_from_dict
from saltbranch.apply.outcome import APPLIED, RUNNING
from saltbranch.apply.run_state import (
    ABORTED,
    APPLY,
    DONE,
    ROLLBACK,
    ROLLED_BACK,
    STOPPED,
    UNDER_WAY,
    Pass,
    Record,
)
from saltbranch.apply.seams import Batch, Seams
from saltbranch.apply.stays import stays_from_dict
from saltbranch.base import asked_by
from saltbranch.base.durations import iso
from saltbranch.base.errors import Interrupted, SaltbranchError, SaltError
from saltbranch.base.text import some
from saltbranch.git import identity
from saltbranch.journal import events
from saltbranch.journal import store as journal
from saltbranch.journal.events import Event
from saltbranch.promote.promotion import named
from saltbranch.repository.workplace import Workplace
from saltbranch.salt_master.jobs import Jobs
from saltbranch.serve.hold_here import hold_locally
from saltbranch.verify.by_apply import Proof, event_of, why_not
from saltbranch.verify.members import members
from saltbranch.verify.seams import ModelSeams

_NO_LIMIT = Limits(Share(100, is_percent=True))


@dataclass(slots=True)
class Watching:
    """Who looks on. tell: told of what happens. stops: of what is under way; set where it is to end after its batch.

    ask: whether to go on after a batch. decide: how it goes on after a failure. None where nobody is there.
    """

    tell: Tell = lambda event: None
    ask: Callable[[Batch], bool] | None = None
    decide: Callable[[Trouble], Choice] | None = None
    stops: list[Stop] = field(default_factory=list)

    def end(self) -> bool:
        """Let what is under way end after its batch; whether anything is."""
        for stop in self.stops:
            stop.asked = True
        return bool(self.stops)


def shown(record: Record) -> dict[str, Any]:
    """A record as plain data."""
    return {
        "id": record.id,
        "saltenv": record.saltenv,
        "commit": record.first.commit,
        **asked_by.told(record.by, record.asked),
        "since": iso(record.since),
        "ended": iso(record.ended) if record.ended else None,
        "status": record.status,
        "why": record.why or None,
        "skipped": record.skipped,
        "decided": list(record.decided),
        "stays": (record.stays or None) if record.last.kind == ROLLBACK else None,
        "passes": [
            {
                "kind": one.kind,
                "commit": one.commit,
                "batches": one.batches,
                "done": one.at,
                "counts": one.counts(),
                "minions": {m: one.of(m).as_dict() for m in one.minions},
            }
            for one in record.passes
        ],
    }


def tell_bus(jobs: Jobs, record: Record, event: str) -> str:
    """Tell the master's bus of `event` (bus_event.TOLD); why that failed."""
    try:
        jobs.fire(bus_event.tag(record.saltenv), bus_event.data(record, event))
    except SaltError as err:
        return f"no event for the master: {err.message}"
    return ""


class Running:
    """An apply whose record is written and whose lease is taken."""

    def __init__(
        self,
        caller: Caller[ApplyPlan],
        work: Workplace,
        jobs: Jobs,
        *,
        record: Record,
        lease: LeaseHolder,
        watching: Watching,
    ) -> None:
        self._caller = caller
        self._work = work
        self._jobs = jobs
        self._record = record
        self._lease = lease
        self._watching = watching
        self._root = work.config.root
        self._options = options_from_dict(record.options)
        self._stop = Stop(self._root, record.id)
        watching.stops.append(self._stop)
        self._notes: list[str] = []
        self._engine = Engine(
            jobs,
            record,
            self._root,
            seams=self._seams(),
            tell=self._tell,
            renew=lease.renew,
            stop=self._stop,
            elsewhere=self._elsewhere,
        )

    def _seams(self) -> Seams:
        work, saltenv = self._work, named(self._work, self._record.saltenv)
        return ModelSeams(work.config, saltenv, self._jobs, work.programs)

    def _elsewhere(self) -> dict[str, str]:
        config = self._work.config
        return members(config, named(self._work, self._record.saltenv), self._jobs.accepted())[1]

    def run(self) -> list[str]:
        """Run it to its end; what is to be noted. Raises SaltError, Interrupted: then it can be gone on with."""
        record = self._record
        try:
            with self._lease.kept():
                if record.last.kind == APPLY:
                    self._forwards()
                if record.last.kind == ROLLBACK:
                    self._back()
        except (KeyboardInterrupt, Interrupted, SaltbranchError) as err:
            raise self._left(err) from err
        return self._end()

    def _forwards(self) -> None:
        """The apply itself, and what follows from how it ends."""
        record, run = self._record, self._record.first
        while True:
            try:
                self._run_pass(run)
                record.status = DONE
                return
            except Stopped as err:
                stopped = err
            choice = self._choice(stopped)
            if choice == GO_ON:
                going_on.go_on_without(run, stopped.message)
            elif choice == AGAIN:
                going_on.try_again(run)
            else:
                record.why = stopped.message
                self._stopped(stopped)
                if choice == BACK:
                    self._plan_back()
                return
            self._engine.save()

    def _stopped(self, stopped: Stopped) -> None:
        record = self._record
        record.status = STOPPED
        record.by_person = not stopped.is_failure
        if self._stop.reason == "it was aborted":
            record.status = ABORTED

    def _is_to_end(self) -> bool:
        """Whether a person wants that: it comes before what the options say."""
        return self._stop.reason != ""

    def _choice(self, stopped: Stopped) -> Choice:
        """How it goes on, by the options or by a person."""
        on_failure, decide = self._options.on_failure, self._watching.decide
        if not stopped.is_failure or self._is_to_end():
            return END
        if on_failure == ROLLBACK:
            return BACK if self._record.first.touched() else END
        if on_failure != ASK or decide is None:
            return END
        self._engine.save()
        trouble = self._trouble(stopped)
        self._tell({"event": "trouble", **trouble.as_dict()})
        choice = decide(trouble)
        if self._is_to_end():  # it was aborted meanwhile
            choice = END
        who = identity.who(self._work.git)
        self._record.decided.append(f"{iso(time.time())} {who}: {choice}: {stopped.message}")
        self._tell({"event": "decided", "choice": choice, "by": who})
        return choice

    def _trouble(self, stopped: Stopped) -> Trouble:
        record, run = self._record, self._record.first
        at = run.at if run.step else run.at - 1
        touched, why, stays = run.touched(), "", None
        try:
            known = stays_from_dict(record.stays)
            stays = known or stays_at(self._work, record.saltenv, run.commit, touched)
        except SaltbranchError as err:
            why = err.message
        return Trouble(
            apply=record.id,
            saltenv=record.saltenv,
            why=stopped.message,
            number=at + 1,
            of=len(run.batches),
            step=run.step,
            batch=tuple(run.batches[at]),
            failed={m: run.of(m) for m in going_on.failed_of(run)},
            counts={str(state): number for state, number in run.counts().items()},
            touched=len(touched),
            stays=stays.of(touched) if stays else None,
            no_way_back=why,
        )

    def _plan_back(self) -> None:
        """Write down that it is taken back, before anything of that is done."""
        record = self._record
        try:
            plan_back(self._work, record)
        except SaltbranchError as err:
            record.why += f"; it is not rolled back: {err.message}"
            return
        record.status = UNDER_WAY
        self._engine.save()

    def _back(self) -> None:
        """Serve the commit before, and apply it to those that may have got something, in the same batches."""
        record, work = self._record, self._work
        run = record.last
        event = {"event": "rollback", "commit": run.commit, "why": record.why}
        self._tell({**event, "stays": record.stays or None})
        self._lease.move_to(run.commit)
        hold = events.from_dict(record.hold)
        try:
            if hold is None:
                raise Stopped("the hold that was written down cannot be read", is_failure=True)
            hold_locally(work.config_path, hold, wait=WAIT, notify=self._caller.notify)
            self._lease.take(run.commit)
            self._engine.run(
                run, _NO_LIMIT, timeout=self._options.seconds, pause=lambda batch: None
            )
            record.status = ROLLED_BACK
        except Stopped as err:
            self._stopped(err)
            record.why += f"; the rollback ended: {err.message}"

    def _run_pass(self, run: Pass) -> None:
        options = self._options
        self._engine.run(run, options.limits, timeout=options.seconds, pause=self._pause)

    def _pause(self, batch: Batch) -> None:
        options = self._options
        if options.asks:
            ask = self._watching.ask
            self._tell({"event": "ask", "number": batch.number, "of": batch.of})
            if ask is None or not ask(batch):
                raise Stopped("a person is to say that it goes on", is_failure=False)
        elif options.pause_seconds:
            seconds = options.pause_seconds
            self._tell({"event": "pause", "seconds": seconds})
            self._engine.rest(seconds)

    def _left(self, err: BaseException) -> SaltbranchError:
        """Say what still runs where: the record stays one that is under way, wherever that came."""
        record = self._record
        record.status = UNDER_WAY
        self._engine.save()
        run = record.last
        still = [m for m in run.minions if run.of(m).state == RUNNING]
        jids = sorted({run.of(m).jid for m in still})
        what = "interrupted"
        kind: type[SaltbranchError] = Interrupted
        if isinstance(err, SaltbranchError) and not isinstance(err, Interrupted):
            what, kind = err.message, type(err)
        text = f"apply {record.id} of {record.saltenv}: {what}"
        if still:
            text += f"; state.apply may still run on {some(still)} (job {', '.join(jids)})"
        return kind(
            text,
            hint=f"saltbranch apply --resume {record.id} goes on, --abort {record.id} ends it",
        )

    def _end(self) -> list[str]:
        record = self._record
        now = time.time()
        proven, note = self._proven(now)
        apply_end.end(self._work.config, record, now, proven)
        self._engine.save()
        run_state.forget_request(self._root, record.id)
        self._lease.drop()  # before it is told: whoever tells it after a kill lets go of it, too
        notes = apply_end.tell(self._work.config, record)
        self._tell({"event": "end", **shown(record)})
        return [*self._notes, *([note] if note else []), *notes]

    def _tell(self, event: Mapping[str, Any]) -> None:
        """Tell whoever looks on, and the master's bus; where that takes nothing it is noted, once."""
        self._watching.tell(event)
        name = str(event["event"])
        if name not in bus_event.TOLD:
            return
        if problem := tell_bus(self._jobs, self._record, name):
            self._notes = [problem]

    def _proven(self, now: float) -> tuple[list[Event], str]:
        """The verification that the apply is, with a note; none, and why, where it is none."""
        record, run = self._record, self._record.first
        saltenv = named(self._work, record.saltenv)
        if record.status != DONE or not saltenv.verify or not self._work.config.record_syncs:
            return [], ""
        proof = Proof(
            apply=record.id,
            commit=run.commit,
            passed=[m for m in run.verified if run.of(m).state == APPLIED],
            changed=[m for m in run.minions if run.of(m).changed or m in run.retried],
            checks=record.checks,
            begun=run.checked,
            asked=record.asked,
        )
        try:
            own, _ = members(self._work.config, saltenv, self._jobs.accepted())
        except SaltbranchError as err:
            return [], f"not recorded as a verification: {err.message}"
        if why := why_not(proof, saltenv, own):
            said = f"it is no verification for the gate verified: {why}"
            return [], f"{said}; saltbranch verify {saltenv.name} is one"
        event = event_of(proof, saltenv, own, id_=journal.new_id(now), now=now, by=record.by)
        return [event], f"verified: {event.text('reason')}"
