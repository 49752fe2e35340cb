"""``history --json`` and ``where --json``."""

from __future__ import annotations

from typing import Literal, TypedDict

from saltbranch.cli.json_shapes.parts import Commit, CommitLine, Pinned, Time, Version
from saltbranch.history.presence import How, State, TicketState
from saltbranch.journal.facts import PromotionKind, Via
from saltbranch.repository.served_commit import Why


class Entry(TypedDict):
    """One thing that was done. what: the kind of its event, or of the promotion; all: of every saltenv.

    outcome: of an apply done, stopped, rolled-back, aborted, of a verification passed, failed; counts: of minions.
    """

    time: Time
    what: str
    saltenv: str | None
    all: bool
    id: str
    by: str
    asked_by: str | None
    claimed_by: str | None
    source: str | None
    old: Commit | None
    new: Commit | None
    tag: str | None
    tickets: list[str]
    reason: str | None
    until: str | None
    diff_digest: str | None
    via: Via
    outcome: str | None
    counts: dict[str, int]
    seconds: float | None


class History(TypedDict):
    """``history --json``; more: how many older entries were left out."""

    version: Version
    entries: list[Entry]
    more: int
    problems: list[str]


class Promotion(TypedDict):
    """State code that went to the branch of a saltenv."""

    id: str
    kind: PromotionKind
    time: Time
    by: str
    asked_by: str | None
    claimed_by: str | None
    saltenv: str
    branch: str
    source: str
    source_commit: Commit
    old: Commit
    new: Commit
    tag: str | None
    tickets: list[str]
    digest: str
    diff_digest: str | None
    via: Via


class Arrival(TypedDict):
    """How a commit came to a branch."""

    commit: Commit
    by: Commit
    since: Time
    promotion: Promotion | None
    push: str | None
    accepted: str | None


class Turn(Arrival):
    """A coming or going of a commit."""

    there: bool


class OnMaster(TypedDict):
    """What a master said that it serves."""

    master: str
    commit: Commit
    there: bool | None
    since: Time | None


class OnMinions(TypedDict):
    """By the applies of `master` that are recorded it runs on at least `runs` of `of` minions.

    apply, commit, time: of the last one.
    """

    master: str
    apply: str
    commit: Commit
    time: Time
    runs: int
    of: int
    since: Time | None


class CommitPresence(TypedDict):
    """A commit in one saltenv."""

    saltenv: str
    branch: str
    state: State
    how: How | None
    arrival: Arrival | None
    turns: list[Turn]
    served: bool | None
    serves: Commit | None
    serves_by: Why | None
    masters: list[OnMaster]
    resembles: Commit | None
    minions: list[OnMinions]


class InLab(TypedDict):
    """A lab that has what is looked for; lent: the minions that get it so."""

    lab: str
    branch: str
    lent: list[str]
    until: Time | None


class WhereCommit(CommitLine):
    """``where COMMIT --json``."""

    version: Version
    kind: Literal["commit"]
    saltenvs: list[CommitPresence]
    labs: list[InLab]
    problems: list[str]


class TicketPresence(TypedDict):
    """A ticket in one saltenv."""

    saltenv: str
    branch: str
    state: TicketState
    there: int
    served: int
    since: Time | None
    promotions: list[Promotion]
    missing: list[CommitLine]
    reverted: list[CommitLine]
    masters: list[str]
    minions: list[OnMinions]


class WhereTicket(TypedDict):
    """``where TICKET --json``."""

    version: Version
    kind: Literal["ticket"]
    ticket: str
    commits: list[CommitLine]
    saltenvs: list[TicketPresence]
    labs: list[InLab]
    problems: list[str]


class PathPresence(TypedDict):
    """A path in one saltenv; object, served: git's names of what it holds."""

    saltenv: str
    branch: str
    object: str | None
    formula: Pinned | None
    served: str | None
    commit: CommitLine | None
    arrival: Arrival | None


class WherePath(TypedDict):
    """``where PATH --json``; same: all saltenvs have the same content."""

    version: Version
    kind: Literal["path"]
    path: str
    same: bool
    saltenvs: list[PathPresence]
    problems: list[str]
