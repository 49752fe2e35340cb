"""What the gate `verified` says, and `soak` where it begins at a verification: functions of values, as in gates.py."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from saltbranch.base.durations import shown_duration
from saltbranch.config.gates import SoakGate, VerifiedGate
from saltbranch.journal.facts import Verification
from saltbranch.promote.gates import FAIL, PASS, SLACK, GateResult


def verified_gate(
    gate: VerifiedGate,
    source: str,
    told: Sequence[Verification],
    contains: Callable[[str], bool],
    *,
    now: float,
) -> GateResult:
    """Whether `source` passed its checks with the promoted commit, or one that contains it, not longer ago than asked.

    told: its verifications that count (journal/state.py), the oldest first. contains: whether a commit contains the
    promoted one.
    """
    if why := _why_not(source, told, contains):
        return GateResult("verified", FAIL, why)
    age = max(0.0, now - told[-1].begun)  # a clock that is ahead verifies now
    if gate.within is not None and age > gate.within:
        most = shown_duration(gate.within)
        reason = f"{source} was verified {shown_duration(age)} ago, and {most} is the most: {_ask(source)}"
        return GateResult("verified", FAIL, reason)
    reason = f"{source} passed its checks {shown_duration(age)} ago ({told[-1].reason})"
    return GateResult("verified", PASS, reason)


def soak_since_verified(
    gate: SoakGate,
    source: str,
    told: Sequence[Verification],
    contains: Callable[[str], bool],
    *,
    now: float,
    made: float = 0,
) -> GateResult:
    """Whether `source` passed its checks with the promoted commit for the first time as long ago as `gate` asks.

    Later verifications that passed do not start the clock anew; one that failed does, and a rollback. made: when the
    promoted commit was, in seconds since 1970, as in gates.soak_gate.
    """
    if why := _why_not(source, told, contains):
        return GateResult("soak", FAIL, why)
    known = functools.cache(contains)
    begin = now
    for verification in reversed(told):
        if not (verification.passed and known(verification.commit)):
            break
        begin = min(begin, verification.time)
    if begin < made - SLACK:
        begin = min(made, now)
    spent, asked = shown_duration(now - begin), shown_duration(gate.seconds)
    if now - begin >= gate.seconds:
        reason = f"verified by {source} for {spent}, asked are {asked}"
        return GateResult("soak", PASS, reason)
    reason = f"verified by {source} for {spent} of {asked}"
    return GateResult("soak", FAIL, reason, begin + gate.seconds)


def _why_not(source: str, told: Sequence[Verification], contains: Callable[[str], bool]) -> str:
    """Why the last verification does not count for the promoted commit; empty where it does."""
    ask = _ask(source)
    if not told:
        return f"{source} was not verified yet, or not since a rollback: {ask}"
    last = told[-1]
    if not last.passed:
        return f"{source} did not pass its checks: {last.reason}: {ask}, when that is repaired"
    if not contains(last.commit):
        return f"{source} was verified with {last.commit[:12]}, which lacks this commit: {ask}"
    return ""


def _ask(source: str) -> str:
    return f"saltbranch verify {source}, on its master"
