"""The plan of moving state code: what every promoting verb shows, and exactly what it applies."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from saltbranch.base import asked_by
from saltbranch.base.asked_by import NOBODY, Asked
from saltbranch.base.errors import EXIT_PENDING, RefusedError
from saltbranch.base.tickets import CommitLine, Group
from saltbranch.git import merge
from saltbranch.git.merge import CONFLICT, FAST_FORWARD, MERGE
from saltbranch.history.pins import FormulaChange
from saltbranch.journal.facts import Debt, Hold, PromotionKind
from saltbranch.promote.gates import GateResult
from saltbranch.promote.gates_by_verb import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from saltbranch.config.model import Source
    from saltbranch.config.roots import Roots
    from saltbranch.preview.fleet_diff import FleetDiff

Role = Literal["target", "back-merge", "delete"]
"""What a branch is in a plan."""

TARGET: Final = "target"
BACK_MERGE: Final = "back-merge"
DELETE: Final = "delete"
# Kinds of merges that the journal records as promotions; a feature is in develop's own history.
RECORDED: tuple[Kind, ...] = get_args(PromotionKind)


@dataclass(frozen=True, slots=True)
class Conflict:
    """A path that both sides changed, and the commits that did."""

    path: str
    ours: tuple[CommitLine, ...]
    theirs: tuple[CommitLine, ...]

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "path": self.path,
            "ours": [c.as_dict() for c in self.ours],
            "theirs": [c.as_dict() for c in self.theirs],
        }


@dataclass(frozen=True, slots=True)
class Step:
    """What happens to one branch.

    role: target, back-merge (it gets what the target became) or delete. old: its head. source: the commit that is
    merged, and source_name what people call it. kind: up-to-date, fast-forward, merge or conflict. tree: of
    the result. theirs: what is merged when somebody resolves a conflict by hand. said: what people should know of
    the merge.
    """

    role: Role
    branch: str
    saltenv: str
    old: str
    source: str
    source_name: str
    kind: merge.Kind
    tree: str
    conflicts: tuple[Conflict, ...] = ()
    theirs: str = ""
    said: tuple[str, ...] = ()

    @property
    def moves(self) -> bool:
        """Whether the branch changes."""
        return self.role == DELETE or self.kind in (FAST_FORWARD, MERGE)

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "role": self.role,
            "branch": self.branch,
            "saltenv": self.saltenv or None,
            "old": self.old,
            "source": self.source,
            "source_name": self.source_name,
            "kind": self.kind,
            "tree": self.tree or None,
            "conflicts": [c.as_dict() for c in self.conflicts],
        }


@dataclass(frozen=True, slots=True)
class Changes:
    """What the target gets. files: (letter, path). states, pillar: sls names. commits: all, merges aside. formulas:
    pins that move.
    """

    groups: tuple[Group, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    states: tuple[str, ...] = ()
    pillar: tuple[str, ...] = ()
    tickets: tuple[str, ...] = ()
    formulas: tuple[FormulaChange, ...] = ()

    @property
    def commits(self) -> int:
        """How many."""
        return sum(len(g.commits) for g in self.groups)

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "groups": [g.as_dict() for g in self.groups],
            "files": [{"change": letter, "path": path} for letter, path in self.files],
            "states": list(self.states),
            "pillar": list(self.pillar),
            "tickets": list(self.tickets),
            "formulas": [f.as_dict() for f in self.formulas],
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """A promotion before it happens. steps: the target first.

    served_before: what the target saltenv is to serve now. hold: on it. tag: (name, of the target's result or,
    with tag_source, of the source). hold_moves_to: the commit that it is held at afterwards. left_behind: commits of
    the target that the source lacks. debts: what this leaves to be merged by hand.
    diff: what it changes for the minions of the saltenv, diff_missing why that is not known, diff_counts: a gate asks
    for it, so it is part of what somebody agrees to. model: which one decided.
    """

    verb: str
    kind: Kind
    saltenv: str
    source: str
    source_saltenv: str
    steps: tuple[Step, ...]
    changes: Changes
    gates: tuple[GateResult, ...] = ()
    left_behind: tuple[CommitLine, ...] = ()
    debts: tuple[Debt, ...] = ()
    notes: tuple[str, ...] = ()
    tag: str = ""
    tag_source: bool = False
    served_before: str | None = None
    hold: Hold | None = None
    lifts_hold: bool = False
    hold_moves_to: str | None = None
    via_branch: bool = False
    resolved: bool = False
    overrides: dict[str, str] = field(default_factory=dict)
    diff: FleetDiff | None = None
    diff_digest: str = ""
    diff_missing: str = ""
    diff_counts: bool = False
    model: Source | None = None

    @property
    def target(self) -> Step:
        """What happens to the branch that it is about."""
        return self.steps[0]

    @property
    def is_empty(self) -> bool:
        """Whether nothing would move."""
        return not self.tag and not any(s.moves for s in self.steps) and not self.is_conflict

    @property
    def is_conflict(self) -> bool:
        """Whether the target cannot be merged without a person."""
        return self.target.kind == CONFLICT

    @property
    def closed_gates(self) -> list[GateResult]:
        """Those that stop it."""
        return [g for g in self.gates if not g.is_open]

    @property
    def exit_code(self) -> int:
        """What `--plan` ends with: 4 where applying it would be refused, too."""
        if self.is_empty:
            return 0
        stops = self.is_conflict or self.closed_gates
        return RefusedError.exit_code if stops else EXIT_PENDING

    @property
    def digest(self) -> str:
        """Names exactly what would be applied: two plans with one digest do the same. For people: its beginning."""
        return self.whole_digest[:16]

    @property
    def whole_digest(self) -> str:
        """All 64 digits, for signatures: of 16 a pair that is the same can be found by trying.

        Left out is what may change without changing that: the time, the journal's head, how far a gate has got.
        """
        data = {
            "verb": self.verb,
            "saltenv": self.saltenv,
            "steps": [
                [s.role, s.branch, s.old, s.source if s.role != BACK_MERGE else "", s.kind, s.tree]
                for s in self.steps
            ],
            "tag": [self.tag, self.tag_source],
            "hold": [self.lifts_hold, self.hold_moves_to],
            "debts": [[d.branch, list(d.files)] for d in self.debts],
            "via_branch": self.via_branch,
            "overrides": sorted(self.overrides),
            **({"diff": self.diff_digest} if self.diff_counts else {}),
        }
        text = json.dumps(data, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--plan --json`."""
        return {
            "version": 1,
            "verb": self.verb,
            "digest": self.digest,
            "empty": self.is_empty,
            "saltenv": self.saltenv or None,
            "source": self.source,
            "steps": [s.as_dict() for s in self.steps],
            **self.changes.as_dict(),
            "gates": [g.as_dict() for g in self.gates],
            "left_behind": [c.as_dict() for c in self.left_behind],
            "debts": [d.as_dict() for d in self.debts],
            "tag": self.tag or None,
            "served_before": self.served_before,
            "hold": self.hold.as_dict() if self.hold else None,
            "lifts_hold": self.lifts_hold,
            "hold_moves_to": self.hold_moves_to,
            "via_branch": self.via_branch,
            "diff": self.diff.brief(self.diff_digest) if self.diff else None,
            "diff_missing": self.diff_missing or None,
            "model": self.model.as_dict() if self.model else None,
            "notes": list(self.notes),
        }


