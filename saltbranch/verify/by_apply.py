"""Whether an apply that ended well has proven its saltenv as `saltbranch verify` would have."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from saltbranch.base.durations import iso
from saltbranch.base.text import many, some
from saltbranch.config.model import Saltenv
from saltbranch.journal.events import VERIFY, Event
from saltbranch.verify.around import checks_digest


@dataclass(frozen=True, slots=True)
class Proof:
    """What an apply did. passed: minions that passed the checks in their batches. changed: those that it changed.

    checks: a digest of those that it began with. begun: when the first were asked, in seconds since 1970. asked: who
    wanted it, where that is somebody else than who ran it.
    """

    apply: str
    commit: str
    passed: Collection[str]
    changed: Collection[str]
    checks: str
    begun: float
    asked: Mapping[str, str] = field(default_factory=dict)


def why_not(proof: Proof, saltenv: Saltenv, minions: Collection[str]) -> str:
    """Why that is no verification of the saltenv with `minions`; empty where it is."""
    if not saltenv.verify:
        return "it has no checks"
    if proof.checks != checks_digest(saltenv):
        return "its checks are others than when the apply began"
    if left := sorted(set(minions) - set(proof.passed)):
        return f"{many(len(left), 'minion')} of it did not pass them: {some(left)}"
    same = sorted(set(minions) - set(proof.changed))
    for check in saltenv.verify:
        if same and check.on == "changed":
            return f"{check.name} asks only what was changed, which {some(same)} was not"
    return "" if minions else "it has no minions"


def event_of(
    proof: Proof, saltenv: Saltenv, minions: Collection[str], *, id_: str, now: float, by: str
) -> Event:
    """What the journal is told of a verification by an apply."""
    counted = f"{many(len(saltenv.verify), 'check')}, {many(len(minions), 'minion')}"
    details: dict[str, object] = {
        "saltenv": saltenv.name,
        "commit": proof.commit,
        "passed": True,
        "complete": True,
        "checks": len(saltenv.verify),
        "minions": len(minions),
        "failed": 0,
        "reasons": [],
        "reason": f"{counted}, by apply {proof.apply}",
        "begun": iso(proof.begun),
        "apply": proof.apply,
        **proof.asked,
    }
    return Event(VERIFY, id_, now, by, details)
