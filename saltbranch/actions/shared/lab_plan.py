"""What the verbs of labs would record, and what `lab list` shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from saltbranch.base.text import many
from saltbranch.config.labs import name_of
from saltbranch.git.program import quoted
from saltbranch.journal.events import Event
from saltbranch.journal.facts import CLAIM
from saltbranch.labs.lab import Claim, Lab

Action = Literal["claim", "extend", "release"]
"""What a verb does with a lab."""
State = Literal["free", "claimed", "refused", "auto"]
"""How it is with a lab; auto: it was given by `lab_auto`."""


@dataclass(frozen=True, slots=True)
class LabPlan:
    """What a verb would record. claim: as it is afterwards, or was, None where there is none to give back.

    saltenv: whose pillar the lab has. events: none where it is so already. notes: what is to be said.
    """

    verb: str
    action: Action
    claim: Claim | None
    saltenv: str
    events: tuple[Event, ...]
    notes: tuple[str, ...] = ()

    def refusal(self, _new: LabPlan) -> str:
        """Another lab than the one that was planned is as good; what is impossible was refused by the plan."""
        return ""

    @property
    def commands(self) -> tuple[str, ...]:
        """What tries the lab."""
        if self.action != CLAIM or self.claim is None:
            return ()
        name, minions, branch = name_of(self.claim.number), self.claim.minions, self.claim.branch
        if minions:
            # Of a claim that no machine has judged the ids may be anything.
            target = f"{'-L ' if minions[1:] else ''}{quoted(','.join(minions))}"
            runs = (f"salt {target} state.apply test=True", f"salt {target} state.apply")
        else:
            extend = f"saltbranch lab extend {quoted(branch)}"
            runs = (f"salt ID state.apply saltenv={name} test=True", extend)
        return (*runs, f"saltbranch lab release {quoted(branch)}")

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        claim = self.claim
        return {
            "version": 1,
            "verb": self.verb,
            "action": self.action,
            "changes": bool(self.events),
            "lab": name_of(claim.number) if claim else None,
            "saltenv": self.saltenv or None,
            "claim": claim.as_dict() if claim else None,
            "notes": list(self.notes),
            "commands": list(self.commands),
        }


@dataclass(frozen=True, slots=True)
class Labs:
    """All labs that are known here. count: how many there are, None where no master has told.

    beyond: claims of labs that this machine, or some master, does not have.
    """

    labs: tuple[Lab, ...]
    count: int | None
    beyond: tuple[Claim, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        rows = [_row(lab) for lab in self.labs]
        gone = [_row(Lab(c.number, c, refused=self.no_such)) for c in self.beyond]
        return {"version": 1, "count": self.count, "labs": [*rows, *gone]}

    @property
    def no_such(self) -> str:
        """Why the claims of `beyond` do not count."""
        if not self.count:
            return "there are no labs"
        return f"there {'is' if self.count == 1 else 'are'} only {many(self.count, 'lab')}"


def _row(lab: Lab) -> dict[str, object]:
    claim = lab.claim
    return {
        "lab": lab.name,
        "state": state_of(lab),
        "saltenv": lab.saltenv or None,
        "lent": list(lab.lent),
        "refused": lab.refused or None,
        "freed": lab.freed or None,
        "claim": claim.as_dict() if claim else None,
    }


def state_of(lab: Lab) -> State:
    """In one word: free, claimed, refused, or auto where `lab_auto` gave it."""
    if lab.claim is None:
        return "free"
    return "refused" if lab.refused else "auto" if lab.claim.is_auto else "claimed"
