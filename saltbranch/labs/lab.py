"""A lab: a spare saltenv, lab1 to labN, that a branch has for a while, and perhaps minions with it."""

from __future__ import annotations

from dataclasses import dataclass

from saltbranch.config.labs import PREFIX as PREFIX
from saltbranch.config.labs import name_of
from saltbranch.journal.facts import Claim as Claim


@dataclass(frozen=True, slots=True)
class Lab:
    """One lab as this master judges it.

    claim: None where it is free. saltenv: whose pillar it has, and where its minions come from. lent: the ids that it
    has instead of their own saltenv. refused: why the claim does not count here, empty where it does. freed: why a
    claim of the journal is over, where nobody has released it.
    """

    number: int
    claim: Claim | None = None
    saltenv: str = ""
    lent: tuple[str, ...] = ()
    refused: str = ""
    freed: str = ""

    @property
    def name(self) -> str:
        """The saltenv's name."""
        return name_of(self.number)

    @property
    def dirname(self) -> str:
        """Its folder in checkouts and slots; no branch's folder has a ``+`` in its name."""
        return f"{self.name}+"

    @property
    def branch(self) -> str:
        """What it is to serve; empty for nothing."""
        return self.claim.branch if self.claim and not self.refused else ""
