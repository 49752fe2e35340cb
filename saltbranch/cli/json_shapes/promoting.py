"""What verbs that merge or record write with ``--json``, and their plans."""

from __future__ import annotations

from typing import TypedDict

from saltbranch.actions.shared.lab_plan import Action, State
from saltbranch.cli.json_shapes.comparing import Cause, Code, DiffGroup
from saltbranch.cli.json_shapes.parts import (
    Commit,
    CommitLine,
    Debt,
    Gate,
    Group,
    Hold,
    LabClaim,
    Model,
    Pinned,
    Time,
    Version,
)
from saltbranch.cli.json_shapes.serving import Sync
from saltbranch.git.merge import Kind as MergeKind
from saltbranch.preview.difference import Result
from saltbranch.promote.plan import Role


class DiffCounts(TypedDict):
    """Of minions."""

    changed: int
    total: int
    failed: int
    partial: int


class Incomplete(TypedDict):
    """A minion that was not compiled, or not wholly."""

    minion: str
    result: Result
    error: str | None


class PlanDiff(TypedDict):
    """The compiled diff in a plan."""

    digest: str
    minions: DiffCounts
    removed_states: int
    groups: list[DiffGroup]
    code: list[Code]
    incomplete: list[Incomplete]
    causes: list[Cause]
    warnings: list[str]


class Conflict(TypedDict):
    """A path that both sides changed."""

    path: str
    ours: list[CommitLine]
    theirs: list[CommitLine]


class Step(TypedDict):
    """What happens to one branch."""

    role: Role
    branch: str
    saltenv: str | None
    old: Commit
    source: Commit
    source_name: str
    kind: MergeKind
    tree: str | None
    conflicts: list[Conflict]


class FileChange(TypedDict):
    """A file that the merge changes, with git's letter for it."""

    change: str
    path: str


class FormulaCommit(TypedDict):
    """A commit of a formula."""

    commit: Commit
    subject: str
    author: str


class FormulaChange(TypedDict):
    """A formula that is pinned at another commit."""

    formula: str
    path: str
    url: str
    old_url: str | None
    old: Pinned | None
    new: Pinned | None
    move: str
    commits: list[FormulaCommit]
    count: int
    lost: int
    missing: str | None


class Plan(TypedDict):
    """``promote --plan --json``, and that of feature, release and hotfix finish and backmerge."""

    version: Version
    verb: str
    digest: str
    empty: bool
    saltenv: str | None
    source: str
    steps: list[Step]
    groups: list[Group]
    files: list[FileChange]
    states: list[str]
    pillar: list[str]
    tickets: list[str]
    formulas: list[FormulaChange]
    gates: list[Gate]
    left_behind: list[CommitLine]
    debts: list[Debt]
    tag: str | None
    served_before: Commit | None
    hold: Hold | None
    lifts_hold: bool
    hold_moves_to: Commit | None
    via_branch: bool
    diff: PlanDiff | None
    diff_missing: str | None
    model: Model | None
    notes: list[str]


class MovedRef(TypedDict):
    """A ref that moved on the remote; null: was not there, is gone."""

    ref: str
    old: str | None
    new: str | None


class WaitedMaster(TypedDict):
    """A master that does not serve it. recorded: when it told last, by its own clock."""

    master: str
    commit: Commit | None
    recorded: Time


class Waited(TypedDict):
    """What ``--wait-masters`` came to. silent: masters that were not waited for."""

    saltenv: str
    commit: Commit | None
    seconds: float
    served: list[str]
    missing: list[WaitedMaster]
    silent: list[WaitedMaster]
    interrupted: bool


class Promoted(TypedDict):
    """``promote --json``, and that of the other verbs that merge."""

    version: Version
    id: str
    digest: str
    new: Commit
    plan: Plan
    moved: list[MovedRef]
    problems: list[str]
    notes: list[str]
    sync: Sync | None
    waited: Waited | None
    by: str | None
    asked_by: str | None
    claimed_by: str | None


class Stay(TypedDict):
    """A state that a rollback takes away, and what it made that stays."""

    key: str
    sls: str
    minions: list[str]


class Stays(TypedDict):
    """What a rollback to the commit `former` does not undo. unknown: minion to why it cannot be told."""

    former: Commit
    states: list[Stay]
    unknown: dict[str, str]


class HoldPlan(TypedDict):
    """``hold --plan --json``, and that of unhold, rollback and accept."""

    version: Version
    verb: str
    saltenv: str
    serves: Commit | None
    will_serve: Commit | None
    reason: str
    until: Time | None
    promotion: str
    note: str
    stays: Stays | None
    id: str
    by: str | None
    asked_by: str | None
    claimed_by: str | None


class Held(HoldPlan):
    """``hold --json``, and that of unhold, rollback and accept."""

    problems: list[str]
    sync: Sync | None


class HoldRow(TypedDict):
    """One of all saltenvs; commits before and after."""

    saltenv: str
    serves: Commit | None
    will_serve: Commit | None
    note: str


class HoldAllPlan(TypedDict):
    """``hold --all --plan --json``, and that of unhold."""

    version: Version
    verb: str
    saltenvs: list[HoldRow]
    reason: str
    until: Time | None
    id: str
    by: str | None
    asked_by: str | None
    claimed_by: str | None


class HeldAll(HoldAllPlan):
    """``hold --all --json``, and that of unhold."""

    problems: list[str]
    sync: Sync | None


class LabPlan(TypedDict):
    """``lab claim --plan --json``, and that of extend and release. saltenv: whose pillar; commands: to try it by."""

    version: Version
    verb: str
    action: Action
    changes: bool
    lab: str | None
    saltenv: str | None
    claim: LabClaim | None
    notes: list[str]
    commands: list[str]


class LabRecorded(LabPlan):
    """``lab claim --json``, and that of extend and release."""

    problems: list[str]
    sync: Sync | None


class ApprovalRecorded(TypedDict):
    """``approve --json``, also with ``--plan`` and ``--revoke``. approval: the one that is revoked."""

    version: Version
    verb: str
    saltenv: str
    id: str
    action: str
    approval: str | None
    digest: str | None
    by: str
    note: str | None


class Approval(TypedDict):
    """A signature of the next promotion's plan, and why it does not count. time: as the journal has it."""

    id: str
    time: Time
    by: str
    counts: bool
    why_not: str | None


class OtherApproval(TypedDict):
    """One of another plan."""

    id: str
    by: str
    digest: str


class Approvals(TypedDict):
    """``approve --list --json``. count: how many people are wanted; persons: how many there are."""

    version: Version
    saltenv: str
    digest: str
    count: int
    persons: int
    problem: str | None
    approvals: list[Approval]
    other_plans: list[OtherApproval]


class Lab(TypedDict):
    """A spare saltenv. lent: minions that it has; refused: why the claim does not count; freed: why one is over."""

    lab: str
    state: State
    saltenv: str | None
    lent: list[str]
    refused: str | None
    freed: str | None
    claim: LabClaim | None


class Labs(TypedDict):
    """``lab list --json``; count: how many there are, null where no master has told."""

    version: Version
    count: int | None
    labs: list[Lab]
    problems: list[str]
