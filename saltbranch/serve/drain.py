"""Keep a saltenv from being switched while state runs of its minions are under way.

A run asks the master for each file anew, so one that is under way at the rename reads some files of the old commit and
some of the new one. What is under way another process finds out (serve/drain_watch.py). The last look comes when all
else is done: between it and the rename(2) there is next to nothing. A run that is published in between reads its
first file a minion's process start later, so it sees the new commit alone; it is looked for all the same, and told.

The lock of the root is not held while runs are waited for: other saltenvs are switched, holds are served at once.
Then the saltenv is decided anew, by what the mirror has by then. One sync waits for a saltenv, by a lock of its own;
another one leaves it to that. What a hold chose waits for nobody: it may be an emergency.

Loaded by a sync that has something to switch in a saltenv with `drain`.
"""

from __future__ import annotations

import json
import os
import time
from _thread import allocate_lock

from saltbranch.base import files, proc
from saltbranch.base.durations import shown_duration
from saltbranch.base.errors import LockedError, SaltbranchError
from saltbranch.config.drain import SWITCH
from saltbranch.repository import decision
from saltbranch.serve import bus_event, drain_record
from saltbranch.serve.run import FAILED, WAITING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from saltbranch.repository.prepared import Prepared, ServedSaltenv
    from saltbranch.serve.run import Job, Run, SaltenvResult, Say, SyncResult

    Runs = list[dict[str, Any]]

_LONGEST = 86400  # seconds after which also `drain_then: wait` switches: nobody holds up a saltenv for ever
_ANSWER = 60  # seconds for an answer of the process that looks, Salt's import included
_PAUSE = 0.2  # seconds between two looks
_TURN = 30.0  # seconds between two looks at the remote while something is waited for
_NEAR = 1.0  # seconds to wait for a gap between runs while all is ready and the lock is held
_SETTLE = 6.0  # seconds in which a minion that is alive says that it lost a run
_MOST = 200  # runs that are kept


class _Wait:
    """A saltenv that is waited for. Times in seconds since 1970, but until by the monotonic clock: the drain's end.

    since: when a sync first put this switch off. lock: held while this sync is the one that waits. runs: what was under
    way at the last look; met: at any.
    """

    __slots__ = (
        "began", "lock", "met", "problem", "runs", "seconds", "since", "then", "told", "until",
    )  # fmt: skip

    def __init__(self, seconds: float, then: str, since: float) -> None:
        self.seconds = seconds
        self.then = then
        self.since = since
        self.began = time.time()
        # One drain for a switch, also where a sync that waited was ended: it has to end some time.
        spent = max(0, self.began - since) if then == SWITCH else 0  # a clock may go back
        self.until = time.monotonic() + max(0, seconds - spent)
        self.lock: files.Lock | None = None
        self.runs: Runs = []
        self.met: dict[tuple[str, str], dict[str, Any]] = {}
        self.problem = ""
        self.told = False

    def see(self, runs: Runs, problem: str) -> None:
        """Take what one look saw."""
        self.runs = runs
        self.met.update({(run["jid"], run["minion"]): run for run in runs[:_MOST]})
        self.problem = problem

    @property
    def is_over(self) -> bool:
        """Whether the time of the drain is over."""
        return time.monotonic() >= self.until

    @property
    def must_switch(self) -> bool:
        """Whether it is to be switched whatever is under way."""
        return self.is_over and (self.then == SWITCH or time.time() - self.since >= _LONGEST)


