"""The data of the events that the master's bus has of saltbranch; Salt adds `_stamp` to each."""

from __future__ import annotations

from typing import Literal, TypedDict

from saltbranch.cli.json_shapes.parts import Commit, Time
from saltbranch.cli.json_shapes.serving import StateRun
from saltbranch.new_minions.events import NewMinion, UnplacedMinion

__all__ = ["NewMinion", "UnplacedMinion"]


class Switched(TypedDict):
    """``saltbranch/sync/<saltenv>``: a sync of this master switched a saltenv; `old` is null for the first one."""

    saltenv: str
    branch: str
    old: Commit | None
    new: Commit


class Waiting(TypedDict):
    """``saltbranch/waiting/<saltenv>``: a switch waits for state runs or, with `gave_up`, is left to the next sync."""

    saltenv: str
    branch: str
    old: Commit | None
    new: Commit | None
    runs: list[StateRun]
    gave_up: bool


class Who(TypedDict):
    """by: the machine that recorded it. asked_by: the caller as Salt told it; claimed_by: for whom, by its word."""

    by: str | None
    asked_by: str | None
    claimed_by: str | None


class Verified(Who):
    """``saltbranch/verify/<saltenv>``: the checks of a saltenv were run. complete: on all its minions.

    checks, minions: how many. reasons: why it did not pass. id: of the journal, null where it is not recorded.
    """

    saltenv: str
    commit: Commit
    passed: bool
    complete: bool
    checks: int
    minions: int
    reasons: list[str]
    id: str | None


class ApplyGoesOn(Who):
    """``saltbranch/apply/<saltenv>``: a pass of an apply of this master begins, or a batch of it, or it has ended.

    kind: a rollback has a `begin` of its own. commit: that is applied in it. batch: from 1 on. counts: so far.
    """

    event: Literal["begin", "batch", "end"]
    saltenv: str
    id: str
    kind: Literal["apply", "rollback"]
    commit: Commit
    status: Literal["running", "done", "stopped", "rolled-back", "aborted"]
    batch: int
    batches: int
    counts: dict[str, int]
    why: str | None


class Promoted(Who):
    """``saltbranch/promote/<saltenv>``: a promotion by the runner; `id` is of the journal, old and new are heads."""

    saltenv: str
    branch: str
    id: str
    source: str
    source_commit: Commit
    old: Commit
    new: Commit
    tag: str | None
    tickets: list[str]
    digest: str


class Recorded(Who):
    """``saltbranch/hold/<saltenv>``, ``unhold``, ``rollback`` and ``accept``: recorded in the journal by the runner.

    old, new: commits that the saltenv serves before and after, null for nothing. until: when it ends. promotion: that
    which a rollback goes by, and the push that was accepted. local: on this master alone, until the remote is back.
    """

    saltenv: str
    id: str
    old: Commit | None
    new: Commit | None
    reason: str
    until: Time | None
    promotion: str | None
    local: bool
