"""What the journal, and with it the gate `verified`, history and people who are notified, is told of a verification."""

from __future__ import annotations

import time
from dataclasses import dataclass

from saltbranch.git import identity
from saltbranch.journal import store as journal
from saltbranch.journal.events import VERIFY, Event
from saltbranch.repository.workplace import Workplace
from saltbranch.verify.run import Verified

_LONGEST = 600  # characters of the line for people


@dataclass(frozen=True, slots=True)
class VerifyRecord:
    """A plan of which one event comes, whatever others wrote meanwhile."""

    verb: str
    event: Event

    @property
    def events(self) -> tuple[Event, ...]:
        """What is to be recorded."""
        return (self.event,)

    def refusal(self, _new: VerifyRecord) -> str:
        """What was seen was seen."""
        return ""

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return self.event.as_dict()


def record_of(
    work: Workplace,
    saltenv: str,
    commit: str,
    found: Verified,
    *,
    complete: bool,
    seconds: float,
) -> VerifyRecord:
    """What is to be recorded by actions/shared/recording.record. complete: all minions of the saltenv were verified.

    seconds: how long it took.
    """
    reasons = found.reasons()
    said = found.counted if found.passed else "; ".join(reasons)
    now = time.time()
    details: dict[str, object] = {
        "saltenv": saltenv,
        "commit": commit,
        "passed": found.passed,
        "complete": complete,
        "checks": found.checks,
        "minions": found.minions,
        "failed": len(found.failed),
        "seconds": round(seconds, 1),
        "reasons": reasons,
        "reason": said if len(said) <= _LONGEST else f"{said[:_LONGEST]}...",
        **work.asked.details(),
    }
    who = identity.who(work.git)
    return VerifyRecord(f"verify {saltenv}", Event(VERIFY, journal.new_id(now), now, who, details))
