"""What several verbs write with ``--json``: commits, holds, gates, models."""

from __future__ import annotations

from typing import Literal, TypedDict

from saltbranch.journal.facts import HoldKind

Version = Literal[1]
Commit = str
Time = str


class CommitLine(TypedDict):
    """A commit in a list."""

    commit: Commit
    subject: str
    author: str
    tickets: list[str]


class Group(TypedDict):
    """Commits of one ticket or feature branch; without a name those of neither."""

    name: str
    commits: list[CommitLine]


class Model(TypedDict):
    """Which saltbranch.yaml decided."""

    place: str
    branch: str | None
    commit: Commit | None
    problem: str | None
    ignored: list[str]
    differs: list[str]


class Hold(TypedDict):
    """A saltenv serves this commit, whatever its branch says; all: as do all others, by one hold."""

    saltenv: str
    commit: Commit
    kind: HoldKind
    reason: str
    by: str
    asked_by: str | None
    claimed_by: str | None
    since: Time
    until: Time | None
    all: bool


class HoldHere(Hold):
    """The same on a master; pending: nobody else knows of it yet."""

    pending: bool


class Pinned(TypedDict):
    """A commit of a formula; name: its tag, else as git describe calls it. time: seconds since 1970."""

    commit: Commit
    name: str
    time: float | None
    on_branch: bool | None


class Debt(TypedDict):
    """A branch that lacks what another one has."""

    id: str
    branch: str
    commit: Commit
    origin: str
    files: list[str]
    since: Time


class Gate(TypedDict):
    """What a gate says of a promotion."""

    gate: str
    verdict: Literal["pass", "fail", "cannot-tell"]
    reason: str
    passes_at: Time | None
    overridden: str | None


class Pushed(TypedDict):
    """What was pushed to a branch by hand."""

    id: str
    saltenv: str
    branch: str
    old: Commit
    new: Commit
    number: int
    commits: list[str]
    committers: list[str]
    lost: list[str]
    refused: bool


class PushedHere(Pushed):
    """The same on a master, with a line for people."""

    told: str


class Proposal(TypedDict):
    """A promotion that waits as a branch."""

    branch: str
    commit: Commit
    id: str


class WhyNot(TypedDict):
    """Whether the next promotion may go on."""

    version: Version
    saltenv: str
    possible: bool
    nothing_to_promote: bool
    conflicts: list[str]
    gates: list[Gate]
    passes_at: Time | None


class LabClaim(TypedDict):
    """Who has a lab. id, since: null where lab_auto gave it; until: null while the branch is there."""

    id: str | None
    lab: int
    branch: str
    minions: list[str]
    since: Time | None
    until: Time | None
    by: str
    asked_by: str | None
    claimed_by: str | None
    empty_at: Commit | None
