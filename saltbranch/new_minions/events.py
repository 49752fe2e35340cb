"""The events by which the master's bus hears of new minions."""

from __future__ import annotations

from typing import Final, TypedDict

UNPLACED: Final = "saltbranch/minion/unplaced"


class NewMinion(TypedDict):
    """``saltbranch/minion/new/<saltenv>``: a minion that this master did not know has its modules and its pillar.

    commit: what its saltenv serves. highstate: the job that applies its first highstate, null where none does.
    had_highstate: it has applied one before. problem: what went wrong, null for nothing.
    """

    minion: str
    saltenv: str
    branch: str
    commit: str
    highstate: str | None
    had_highstate: bool
    problem: str | None


class UnplacedMinion(TypedDict):
    """``saltbranch/minion/unplaced``: no saltenv claims a new minion, or several do, or one that is not served here."""

    minion: str
    saltenvs: list[str]
    reason: str


def new_tag(saltenv: str) -> str:
    """The tag of the event of a minion that is new in `saltenv`."""
    return f"saltbranch/minion/new/{saltenv}"
