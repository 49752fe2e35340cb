"""An apply whose record is written and whose lease is taken: it runs to its end, or until somebody ends it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from saltbranch.actions.rollback import plan_rollback
from saltbranch.actions.shared import apply_end
from saltbranch.actions.shared.after_push import WAIT
from saltbranch.actions.shared.caller import Caller
from saltbranch.apply import bus_event, run_state
from saltbranch.apply.batches import Share, only
from saltbranch.apply.engine import Engine, Stop, Stopped, Tell
from saltbranch.apply.lease_holder import LeaseHolder
from saltbranch.apply.limits import Limits
from saltbranch.apply.make_plan import ApplyPlan
from saltbranch.apply.options import options_from_dict
from saltbranch.apply.outcome import RUNNING
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
from saltbranch.base import asked_by
from saltbranch.base.durations import iso
from saltbranch.base.errors import Interrupted, SaltbranchError, SaltError
from saltbranch.base.text import some
from saltbranch.journal import events
from saltbranch.promote.promotion import named
from saltbranch.repository.workplace import Workplace
from saltbranch.salt_master.jobs import Jobs
from saltbranch.serve.hold_here import hold_locally
from saltbranch.verify.members import members
from saltbranch.verify.seams import ModelSeams

_NO_LIMIT = Limits(Share(100, is_percent=True))


@dataclass(slots=True)
class Watching:
    """Who looks on. tell: told of what happens. ask: whether to go on after a batch; None where nobody is there.

    stops: of what is under way; set where it is to end after its batch.
    """

    tell: Tell = lambda event: None
    ask: Callable[[Batch], bool] | None = None
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
        record = self._record
        try:
            self._run_pass(record.first)
            record.status = DONE
        except Stopped as err:
            record.status, record.why = STOPPED, err.message
            record.by_person = not err.is_failure
            if self._stop.reason == "it was aborted":
                record.status = ABORTED
            if err.is_failure and self._options.on_failure == ROLLBACK and record.first.touched():
                self._plan_back()

    def _plan_back(self) -> None:
        """Write down that it is taken back, before anything of that is done."""
        record, work = self._record, self._work
        try:
            found = plan_rollback(
                work, record.saltenv, to=None, reason=f"apply {record.id}: {record.why}"[:900]
            )
        except SaltbranchError as err:
            record.why += f"; it is not rolled back: {err.message}"
            return
        record.former = found.will_serve or ""
        record.hold = found.event.as_dict()
        batches = only(record.first.batches, record.first.touched())
        record.passes.append(Pass(ROLLBACK, record.former, [list(b) for b in batches], {}))
        record.status = UNDER_WAY
        self._engine.save()

    def _back(self) -> None:
        """Serve the commit before, and apply it to those that may have got something, in the same batches."""
        record, work = self._record, self._work
        run = record.last
        self._tell({"event": "rollback", "commit": run.commit, "why": record.why})
        self._lease.move_to(run.commit)
        event = events.from_dict(record.hold)
        try:
            if event is None:
                raise Stopped("the hold that was written down cannot be read", is_failure=True)
            hold_locally(work.config_path, event, wait=WAIT, notify=self._caller.notify)
            self._lease.take(run.commit)
            self._engine.run(
                run, _NO_LIMIT, timeout=self._options.seconds, pause=lambda batch: None
            )
            record.status = ROLLED_BACK
        except Stopped as err:
            record.status, record.by_person = STOPPED, not err.is_failure
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
        """Say what still runs where: the record stays one that is under way."""
        self._engine.save()
        record = self._record
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
        apply_end.end(self._work.config, record, time.time())
        self._engine.save()
        run_state.forget_request(self._root, record.id)
        notes = apply_end.tell(self._work.config, record)
        self._lease.drop()
        self._tell({"event": "end", **shown(record)})
        return [*self._notes, *notes]

    def _tell(self, event: Mapping[str, Any]) -> None:
        """Tell whoever looks on, and the master's bus; where that takes nothing it is noted, once."""
        self._watching.tell(event)
        name = str(event["event"])
        if name not in bus_event.TOLD:
            return
        if problem := tell_bus(self._jobs, self._record, name):
            self._notes = [problem]
