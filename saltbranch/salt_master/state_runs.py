"""State runs that this master published and that are under way.

A master writes each job into its job cache, with the minions it is meant for, before it sends it to them, and each
return when it comes. So what was published and has no return is all that can be under way, and nobody has to be asked
for that. Whether a run without a return is still under way only its minion knows: minions that are named there are
asked for what they run (`saltutil.running`), nobody else is.

* A run counts from its publication on, asked or not, for _YOUNG seconds: its process may not have started yet.
* A minion that says twice, _TWICE seconds apart, that it runs no state at all does not have the run (any more). Once
  is not enough: between two runs, one that waits in the minion's own queue is in nobody's list (salt/modules/state.py,
  _check_queue).
* A minion that does not answer in the master's `gather_job_timeout` is gone, as Salt itself takes it.

A minion can speak for itself only: returns and answers are taken from the cache, where the master puts them under the
id that was proven by its key. The event bus, where any minion may put what it likes, has the answers only of a master
that keeps no returns (`job_cache: False`, `ext_job_cache`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from saltbranch.base.errors import SaltError
from saltbranch.salt_master.job_cache import Job, LocalJobs, OtherJobs, state_function

_YOUNG = 2.0
_TWICE = 2.5
_AGAIN = 15.0  # seconds after which a minion that said it runs is asked again


@dataclass(frozen=True, slots=True)
class StateRun:
    """A run of one minion. since: when it was published, in seconds since 1970. saltenvs: named in its arguments.

    confirmed: the minion said that it is under way.
    """

    minion: str
    jid: str
    function: str
    since: float
    saltenvs: tuple[str, ...] = ()
    confirmed: bool = False


@dataclass(slots=True)
class _Evidence:
    """What is known of a minion's run. no: when its minion was first asked of those times in which it had none."""

    confirmed: bool = False
    no: float | None = None


@dataclass(slots=True)
class _Question:
    """One publication of `saltutil.running`. asked: by the monotonic clock; at: in seconds since 1970.

    open: who has not answered.
    """

    jid: str
    asked: float
    at: float
    open: set[str] = field(default_factory=set)

    def is_about(self, job: Job) -> bool:
        """Whether a minion that has the job would have said so."""
        return job.since <= self.at - _YOUNG


