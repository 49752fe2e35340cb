"""--wait-masters: after a push, wait until every master that tells the journal serves the new commit.

What is asked again and again is where the journal of the remote stands, one ref; only when that has moved is it read.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from saltbranch.base.durations import ago, iso, parse_duration, shown_duration
from saltbranch.base.errors import (
    LockedError,
    RefusedError,
    RemoteError,
    SaltbranchError,
    UsageError,
)
from saltbranch.config.model import Saltenv
from saltbranch.repository.masters import Master, masters_of
from saltbranch.repository.workplace import Say, Workplace

_FIRST, _LONGEST = 0.5, 5.0  # seconds between two looks
_MOST_SECONDS = 86400
_NAMED = 10  # masters in a sentence


@dataclass(frozen=True, slots=True)
class Waited:
    """What came of it.

    commit: what is waited for. seconds: how long it took. served: who serves it. missing: who does not. silent: who
    was not waited for. problem: why it could not be told, or came to nothing. interrupted: somebody pressed ^C.
    """

    saltenv: str
    commit: str | None
    seconds: float
    served: tuple[str, ...] = ()
    missing: tuple[Master, ...] = ()
    silent: tuple[Master, ...] = ()
    problem: str = ""
    interrupted: bool = False
    now: float = 0

    @property
    def is_done(self) -> bool:
        """Whether all that count serve it."""
        return not (self.missing or self.problem or self.interrupted)

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "saltenv": self.saltenv,
            "commit": self.commit,
            "seconds": round(self.seconds, 1),
            "served": list(self.served),
            "missing": [self._row(m) for m in self.missing],
            "silent": [self._row(m) for m in self.silent],
            "interrupted": self.interrupted,
        }

    def _row(self, master: Master) -> dict[str, object]:
        row = master.serves(self.saltenv)
        return {
            "master": master.name,
            "commit": row.commit if row else None,
            "recorded": iso(master.recorded),
        }

    def told(self) -> str:
        """A sentence for people: who serves it, or who does not and when it told last."""
        what = f"{self.saltenv} {(self.commit or '')[:12]}"
        silent = f"; not waited for: {self._named(self.silent)}" if self.silent else ""
        if self.is_done:
            who = _some(self.served) or "no master"
            return f"{what} is served by {who}, after {shown_duration(self.seconds)}{silent}"
        why = f" ({self.problem})" if self.problem else ""
        how = "was waited for until ^C" if self.interrupted else "was waited for"
        who = self._named(self.missing) or "nobody knows who serves it"
        missing = f"not served by {who}" if self.missing else who
        return f"{what} {how}, {shown_duration(self.seconds)}: {missing}{why}{silent}"

    def _named(self, masters: Sequence[Master]) -> str:
        return _some([self._about(m) for m in masters])

    def _about(self, master: Master) -> str:
        row = master.serves(self.saltenv)
        serves = f"serves {row.commit[:12]}, " if row else ""
        return (
            f"{master.name} ({serves}recorded a switch last {ago(self.now - master.recorded)} ago)"
        )


def _some(words: Sequence[str]) -> str:
    more = f" and {len(words) - _NAMED} more" if len(words) > _NAMED else ""
    return ", ".join(words[:_NAMED]) + more


def parse_seconds(text: str | None) -> float | None:
    """Seconds of `--wait-masters`. Raises UsageError."""
    return parse_wait(text, "--wait-masters", "60s")


def parse_wait(text: str | None, option: str, example: str) -> float | None:
    """Seconds of an option that waits. Raises UsageError."""
    if text is None:
        return None
    seconds = parse_duration(text, option)
    if not 0 < seconds <= _MOST_SECONDS:
        raise UsageError(
            f"{option}: {text!r} is too {'long' if seconds else 'short'}",
            hint=f"from 1s to 1d, for example {example}",
        )
    return seconds


def refuse_pointless(work: Workplace, saltenv: str) -> None:
    """Refuse to wait where no master would ever say that it serves `saltenv`. Raises RefusedError."""
    if work.repo.problem:
        raise RefusedError(work.repo.problem.message, hint=work.repo.problem.hint)
    known = [m for m in masters_of(work, time.time()) if m.serves(saltenv)]
    if any(m.state != "silent" for m in known):
        return
    if known:
        who = Waited(saltenv, None, 0, now=time.time())._named(known)
        raise RefusedError(
            f"--wait-masters: no master would tell: for a week nothing was heard of {who}; nothing was changed",
            hint="saltbranch status --masters says what is known; leave out --wait-masters",
        )
    where = (
        f" (here: in {work.config_path})" if work.serves and not work.config.record_syncs else ""
    )
    raise RefusedError(
        f"--wait-masters: no master records what it serves as {saltenv}, so it would be waited for nothing;"
        " nothing was changed",
        hint=f"set record_syncs: true in the saltbranch.yaml of every master{where}, which needs push access to"
        " refs/saltbranch/; or leave out --wait-masters",
    )


@dataclass(slots=True)
class _Wait:
    work: Workplace
    saltenv: Saltenv
    seconds: float
    say: Say | None
    begun: float = field(default_factory=time.monotonic)
    target: str | None = None
    masters: tuple[Master, ...] = ()
    problem: str = ""
    head: str | None = None  # the remote's journal, as it was read last
    is_read: bool = False

    @property
    def left(self) -> float:
        return self.seconds - (time.monotonic() - self.begun)

    def _at_most(self, timeout: float) -> float:
        return max(0.1, min(timeout, self.left))

    def run(self) -> Waited:
        pause = _FIRST
        try:
            while True:
                moved = self._look()
                if self._is_over():
                    break
                pause = _FIRST if moved else min(pause * 1.5, _LONGEST)
                if self.left <= 0:
                    break
                time.sleep(max(0.0, min(pause, self.left)))
        except KeyboardInterrupt:
            return self._result(interrupted=True)
        return self._result(interrupted=False)

    def _look(self) -> bool:
        """Read what is new; whether anything was. What fails is tried again, as long as there is time."""
        before, moved = self.masters, False
        if self.left > 0:
            try:
                moved = self._read()
                broken = self.work.repo.problem
                self.problem = broken.message if broken else ""
            except (RemoteError, LockedError) as err:
                self.problem = err.message.split("\n", 1)[0]
        if self.target is not None and (moved or self.work.serves):
            self.masters = tuple(
                m for m in masters_of(self.work, time.time()) if m.serves(self.saltenv.name)
            )
            if self.say:
                good, missing, _ = self._split()
                self.say(f"Waiting for masters: {100 * len(good) // max(1, len(good + missing))}%")
        return self.masters != before

    def _read(self) -> bool:
        """Whether anything is new."""
        repo, timeout = self.work.repo, self.work.repo.timeout
        if not self.is_read:
            # Once all of it, for what was pushed is what counts now.
            repo.timeout = self._at_most(timeout)
            try:
                self.work.refresh(wait=self.left)
            finally:
                repo.timeout = timeout
            self.is_read, self.head = True, self.work.refs.journal
            self.target = self.work.wanted(self.saltenv).commit
            return True
        head = repo.ask_journal(timeout=self._at_most(timeout))
        if head == self.head:
            return False
        self.work.read_journal(timeout=self._at_most(timeout))
        self.head = head
        return True

    def _is_over(self) -> bool:
        if self.problem or not self.is_read:
            return False
        if self.target is None:
            self.problem = f"{self.saltenv.name} is to serve nothing"
            return True
        wanted = self.work.wanted(self.saltenv).commit
        if wanted is None or not self._contains(wanted):
            self.problem = f"meanwhile {self.saltenv.name} is to serve {(wanted or 'nothing')[:12]}"
            return True
        return not self._split()[1]

    def _split(self) -> tuple[list[Master], list[Master], list[Master]]:
        """Who serves it, who does not, and who is not waited for."""
        good: list[Master] = []
        missing: list[Master] = []
        silent: list[Master] = []
        for master in self.masters:
            row = master.serves(self.saltenv.name)
            if row and self._contains(row.commit):
                good.append(master)
            else:
                (silent if master.state == "silent" else missing).append(master)
        return good, missing, silent

    def _contains(self, commit: str) -> bool:
        if commit == self.target:
            return True
        git = self.work.git
        is_here = bool(self.target) and git.commit_or_none(commit) is not None
        return is_here and git.is_ancestor(str(self.target), commit)

    def _result(self, *, interrupted: bool) -> Waited:
        good, missing, silent = self._split()
        return Waited(
            saltenv=self.saltenv.name,
            commit=self.target,
            seconds=time.monotonic() - self.begun,
            served=tuple(m.name for m in good),
            missing=tuple(missing),
            silent=tuple(silent),
            problem=self.problem,
            interrupted=interrupted,
            now=time.time(),
        )


def wait(work: Workplace, saltenv: str, seconds: float, say: Say | None = None) -> Waited:
    """Wait until every master that counts serves what `saltenv` is to serve now, for `seconds` at the most.

    Whatever goes wrong is part of the result: what was pushed is pushed.
    """
    begun = time.monotonic()
    try:
        return _Wait(work, work.config.saltenv(saltenv), seconds, say).run()
    except SaltbranchError as err:
        return Waited(saltenv, None, time.monotonic() - begun, problem=err.message)
