"""A lab: a spare saltenv, lab1 to labN, that a branch has for a while, and perhaps minions with it."""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = "lab"


@dataclass(frozen=True, slots=True)
class Claim:
    """What the journal says of one lab: nothing that was judged yet, since whoever may push can write it.

    number: which lab. minions: ids, none where it is for trying only. since, until: seconds since 1970.
    """

    id: str
    number: int
    branch: str
    minions: tuple[str, ...]
    since: float
    until: float
    by: str


@dataclass(frozen=True, slots=True)
class Lab:
    """One lab as this master judges it.

    claim: None where it is free. saltenv: whose pillar it has, and where its minions come from. lent: the ids that it
    has instead of their own saltenv. refused: why the claim does not count here, empty where it does.
    """

    number: int
    claim: Claim | None = None
    saltenv: str = ""
    lent: tuple[str, ...] = ()
    refused: str = ""

    @property
    def name(self) -> str:
        """The saltenv's name."""
        return f"{PREFIX}{self.number}"

    @property
    def dirname(self) -> str:
        """Its folder in checkouts and slots; no branch's folder has a ``+`` in its name."""
        return f"{self.name}+"

    @property
    def branch(self) -> str:
        """What it is to serve; empty for nothing."""
        return self.claim.branch if self.claim and not self.refused else ""