class Watch:
    """What is under way, looked at again and again. gone: (jid, minion) of runs that are known to be over."""

    def __init__(self, opts: Mapping[str, Any], gone: Iterable[tuple[str, str]] = ()) -> None:
        """opts: the master's. Raises SaltError."""
        import salt.client
        import salt.exceptions
        import salt.loader
        import salt.payload
        import salt.utils.event

        def loads(data: bytes) -> Any:
            try:
                return salt.payload.loads(data)
            except salt.exceptions.SaltDeserializationError as err:
                raise ValueError(str(err)) from err

        self.gone = set(gone)
        self._patience = float(opts.get("gather_job_timeout") or 10)
        cache = str(opts["master_job_cache"])
        if cache == "local_cache":
            self._jobs: Any = LocalJobs(f"{opts['cachedir']}/jobs", loads)
        else:
            returners = salt.loader.returners(dict(opts), {})
            self._jobs = OtherJobs(cache, returners, utc=bool(opts.get("utc_jid")))
        self._errors = (salt.exceptions.SaltException, OSError, SystemExit)
        self._make_client: Any = lambda: salt.client.LocalClient(mopts=dict(opts))
        self._client: Any = None
        self._bus: Any = None
        if not opts.get("job_cache") or opts.get("ext_job_cache"):
            self._bus = salt.utils.event.get_event("master", opts=dict(opts), listen=True)
        self._evidence: dict[tuple[str, str], _Evidence] = {}
        self._asked: dict[str, float] = {}
        self._questions: list[_Question] = []

    def look(self) -> list[StateRun]:
        """The runs under way. Raises SaltError."""
        try:
            jobs = self._jobs.open()
            runs = {
                (job.jid, minion): job
                for job in jobs
                for minion in job.minions
                if (job.jid, minion) not in self.gone
            }
            if runs:
                self._hear(runs)
                self._ask(runs)
        except self._errors as err:
            why = str(err) or type(err).__name__
            raise SaltError(f"cannot see which state runs are under way: {why}") from err
        self._evidence = {key: self._evidence[key] for key in runs if key in self._evidence}
        found = []
        for (jid, minion), job in runs.items():
            known = self._evidence.get((jid, minion))
            if (jid, minion) not in self.gone:
                sure = bool(known and known.confirmed)
                found.append(
                    StateRun(
                        minion=minion,
                        jid=jid,
                        function=job.function,
                        since=job.since,
                        saltenvs=job.saltenvs,
                        confirmed=sure,
                    )
                )
        return sorted(found, key=lambda run: (run.since, run.minion))

    def _ask(self, runs: Mapping[tuple[str, str], Job]) -> None:
        now, at = time.monotonic(), time.time()
        busy = {minion for question in self._questions for minion in question.open}
        due = set()
        for key, job in runs.items():
            minion = key[1]
            if minion in busy or job.since > at - _YOUNG:
                continue
            known = self._evidence.get(key)
            pause = _AGAIN if known and known.confirmed else _TWICE
            if minion not in self._asked or now - self._asked[minion] >= pause:
                due.add(minion)
        if not due:
            return
        self._client = self._client or self._make_client()
        told = self._client.pub(sorted(due), "saltutil.running", tgt_type="list", listen=False)
        if not told:
            raise SaltError("cannot ask minions what they run: the master does not answer")
        known_ids = due & set(told["minions"])
        # Whose key is not accepted (any more) gets no files either.
        self.gone |= {key for key in runs if key[1] in due - known_ids}
        self._questions.append(_Question(str(told["jid"]), now, at, known_ids))
        self._asked.update(dict.fromkeys(due, now))

    def _hear(self, runs: Mapping[tuple[str, str], Job]) -> None:
        heard = self._heard() if self._bus else {}
        for question in self._questions:
            answers = heard.get(question.jid, {})
            if not self._bus:
                kept = self._client.get_cache_returns(question.jid)
                answers = {minion: answer.get("ret") for minion, answer in kept.items()}
            for minion in question.open & answers.keys():
                question.open.discard(minion)
                self._take(minion, answers[minion], question, runs)
            if question.open and time.monotonic() - question.asked > self._patience:
                about = {key for key, job in runs.items() if question.is_about(job)}
                self.gone |= {key for key in about if key[1] in question.open}
                question.open.clear()
        self._questions = [question for question in self._questions if question.open]

    def _heard(self) -> dict[str, dict[str, Any]]:
        """What came by the event bus since the last look: job to minion to return."""
        found: dict[str, dict[str, Any]] = {}
        while event := self._bus.get_event(tag="salt/job/", full=True, no_block=True):
            data = event["data"]
            if "return" in data and data.get("fun") == "saltutil.running":
                found.setdefault(str(data.get("jid")), {})[str(data.get("id"))] = data["return"]
        return found

    def _take(
        self, minion: str, answer: Any, question: _Question, runs: Mapping[tuple[str, str], Job]
    ) -> None:
        rows = (
            [row for row in answer if isinstance(row, Mapping)] if isinstance(answer, list) else []
        )
        jids = {str(row.get("jid")) for row in rows}
        some = any(state_function(row.get("fun")) for row in rows)
        for key, job in runs.items():
            if key[1] != minion or not question.is_about(job):
                continue
            known = self._evidence.setdefault(key, _Evidence())
            known.confirmed = key[0] in jids
            if known.confirmed or some:
                known.no = None
            elif known.no is None:
                known.no = question.asked
            elif question.asked - known.no >= _TWICE:
                self.gone.add(key)