def sls_names(files: Sequence[tuple[str, str]], roots: Roots, kind: str) -> tuple[str, ...]:
    """The sls names of the changed files of `kind` (salt/state.py: `a/b.sls` and `a/b/init.sls` are a.b)."""
    names = []
    for _, path in files:
        name = roots.name_of(kind, path) or ""
        if name.endswith(".sls"):
            names.append(name[:-4].removesuffix("/init").replace("/", "."))
    return tuple(dict.fromkeys(names))


def message(plan: Plan, id_: str, by: str, asked: Asked = NOBODY) -> str:
    """The text of the merge commit; its last paragraph are trailers (git-interpret-trailers(1))."""
    target = plan.target
    about = f" ({', '.join(plan.changes.tickets[:5])})" if plan.changes.tickets else ""
    what = {"promotion": "Promote", "release": "Release", "hotfix": "Hotfix"}.get(
        plan.kind, "Merge"
    )
    lines = [f"{what} {target.source_name} to {plan.saltenv or target.branch}{about}", ""]
    for group in plan.changes.groups:
        lines.append(f"{group.name or 'Other'}:")
        lines += [f"  {c.commit[:12]} {c.subject}" for c in group.commits[:50]]
        if len(group.commits) > 50:
            lines.append(f"  and {len(group.commits) - 50} more")
    if plan.changes.groups:
        lines.append("")
    return "\n".join([*lines, *_trailers(plan, id_, by, asked)]) + "\n"


def _trailers(plan: Plan, id_: str, by: str, asked: Asked) -> list[str]:
    target = plan.target
    values = [
        ("Promotion-Id", id_),
        ("Promotion-Kind", plan.kind),
        ("Promoted-From", f"{plan.source} {target.source}"),
        ("Promoted-To", plan.saltenv or target.branch),
        ("Promoted-By", by),
        ("Asked-By", asked_by.name(asked.user)),
        ("Claimed-By", asked_by.name(asked.claimed)),
        ("Tickets", ", ".join(plan.changes.tickets[:50])),
        ("Plan-Digest", plan.digest),
        ("Diff-Digest", plan.diff_digest),
        ("Served-Before", plan.served_before or ""),
    ]
    return [f"{key}: {' '.join(value.split())}" for key, value in values if value]


def back_merge_message(source_name: str, branch: str, id_: str) -> str:
    """The text of a merge that brings the target's result to a branch below it."""
    return f"Merge {source_name} back into {branch}\n\nBack-Merge-Of: {id_}\n"
