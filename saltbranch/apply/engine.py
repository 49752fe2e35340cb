"""The batches of an apply, one after another: take out, apply, verify, put back, and stop at the first trouble.

Each step is written down before it begins, so it can be gone on with after a kill.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from saltbranch.apply import run_state
from saltbranch.apply.follow import Follower
from saltbranch.apply.limits import Limits
from saltbranch.apply.outcome import (
    APPLIED,
    FAILED,
    GONE,
    PENDING,
    RUNNING,
    SKIPPED,
    TIMED_OUT,
    Outcome,
    judge,
)
from saltbranch.apply.run_state import ROLLBACK, STEPS, Pass, Record
from saltbranch.apply.seams import Batch, Seams
from saltbranch.base.errors import SaltbranchError
from saltbranch.base.text import many
from saltbranch.salt_master.jobs import Jobs, Return

Tell = Callable[[Mapping[str, Any]], None]
"""Told of what happens, as `--json` shows it: ``{"event": NAME, ...}``."""
_SAVE = (
    1.0  # seconds between two times that returns are written down; the job cache has them meanwhile
)


class Stopped(SaltbranchError):
    """The apply ends before all batches are done. is_failure: since something went wrong, not by a person's word."""

    def __init__(self, message: str, *, is_failure: bool) -> None:
        super().__init__(message)
        self.is_failure = is_failure


class Stop:
    """Whether a person wants an apply to end after the batch under way."""

    def __init__(self, root: str, apply: str) -> None:
        self._root = root
        self._apply = apply
        self.asked = False

    @property
    def reason(self) -> str:
        """Why it is to end; empty where it is not."""
        if run_state.is_to_end(self._root, self._apply):
            return "it was aborted"
        return "it was interrupted" if self.asked else ""


