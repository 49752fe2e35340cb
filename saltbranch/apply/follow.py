"""A job of states on minions, followed until each has returned, or is known not to any more.

Whoever has not returned after a while is asked whether it still runs the job (`saltutil.find_job`): a minion that
says twice that it does not, or twice says nothing, is gone. One that cannot begin, since it runs states already, is
waited for and asked again by another job.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any

from saltbranch.apply.outcome import GONE, TIMED_OUT, Outcome, is_busy
from saltbranch.base.durations import shown_duration
from saltbranch.salt_master.jobs import Jobs, Return

FUNCTION = "state.apply"
_TWICE = 2
_AGAIN = 2.5  # seconds until a minion that does not run the job is asked once more: its return may be on its way
_PAUSE = 10.0  # seconds between two questions to one that runs it
_BUSY = 3.0  # seconds until a minion that runs other states is asked anew
_JUMP = 3700.0  # seconds by which local time goes back
_FORGOTTEN = "its job is too old for the job cache to tell whether it was published"

Taken = Callable[[Return, str], None]
"""Told of each return, with the id of its job."""


def _time_of(jid: str) -> datetime:
    """When the id of a job was made, by the master's clock."""
    try:
        return datetime.strptime(jid[:20], "%Y%m%d%H%M%S%f")  # noqa: DTZ007 - local or not
    except ValueError:
        return datetime.min  # noqa: DTZ901


class Follower:
    """Publishes jobs of states and follows them. timeout: seconds for a minion, from its publication on."""

    def __init__(
        self,
        jobs: Jobs,
        kwargs: Mapping[str, Any],
        *,
        timeout: float,
        publishing: Callable[[Collection[str], str], None] = lambda minions, jid: None,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        """publishing: told who is meant by a job, and its id, before it is published. tick: called each second."""
        self._jobs = jobs
        self._kwargs = dict(kwargs)
        self._timeout = timeout
        self._publishing = publishing
        self._tick = tick

    def run(
        self, minions: Collection[str], taken: Taken, *, under_way: Mapping[str, Collection[str]]
    ) -> dict[str, Outcome]:
        """What became of those that returned nothing; `taken` is told of the others. Raises SaltError.

        minions: for whom a job is published. under_way: jobs that were written down before, and for whom.
        """
        lost: dict[str, Outcome] = {}
        end = time.monotonic() + self._timeout
        rounds = []
        for jid, ids in under_way.items():
            if not self._jobs.is_published(jid):
                if self._is_forgotten(jid):
                    lost |= {m: Outcome(GONE, _FORGOTTEN, jid=jid) for m in ids}
                    continue
                self._jobs.publish(ids, FUNCTION, kwargs=self._kwargs, jid=jid)
            rounds.append((jid, set(ids)))
        if minions:
            rounds.append((self._publish(minions), set(minions)))
        busy: set[str] = set()
        while rounds:
            jid, ids = rounds.pop(0)
            busy |= self._follow(jid, ids, taken, lost, end)
            if rounds or not busy:
                continue
            if time.monotonic() + _BUSY >= end:
                waited = shown_duration(self._timeout)
                lost |= {
                    m: Outcome(TIMED_OUT, f"other states ran there for {waited}") for m in busy
                }
                break
            self._rest(_BUSY)
            rounds.append((self._publish(busy), busy))
            busy = set()
        return lost

    def _is_forgotten(self, jid: str) -> bool:
        """Whether the job cache may have had a job and dropped it: nobody is applied to twice."""
        made, now = (_time_of(one) for one in (jid, self._jobs.new_jid()))
        age = (now - made).total_seconds()
        # Half of it, as ids may be of local time, which jumps.
        return not -_JUMP <= age <= self._jobs.seconds("keep_jobs_seconds") / 2

    def _publish(self, minions: Collection[str]) -> str:
        jid = self._jobs.new_jid()
        self._publishing(minions, jid)
        return self._jobs.publish(minions, FUNCTION, kwargs=self._kwargs, jid=jid)

    def _rest(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._tick()
            time.sleep(min(left, 1.0))

    def _follow(
        self, jid: str, minions: set[str], taken: Taken, lost: dict[str, Outcome], end: float
    ) -> set[str]:
        """Who could not begin. lost: gets those that return nothing."""
        missing, busy = set(minions), set[str]()
        strikes: dict[str, int] = {}
        reasons: dict[str, str] = {}

        def take(returned: Return) -> None:
            missing.discard(returned.minion)
            if is_busy(returned):
                busy.add(returned.minion)
            else:
                taken(returned, jid)

        def go_on() -> bool:
            self._tick()
            return True

        pause = self._jobs.seconds("timeout")
        while missing:
            now = time.monotonic()
            seconds = max(0.0, min(pause, end - now))
            known = minions - missing
            self._jobs.wait(
                jid, set(missing), timeout=seconds, known=known, on_return=take, go_on=go_on
            )
            gone = {m for m in missing if strikes.get(m, 0) >= _TWICE}
            lost |= {m: Outcome(GONE, reasons[m], jid=jid) for m in gone}
            missing -= gone
            if not missing:
                break
            if time.monotonic() >= end:
                why = f"it has not returned after {shown_duration(self._timeout)}"
                for minion in missing:
                    said = "; ".join(filter(None, [why, reasons.get(minion, "")]))
                    lost[minion] = Outcome(TIMED_OUT, said, jid=jid)
                break
            runs = self._jobs.find_job(jid, missing)
            for minion in missing:
                if runs.get(minion):
                    strikes.pop(minion, None)
                    reasons[minion] = "it still runs there"
                    continue
                strikes[minion] = strikes.get(minion, 0) + 1
                said = "it does not run the job, and returned nothing"
                reasons[minion] = said if minion in runs else "it does not answer"
            pause = _AGAIN if strikes else _PAUSE
        return busy
