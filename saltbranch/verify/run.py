"""Ask what a saltenv's checks ask, again where they did not pass at once, and collect what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from saltbranch.base.text import many, printable, some
from saltbranch.config.entries import fits
from saltbranch.config.verify import Check, HttpCheck, ProgramCheck, SaltCheck, TcpCheck
from saltbranch.notify import hooks
from saltbranch.verify import judge, probe
from saltbranch.verify.judge import Judged
from saltbranch.verify.salt import Salt

PAUSE = 2.0
"""Seconds between two tries."""
_MOST_REASONS = 10

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is verified. minions: ids. changed: those of them that were changed, all where that is not known.

    programs: those of the model that may run here.
    """

    saltenv: str
    commit: str
    minions: tuple[str, ...]
    changed: tuple[str, ...] | None = None
    programs: frozenset[tuple[str, ...]] = frozenset()
    why_not: Callable[[tuple[str, ...]], str] = lambda argv: f"{argv[0]} may not run here"

    def targets(self, check: Check) -> tuple[str, ...]:
        """The minions that a check is about; of `one` all, as only who is up can tell which."""
        if check.on == "changed" and self.changed is not None:
            return tuple(m for m in self.minions if m in self.changed)
        return self.minions


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one check on one minion, on none where the master asked once. seconds: with all tries."""

    check: str
    minion: str
    passed: bool
    reason: str
    tries: int
    seconds: float

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "check": self.check,
            "minion": self.minion or None,
            "passed": self.passed,
            "reason": self.reason or None,
            "tries": self.tries,
            "seconds": round(self.seconds, 1),
        }


@dataclass(frozen=True, slots=True)
class Verified:
    """What came of all checks. minions: how many there were."""

    rows: tuple[Row, ...]
    checks: int
    minions: int

    @property
    def passed(self) -> bool:
        """Whether all did."""
        return all(row.passed for row in self.rows)

    @property
    def failed(self) -> list[Row]:
        """Those that did not."""
        return [row for row in self.rows if not row.passed]

    @property
    def counted(self) -> str:
        """``4 checks, 12 minions``."""
        return f"{many(self.checks, 'check')}, {many(self.minions, 'minion')}"

    def reasons(self) -> list[str]:
        """Why they did not pass, those alike in one line, ten at most; without anything that a server answered."""
        alike: dict[tuple[str, str], list[str]] = {}
        for row in self.failed:
            alike.setdefault((row.check, row.reason), []).append(printable(row.minion))
        lines = [
            f"{check}: {f'{some(names, 5)}: ' if names[0] else ''}{reason}"
            for (check, reason), names in alike.items()
        ]
        more = len(lines) - _MOST_REASONS
        return [*lines[:_MOST_REASONS], *([f"and {more} more"] if more > 0 else [])]


@dataclass(slots=True)
class _Run:
    minions: Salt
    subject: Subject
    pause: float
    up: set[str] | None = None
    rows: list[Row] = field(default_factory=list)

    def is_up(self, minion: str) -> bool:
        if self.up is None:
            self.up = self.minions.up(self.subject.minions)
        return minion in self.up


def run(
    minions: Salt,
    checks: Sequence[Check],
    subject: Subject,
    *,
    say: Say | None = None,
    pause: float = PAUSE,
) -> Verified:
    """Run `checks` one after the other, each on all its minions at once.

    minions: who runs functions. pause: seconds between two tries. say: told of each check. Raises SaltError.
    """
    done = _Run(minions, subject, pause)
    for check in checks:
        rows = _run_check(done, check)
        done.rows += rows
        if say:
            passed = sum(row.passed for row in rows)
            say(f"{check.name}: {passed} of {len(rows)} passed")
    return Verified(tuple(done.rows), len(checks), len(subject.minions))


def _run_check(done: _Run, check: Check) -> list[Row]:
    match check:
        case SaltCheck():
            return _salt(done, check)
        case HttpCheck() | TcpCheck():
            return _probe(done, check)
        case ProgramCheck():
            return _program(done, check)


def _salt(done: _Run, check: SaltCheck) -> list[Row]:
    wanted = done.subject.targets(check)
    up = [m for m in wanted if done.is_up(m)]
    down = [m for m in wanted if m not in up]
    if check.on == "one" and wanted:
        up, down = up[:1], [] if up else down[:1]
    args, kwargs = check.call.arguments()

    def ask(targets: Sequence[str]) -> Mapping[str, Judged]:
        answers = done.minions.run_and_wait(
            targets, check.call.function, args, kwargs, timeout=check.timeout
        )
        return {m: judge.of_return(check.expect, answers.get(m)) for m in targets}

    lost = judge.failed("it does not answer")
    rows = [*_tried(done, check, up, ask), *(_row(check, m, lost, 1, 0.0) for m in down)]
    return sorted(rows, key=lambda row: row.minion)


def _probe(done: _Run, check: HttpCheck | TcpCheck) -> list[Row]:
    """Once, or once for each minion where its id stands in the address."""
    if not check.names_minion:
        return _tried(done, check, [""], lambda _names: {"": probe.ask({"": check})[""]})
    wanted = done.subject.targets(check)
    if check.on == "one":
        wanted = wanted[:1]
    odd = [m for m in wanted if not fits(m)]
    rows = [_row(check, m, judge.failed("its id cannot stand in an address"), 1, 0.0) for m in odd]

    def ask(targets: Sequence[str]) -> Mapping[str, Judged]:
        return probe.ask({m: check.of(m) for m in targets})

    return rows + _tried(done, check, [m for m in wanted if m not in odd], ask)


def _program(done: _Run, check: ProgramCheck) -> list[Row]:
    subject = done.subject
    if check.argv not in subject.programs:
        return [_row(check, "", judge.failed(subject.why_not(check.argv)), 1, 0.0)]
    payload = {
        "version": 1,
        "check": check.name,
        "saltenv": subject.saltenv,
        "commit": subject.commit,
        "minions": list(subject.minions),
    }

    def ask(_names: Sequence[str]) -> Mapping[str, Judged]:
        passed, said = hooks.run(check.argv, payload, timeout=check.timeout)
        return {"": judge.PASSED if passed else judge.failed(said.split("\n")[0])}

    return _tried(done, check, [""], ask)


def _tried(
    done: _Run,
    check: Check,
    targets: Sequence[str],
    ask: Callable[[Sequence[str]], Mapping[str, Judged]],
) -> list[Row]:
    """Ask about all `targets`, and again about those that did not pass, as often as the check says."""
    begin = time.monotonic()
    found: dict[str, Row] = {}
    left, tries = list(targets), 0
    while left:
        if tries:
            time.sleep(done.pause)
        tries += 1
        judged = ask(left)
        spent = time.monotonic() - begin
        found |= {name: _row(check, name, judged[name], tries, spent) for name in left}
        left = [name for name in left if not judged[name].passed] if tries <= check.retries else []
    return list(found.values())


def _row(check: Check, minion: str, judged: Judged, tries: int, seconds: float) -> Row:
    return Row(
        check=check.name,
        minion=minion,
        passed=judged.passed,
        reason=judged.reason,
        tries=tries,
        seconds=seconds,
    )