class Engine:
    """Runs the passes of an apply. What fails raises Stopped, SaltError."""

    def __init__(
        self,
        jobs: Jobs,
        record: Record,
        root: str,
        *,
        seams: Seams,
        tell: Tell,
        renew: Callable[[], None],
        stop: Stop,
        elsewhere: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """renew: called now and then, so that the lease of a process that lives does not end.

        elsewhere: minions that the saltenv lacks now, such as those lent to a lab meanwhile, and why.
        """
        self._jobs = jobs
        self._record = record
        self._root = root
        self._seams = seams
        self._tell = tell
        self._renew = renew
        self._stop = stop
        self._elsewhere = elsewhere
        self._saved = 0.0

    def run(
        self, run: Pass, limits: Limits, *, timeout: float, pause: Callable[[Batch], None]
    ) -> None:
        """Run what is left of `run`. timeout: seconds for each minion. pause: called between two batches."""
        minions = run.minions
        done = [m for m in minions if run.of(m).state not in (PENDING, RUNNING)]
        self._tell({"event": "begin", "pass": run.kind, "done": done, "total": len(minions)})
        if run.step == "":
            _look_at(run, limits)  # a kill may have come before what the last batch said was heard
        while not run.is_over:
            batch = self._without_lent(run, self._batch(run))
            if run.step == "":
                self._go_on()
            if batch.minions:
                self._run_batch(run, batch, timeout)
            run.at, run.step = run.at + 1, ""
            self.save()
            _look_at(run, limits)
            if not run.is_over:
                self._go_on()
                pause(batch)
        self._take_late(run)

    def save(self) -> None:
        """Write the record down."""
        run_state.save(self._root, self._record)
        self._saved = time.monotonic()

    def rest(self, seconds: float) -> None:
        """Wait; a person's word ends it."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._go_on()
            self._renew()
            time.sleep(min(left, 0.5))

    def _go_on(self) -> None:
        if reason := self._stop.reason:
            raise Stopped(reason, is_failure=False)

    def _batch(self, run: Pass, number: int = 0) -> Batch:
        """number: from 1 on; that of the next one where it is not given."""
        number = number or run.at + 1
        return Batch(
            apply=self._record.id,
            saltenv=self._record.saltenv,
            commit=run.commit,
            number=number,
            of=len(run.batches),
            minions=tuple(m for m in run.batches[number - 1] if run.of(m).state != SKIPPED),
            is_rollback=run.kind == ROLLBACK,
        )

    def _run_batch(self, run: Pass, batch: Batch, timeout: float) -> None:
        self._tell(
            {
                "event": "batch",
                "pass": run.kind,
                "number": batch.number,
                "of": batch.of,
                "minions": list(batch.minions),
            }
        )
        if self._begins(run, "before"):
            self._seam(lambda: self._seams.before(batch))
        if self._begins(run, "apply"):
            self._apply(run, batch, timeout)
            batch = self._without_lent(run, batch, " while it was applied to")
        good = [m for m in batch.minions if m not in run.wrong(list(batch.minions))]
        if self._begins(run, "verify"):
            run.checked = run.checked or time.time()
            changed = [m for m in good if run.of(m).changed or m in run.retried]
            for minion, why in self._verified(run, batch, good, changed).items():
                self._set(run, minion, _not_verified(run.of(minion), why))
        good = [m for m in batch.minions if m not in run.wrong(list(batch.minions))]
        if self._begins(run, "after"):
            self._seam(lambda: self._seams.after(batch, good))

    def _verified(
        self, run: Pass, batch: Batch, good: list[str], changed: list[str]
    ) -> Mapping[str, str]:
        """Minion to why it did not pass; those that did are written down."""
        found: Mapping[str, str] = self._seam(
            lambda: self._seams.verify(batch, good, changed), "verify: "
        )
        run.verified += [m for m in good if m not in found and m not in run.verified]
        return found

    def _without_lent(self, run: Pass, batch: Batch, when: str = "") -> Batch:
        """`batch` without those that the saltenv lacks by now. when: empty before anything of them is applied."""
        for minion, why in self._elsewhere().items():
            before = run.of(minion)
            if minion in batch.minions and (when or before.state == PENDING):
                self._set(run, minion, Outcome(SKIPPED, f"{why}{when}", jid=before.jid))
        kept = tuple(m for m in batch.minions if run.of(m).state != SKIPPED)
        return replace(batch, minions=kept)

    def _begins(self, run: Pass, step: str) -> bool:
        """Whether the step is to be done: what was begun before a kill is, what was followed by another is not."""
        if STEPS.index(run.step) > STEPS.index(step):
            return False
        run.step = step
        self.save()
        self._renew()
        return True

    def _seam(self, do: Callable[[], Any], what: str = "") -> Any:
        """What `do` returns. what: begins the message of what fails, where that does not say itself what it is."""
        try:
            return do()
        except SaltbranchError as err:
            raise Stopped(f"{what}{err.message}", is_failure=True) from err

    def _apply(self, run: Pass, batch: Batch, timeout: float) -> None:
        """Apply to those of the batch that nothing became of yet."""
        pending = [m for m in batch.minions if run.of(m).state == PENDING]
        under_way: dict[str, list[str]] = {}
        for minion in batch.minions:
            if run.of(minion).state == RUNNING:
                under_way.setdefault(run.of(minion).jid, []).append(minion)

        def publishing(minions: Collection[str], jid: str) -> None:
            for minion in minions:
                run.outcomes[minion] = Outcome(RUNNING, jid=jid)
            self.save()
            self._tell({"event": "job", "jid": jid, "minions": sorted(minions)})

        def taken(returned: Return, jid: str) -> None:
            found = judge(returned)
            outcome = Outcome(found.state, found.reason, found.changed, found.states, jid)
            self._set(run, returned.minion, outcome)

        follower = Follower(
            self._jobs,
            # A minion whose own configuration says `test: True` applies all the same.
            {"test": False},
            timeout=timeout,
            publishing=publishing,
            tick=self._renew,
        )
        lost = follower.run(pending, taken, under_way=under_way)
        for minion, outcome in lost.items():
            self._set(run, minion, outcome)
        self.save()

    def _set(self, run: Pass, minion: str, outcome: Outcome) -> None:
        run.outcomes[minion] = outcome
        if time.monotonic() - self._saved > _SAVE:
            self.save()
        self._tell({"event": "minion", "pass": run.kind, "minion": minion, **outcome.as_dict()})

    def _take_late(self, run: Pass) -> None:
        """Take what came after it was given up: it is what is true now.

        Who returned well is verified and put back as its batch was, before that is written down: a kill repeats it.
        """
        lost = {m: run.of(m) for m in run.minions if run.of(m).state in (GONE, TIMED_OUT)}
        late: dict[str, Outcome] = {}
        for jid in sorted({outcome.jid for outcome in lost.values() if outcome.jid}):
            for minion, returned in self._jobs.returns(jid).items():
                if minion not in lost or lost[minion].jid != jid:
                    continue
                found = judge(returned)
                said = "; ".join(filter(None, [f"late: {lost[minion].reason}", found.reason]))
                late[minion] = Outcome(found.state, said, found.changed, found.states, jid)
        for number, minions in enumerate(run.batches, start=1):
            good = [m for m in minions if m in late and late[m].state == APPLIED]
            if not good:
                continue
            batch = replace(self._batch(run, number), minions=tuple(good))
            changed = [m for m in good if late[m].changed or m in run.retried]
            for minion, why in self._verified(run, batch, good, changed).items():
                late[minion] = _not_verified(late[minion], why)
            passed = [m for m in good if late[m].state == APPLIED]
            self._seam(partial(self._seams.after, batch, passed))
        for minion, outcome in late.items():
            self._set(run, minion, outcome)
        self.save()


def _not_verified(before: Outcome, why: str) -> Outcome:
    said = f"it did not pass verify: {why}"
    return Outcome(FAILED, said, before.changed, before.states, before.jid)


def _look_at(run: Pass, limits: Limits) -> None:
    """Stop where too many went wrong by the end of the batch before. What was forgiven does not count again."""
    if not run.at:
        return
    minions = run.batches[run.at - 1]
    wrong = len(run.wrong()) - run.forgiven
    why = limits.exceeded(
        wrong=wrong,
        total=len(run.minions),
        in_batch=min(wrong, len(run.wrong(minions))),
        size=len(minions),
    )
    if why:
        raise Stopped(why, is_failure=True)


def told(run: Pass) -> str:
    """The counts of a pass for people: `11 applied, 1 failed`."""
    return ", ".join(f"{n} {state}" for state, n in run.counts().items()) or many(0, "minion")
