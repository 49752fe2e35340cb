"""What may be done where an apply has stopped since something went wrong, and what that does to its pass. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from saltbranch.apply.outcome import APPLIED, FAILED, PENDING, SKIPPED, Outcome
from saltbranch.apply.run_state import Pass
from saltbranch.apply.stays import Stays

Choice = Literal["stop", "go on", "again", "rollback"]
END: Final = "stop"
GO_ON: Final = "go on"
AGAIN: Final = "again"
BACK: Final = "rollback"


@dataclass(frozen=True, slots=True)
class Trouble:
    """An apply that has stopped, for whoever decides how it goes on.

    failed: minion to what is wrong there, of those that nobody went on after yet. step: that failed as a whole, a hook
    or the checks, empty where it is minions. touched: how many minions a rollback would go to. stays: what that would
    not undo, None where there is no rollback; no_way_back: why.
    """

    apply: str
    saltenv: str
    why: str
    number: int
    of: int
    step: str
    batch: tuple[str, ...]
    failed: Mapping[str, Outcome]
    counts: Mapping[str, int]
    touched: int
    stays: Stays | None = None
    no_way_back: str = ""

    @property
    def choices(self) -> tuple[Choice, ...]:
        """What makes sense."""
        back: tuple[Choice, ...] = (BACK,) if self.touched and self.stays else ()
        return (END, GO_ON, AGAIN, *back)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "why": self.why,
            "number": self.number,
            "of": self.of,
            "step": self.step or None,
            "batch": list(self.batch),
            "failed": {m: o.as_dict() for m, o in self.failed.items()},
            "counts": dict(self.counts),
            "touched": self.touched,
            "stays": self.stays.as_dict() if self.stays else None,
            "no_way_back": self.no_way_back or None,
            "choices": list(self.choices),
        }


def failed_of(run: Pass) -> list[str]:
    """Those that went wrong since a person went on the last time: batches come one after another."""
    return run.wrong()[run.forgiven :]


def go_on_without(run: Pass, why: str) -> None:
    """Leave out what failed: those that went wrong or, where a step of the batch failed, its minions."""
    if run.step:
        for minion in run.batches[run.at]:
            before = run.of(minion)
            if before.state == PENDING and minion not in run.retried:
                run.outcomes[minion] = Outcome(SKIPPED, f"left out: {why}")
            elif before.state in (PENDING, APPLIED):
                run.outcomes[minion] = Outcome(
                    FAILED, why, before.changed, before.states, before.jid
                )
        run.at, run.step = run.at + 1, ""
    run.forgiven = len(run.wrong())


def try_again(run: Pass) -> None:
    """Let those that went wrong be the next batch; where a step of the batch failed, it is what comes next anyway."""
    if run.step:
        return
    wrong = failed_of(run)
    done = [[m for m in batch if m not in wrong] for batch in run.batches[: run.at]]
    done = [batch for batch in done if batch]
    run.batches = [*done, wrong, *run.batches[run.at :]]
    run.at = len(done)
    run.outcomes |= dict.fromkeys(wrong, Outcome(PENDING))
    run.retried = sorted({*run.retried, *wrong})