class Drain:
    """One sync's waiting. asked: seconds that its caller gives it for all saltenvs, None for what is configured.

    unprotected: the saltenvs that were not protected by the model before this sync.
    """

    def __init__(
        self, ready: Prepared, asked: float | None, unprotected: Sequence[str] = ()
    ) -> None:
        self.ready = ready
        self.asked = asked
        self.unprotected = unprotected
        self.waits: dict[str, _Wait] = {}
        self.again = False  # whether runs have been waited for
        self._watch: proc.Companion | None = None
        self._one = allocate_lock()

    def _seconds(self, saltenv: ServedSaltenv) -> float:
        return saltenv.drain if self.asked is None else self.asked

    def _concerns(self, job: Job) -> bool:
        """Whether runs could be torn by this switch, and nothing is more urgent than they are."""
        result = job.result
        is_same = result.old == result.new and not job.relaid  # damage is repaired at once
        if not result.old or is_same or result.why == decision.BY_HOLD:
            return False
        return self._seconds(job.saltenv) > 0

    def start(self, jobs: Sequence[Job]) -> None:
        """Let the process that looks be ready by the time that the slots are."""
        if any(map(self._concerns, jobs)) and bus_event.listens(self.ready.socket):
            self._begin()

    def judge(self, job: Job) -> None:
        """Say whom the switch of `job` would wait for, for a plan."""
        if not self._concerns(job):
            return
        with self._one:
            runs, problem = self._settled(job.saltenv.name)
        job.result.runs = [drain_record.plain(run) for run in runs]
        if runs or problem:
            _add(job.result, f"would wait for {_told(runs, problem)}")

    def switch(self, job: Job, slot: str) -> bool:
        """Serve `slot`, which is ready, unless runs are under way: then `job` waits, and it is not switched."""
        name = job.saltenv.name
        if not self._concerns(job):
            job.slots.switch(slot)
            if job.result.old != job.result.new:
                self._forget(name)
            return True
        with self._one:
            near = time.monotonic() + (_NEAR if self.again else 0)
            runs, problem = self._look(name)
            while runs and time.monotonic() < near:
                time.sleep(_PAUSE / 4)
                runs, problem = self._look(name)
            wait = self.waits.get(name)
            if (runs or problem) and not (wait and wait.must_switch):
                self._put_off(job, runs, problem)
                return False
            job.slots.switch(slot)
            at = time.time()
            late = [] if runs or problem else [r for r in self._look(name)[0] if r["since"] <= at]
        if runs or problem:
            seconds = shown_duration(time.time() - wait.began if wait else 0)
            _add(job.result, f"switched after {seconds} during {_told(runs, problem)}")
        elif late:
            _add(job.result, f"switched in the moment in which it began: {_told(late, '')}")
        elif wait:
            whom = _told(list(wait.met.values()), "the last look saw none")
            _add(job.result, f"waited {shown_duration(time.time() - wait.began)} for {whom}")
        job.result.runs = [drain_record.plain(run) for run in runs or late]
        self._forget(name)
        return True

    def _put_off(self, job: Job, runs: Runs, problem: str) -> None:
        name, result = job.saltenv.name, job.result
        wait = self.waits.get(name)
        if wait is None:
            since = drain_record.first_put_off(self.ready.root, name, result.old)
            wait = _Wait(self._seconds(job.saltenv), job.saltenv.drain_then, since)
            self.waits[name] = wait
        wait.see(runs, problem)
        result.changed, result.state = False, WAITING
        result.runs = [drain_record.plain(run) for run in runs]
        _add(result, f"waits for {_told(runs, problem)}")

    def close(self) -> None:
        """End the process that looks, and leave what is waited for to others."""
        if self._watch:
            self._watch.close()
            self._watch = None
        for name in list(self.waits):
            self._leave(name)

    def _leave(self, name: str) -> None:
        """Wait no longer for `name`."""
        wait = self.waits.pop(name)
        if wait.lock:
            wait.lock.__exit__()

    def _settled(self, name: str) -> tuple[Runs, str]:
        """What is under way as soon as the minions have said so."""
        end = time.monotonic() + _SETTLE
        runs, problem = self._look(name)
        while runs and not all(r["confirmed"] for r in runs) and time.monotonic() < end:
            time.sleep(_PAUSE)
            runs, problem = self._look(name)
        return runs, problem

    def _look(self, name: str) -> tuple[Runs, str]:
        """The runs that may read files of the saltenv `name`, and why they are not known."""
        if not bus_event.listens(self.ready.socket):
            return [], ""  # no master runs, so nobody gets files, and there is nobody to ask
        try:
            answer = self._ask({"do": "look"})
        except SaltbranchError as err:
            return [], err.message
        if "error" in answer:
            return [], str(answer["error"])
        return [run for run in answer["runs"] if name in run["saltenvs"]][:_MOST], ""

    def _begin(self) -> proc.Companion:
        # The lock of the root is kept by what inherits it, and this must not keep it.
        code = (
            "import os; os.closerange(3, 1 << 20);"
            " from saltbranch.serve import drain_watch; drain_watch.main()"
        )
        argv = proc.python(code, self.ready.root, self.ready.config_path)
        self._watch = proc.Companion(argv, os.environ)
        return self._watch

    def _ask(self, order: dict[str, object]) -> dict[str, Any]:
        watch = self._watch or self._begin()
        try:
            answer = json.loads(watch.ask(json.dumps(order), _ANSWER))
        except (SaltbranchError, ValueError) as err:
            watch.close()
            self._watch = None
            raise SaltbranchError(f"cannot look for state runs: {err}") from err
        return answer if isinstance(answer, dict) else {}

    def wait(
        self,
        result: SyncResult,
        again: Callable[[list[str]], SyncResult | None],
        others: Callable[[list[str]], SyncResult | None],
        *,
        patience: float | None,
        say: Say | None,
    ) -> None:
        """Wait until what `result` left is switched, or the time is over; `result` then says so.

        The caller does not hold the lock. again: switches the saltenvs named, None where that is left to the next
        sync. others: syncs the saltenvs named, which nobody waits for: while this sync waits, its timer starts no
        other one. patience: seconds to wait at the most.
        """
        end = None if patience is None else time.monotonic() + max(patience, _SETTLE)
        names = [row.saltenv for row in result.saltenvs]
        left: set[str] = set()  # to other syncs
        self.again, turn = True, time.monotonic() + _TURN
        while True:
            left |= {name for name in list(self.waits) if not self._claim(name, result)}
            if not self.waits:
                return
            for name in self.waits:
                self._tell(name, result, say)
            time.sleep(_PAUSE)
            is_end = end is not None and time.monotonic() >= end
            if not self._switch_ready(result, again):
                return
            left |= self._ended(result, is_end=is_end)
            if self.waits and time.monotonic() >= turn:
                free = [name for name in names if name not in left and name not in self.waits]
                if free and (done := others(free)):
                    result.take(done)
                turn = time.monotonic() + _TURN

    def _switch_ready(
        self, result: SyncResult, again: Callable[[list[str]], SyncResult | None]
    ) -> bool:
        """Switch what nothing holds up any more; False where that is left to the next sync."""
        ready = [name for name in self.waits if self._is_ready(name)]
        try:
            done = again(ready) if ready else None
        except LockedError:
            return True  # another time
        if done:
            result.take(done)
        return bool(done or not ready)

    def _ended(self, result: SyncResult, *, is_end: bool) -> set[str]:
        """Wait no longer for what was switched or is given up; what is given up."""
        given_up = set()
        for name in list(self.waits):
            if _row(result, name).state != WAITING:
                self._leave(name)
                self._forget(name)
            elif self._gives_up(name, result, end=is_end):
                self._leave(name)
                given_up.add(name)
        return given_up

    def _claim(self, name: str, result: SyncResult) -> bool:
        """Whether this sync is the one that waits for `name`."""
        wait, row = self.waits[name], _row(result, name)
        if wait.lock:
            return True
        path = drain_record.lock_path(self.ready.root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        lock = files.Lock(path)
        try:
            wait.lock = lock.__enter__()
        except LockedError:
            _add(row, "another sync waits already")
            self._leave(name)
            return False
        return True

    def _is_ready(self, name: str) -> bool:
        wait = self.waits[name]
        with self._one:
            wait.see(*self._look(name))
        return not (wait.runs or wait.problem) or wait.must_switch

    def _tell(self, name: str, result: SyncResult, say: Say | None) -> None:
        """Say once whom it waits for: to the person, to `status` and on the master's bus."""
        wait, row = self.waits[name], _row(result, name)
        if wait.told:
            return
        wait.told = True
        drain_record.save(self.ready.root, name, _record(wait, row))
        self._fire(row, wait)
        if say:
            most = shown_duration(wait.until - time.monotonic())
            say(f"{name} waits for {_told(wait.runs, wait.problem)}, {most} at most")

    def _gives_up(self, name: str, result: SyncResult, *, end: bool) -> bool:
        """Whether this sync waits no longer for `name`."""
        wait, row = self.waits[name], _row(result, name)
        if not end and not (wait.is_over and not wait.must_switch):
            return False
        row.runs = [drain_record.plain(run) for run in wait.runs]
        if wait.problem:
            row.state = FAILED  # nobody is under way for ever, but this may stay so
        seconds = shown_duration(time.time() - wait.began)
        row.message = (
            f"not switched after {seconds}: {_told(wait.runs, wait.problem)}; the next sync goes on"
        )
        drain_record.save(self.ready.root, name, _record(wait, row))
        self._fire(row, wait, gave_up=True)
        return True

    def _fire(self, row: SaltenvResult, wait: _Wait, *, gave_up: bool = False) -> None:
        data = {
            "saltenv": row.saltenv,
            "branch": row.branch,
            "old": row.old,
            "new": row.new,
            "runs": row.runs[: drain_record.SHOWN],
            "gave_up": gave_up,
        }
        try:
            self._ask({"do": "fire", "tag": f"saltbranch/waiting/{row.saltenv}", "data": data})
        except SaltbranchError:
            pass  # nothing is held up by an event

    def _forget(self, name: str) -> None:
        files.unlink(drain_record.path(self.ready.root, name))


def begin(run: Run, jobs: Sequence[Job]) -> None:
    """Give a sync that switches `jobs` its drain, where one of them has one."""
    asked = run.drain_seconds
    if run.drain:
        run.drain.ready = run.ready
    elif asked or (asked is None and any(job.saltenv.drain for job in jobs)):
        run.drain = Drain(run.ready, asked, run.unprotected)
        run.drain.start(jobs)


def _record(wait: _Wait, row: SaltenvResult) -> dict[str, object]:
    return {
        "old": row.old,
        "new": row.new,
        "since": wait.since,
        "at": time.time(),
        "until": time.time() + wait.until - time.monotonic(),
        "then": wait.then,
        "runs": row.runs,
        "problem": wait.problem,
    }


def _row(result: SyncResult, name: str) -> SaltenvResult:
    return next(s for s in result.saltenvs if s.saltenv == name)


def _told(runs: Runs, problem: str) -> str:
    return (
        drain_record.told_runs([drain_record.plain(run) for run in runs])
        if runs
        else f"state runs that are not known: {problem}"
    )


def _add(result: SaltenvResult, text: str) -> None:
    result.message = "; ".join(filter(None, [result.message, text]))
