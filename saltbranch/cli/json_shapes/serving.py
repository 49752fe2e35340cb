"""``sync --json`` and ``status --json``."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from saltbranch.cli.json_shapes.parts import (
    Commit,
    Debt,
    Hold,
    HoldHere,
    LabClaim,
    Model,
    Proposal,
    Pushed,
    PushedHere,
    Time,
    Version,
    WhyNot,
)
from saltbranch.config.verify import On
from saltbranch.repository.masters import MasterState, ServedState
from saltbranch.repository.served_commit import Why


class StateRun(TypedDict):
    """A state run that a switch waits for."""

    minion: str
    jid: str
    function: str
    since: Time


class Waits(TypedDict):
    """A switch that state runs put off; since, until: seconds since 1970. then: what happens after that."""

    since: float
    until: float
    then: str
    runs: list[StateRun]


class SyncedSaltenv(TypedDict):
    """What became of one saltenv."""

    saltenv: str
    branch: str
    old: Commit | None
    new: Commit | None
    changed: bool
    state: Literal[
        "unchanged",
        "first",
        "switched",
        "rewritten",
        "repaired",
        "waiting",
        "refused",
        "missing",
        "failed",
    ]
    message: str
    why: Why
    tag: str | None
    held: str | None
    refused: Commit | None
    runs: list[StateRun]
    signed_by: list[str]


class Sync(TypedDict):
    """``sync --json``."""

    version: Version
    plan: bool
    saltenvs: list[SyncedSaltenv]
    notes: list[str]
    problems: list[str]
    model_problem: str | None
    unread: dict[str, str]
    restart_needed: str | None


class CommitInfo(TypedDict):
    """A commit as people know it."""

    commit: Commit
    subject: str
    author: str
    date: Time


class AutoPromote(TypedDict):
    """Of a saltenv that is promoted to by itself: what it waits for, or why the plan of this digest failed.

    state: nothing (is left to promote), waiting, failed (not tried again until the plan is another one), trouble (tried
    again), elsewhere (other machines do it).
    """

    state: Literal["nothing", "waiting", "failed", "trouble", "elsewhere"]
    reason: str
    digest: str
    since: Time | None
    passes_at: Time | None


class AppliedHere(TypedDict):
    """The commit that was applied last from this master, and on how many `of` the saltenv's minions it was.

    others: minions to which it was not applied last, or not well, and what was.
    """

    commit: Commit
    applied: int
    of: int
    since: Time
    others: dict[str, str]


class ApplyNotOver(TypedDict):
    """An apply that goes on, was killed or has stopped. command: which goes on with it, empty while it runs.

    batch: the one under way of `batches`, from 1 on; both 0 while it plans. running: minions with a job under way.
    """

    id: str
    state: Literal["planning", "running", "stopped", "killed"]
    kind: Literal["apply", "rollback"]
    commit: Commit
    by: str
    since: Time
    batch: int
    batches: int
    step: Literal["before", "apply", "verify", "after"] | None
    counts: dict[str, int]
    running: list[str]
    why: str | None
    command: str


class SaltenvStatus(TypedDict):
    """One saltenv of a master."""

    saltenv: str
    branch: str
    promote_from: str | None
    protected: bool
    state: Literal["absent", "missing", "in_sync", "drift", "behind", "diverged", "unread"]
    served: CommitInfo | None
    served_since: int | None
    head: Commit | None
    remote_ahead: int | None
    waiting: int | None
    lacking: int | None
    minions: int
    checkout: str
    why: Why
    wanted: Commit | None
    tag: str | None
    hold: HoldHere | None
    drift: bool
    problem: str | None
    debts: list[Debt]
    next: WhyNot | None
    trouble: str | None
    proposed: list[Proposal]
    verified: dict[str, Any] | None
    pushed: PushedHere | None
    refused: str | None
    waits: Waits | None
    auto: AutoPromote | None
    applied: AppliedHere | None
    apply: ApplyNotOver | None
    signed_by: list[str]


class LabStatus(TypedDict):
    """One lab of a master. lent: the minions that have it now; moving: those that get nothing for the moment."""

    lab: str
    branch: str | None
    claim: LabClaim | None
    saltenv: str | None
    pillar: Literal["saltenv", "branch"]
    served: CommitInfo | None
    head: Commit | None
    minions: list[str]
    lent: list[str]
    moving: list[str]
    open: bool
    refused: str | None
    freed: str | None
    pinned: dict[str, str]


class NotifyFailure(TypedDict):
    """What went wrong last at a target or hook."""

    channel: str
    reason: str
    since: float


class Notifications(TypedDict):
    """What people and hooks are still to be told."""

    waiting: int
    oldest: float | None
    dropped: int
    last_dropped: float | None
    failures: list[NotifyFailure]


class TriedTarget(TypedDict):
    """A target that a message was sent to."""

    target: str
    problem: str | None


class NotifyData(TypedDict):
    """``notify --json``."""

    version: Version
    tried: list[TriedTarget]
    notifications: Notifications


class MasterStatus(TypedDict):
    """``status --json`` on a master."""

    version: Version
    config: str
    model: Model
    remote: str
    saltenvs: list[SaltenvStatus]
    last_good_sync: float | None
    failure: str | None
    restart_needed: str | None
    unclaimed: list[str]
    claimed_twice: list[str]
    problems: list[str]
    unreported: bool
    unread: dict[str, str]
    labs: list[LabStatus]
    notifications: Notifications


class Sample(TypedDict):
    """A value, and what it is of."""

    labels: dict[str, str]
    value: float


class Metric(TypedDict):
    """A gauge."""

    name: str
    help: str
    samples: list[Sample]


class Metrics(TypedDict):
    """``metrics --json``."""

    version: Version
    metrics: list[Metric]


class ServedBy(TypedDict):
    """What a master said that it serves."""

    master: str
    commit: Commit
    since: Time


class SaltenvInClone(TypedDict):
    """One saltenv as the remote and the journal have it."""

    saltenv: str
    branch: str
    promote_from: str | None
    wanted: Commit | None
    why: Why
    tag: str | None
    commit: CommitInfo | None
    hold: Hold | None
    waiting: int | None
    lacking: int | None
    served_by: list[ServedBy]
    pushed: Pushed | None
    debts: list[Debt]
    next: WhyNot | None
    trouble: str | None
    proposed: list[Proposal]


class CloneStatus(TypedDict):
    """``status --json`` in a clone."""

    version: Version
    model: Model
    saltenvs: list[SaltenvInClone]
    unread: dict[str, str]
    problems: list[str]


class ServedThere(TypedDict):
    """What a master serves as one saltenv. lacks, beyond: commits, null where they are not known here."""

    saltenv: str
    commit: Commit
    since: Time
    wanted: Commit | None
    state: ServedState
    lacks: int | None
    beyond: int | None
    behind_since: Time | None


class OneMaster(TypedDict):
    """A master, as it told of itself. recorded: when it did so last, by its own clock."""

    master: str
    root: str | None
    state: MasterState
    recorded: Time
    clock_ahead: bool
    shared: bool
    here: bool
    saltenvs: list[ServedThere]


class Masters(TypedDict):
    """``status --masters --json``. more: how many are not listed. records: whether this one does, null in a clone."""

    version: Version
    time: Time
    masters: list[OneMaster]
    more: int
    records: bool | None
    notes: list[str]
    problems: list[str]


class CheckOn(TypedDict):
    """A check, and on which minions it is run."""

    check: str
    on: On


class VerifyPlan(TypedDict):
    """Which checks ``verify`` would run on whom. elsewhere: minions that the saltenv lacks now, and why."""

    version: int
    plan: bool
    saltenv: str
    commit: Commit
    checks: list[CheckOn]
    minions: list[str]
    elsewhere: dict[str, str]
    complete: bool
    notes: list[str]


class CheckResult(TypedDict):
    """What came of a check on a minion; null where the master asked once. seconds: with all tries."""

    check: str
    minion: str | None
    passed: bool
    reason: str | None
    tries: int
    seconds: float


class Verification(TypedDict):
    """What ``verify`` found. complete: on all its minions. id: of the journal, null where it is not recorded."""

    version: int
    plan: bool
    saltenv: str
    commit: Commit
    passed: bool
    complete: bool
    minions: list[str]
    elsewhere: dict[str, str]
    results: list[CheckResult]
    id: str | None
    problems: list[str]
    notes: list[str]
