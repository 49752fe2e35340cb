"""What a verb that merges asks for, and two things that follow from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from saltbranch.config.gates import DiffGate, Gate
from saltbranch.config.model import Saltenv
from saltbranch.git import merge
from saltbranch.git.merge import FAST_FORWARD, MERGE
from saltbranch.promote.gates_by_verb import Kind
from saltbranch.promote.plan import Step
from saltbranch.repository.workplace import Workplace


@dataclass(frozen=True, slots=True)
class DiffOptions:
    """How the compiled diff of a plan is dealt with.

    wanted: make one. reviewed: how the digest of the diff begins that somebody reviewed, empty when nobody says so.
    expected: somebody named the digest of the plan. progress: told how many compiles of how many are done.
    """

    wanted: bool = True
    reviewed: str = ""
    expected: bool = False
    progress: Callable[[int, int], None] | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What a verb asks for.

    branch, saltenv: the target. source, source_name: the commit to merge and what people call it.
    source_saltenv: where it was proven. back_to: branches below that get the result, with only_if_needed where
    the target has something that the source lacks. delete: branches of the remote that are done with. resolved: the
    tree and old head of a conflict that was resolved by hand. tag: the name; tag_source: it names the
    source and not the merge. diff: how its compiled diff is dealt with.
    """

    verb: str
    kind: Kind
    branch: str
    saltenv: Saltenv | None
    source: str
    source_name: str
    source_saltenv: Saltenv | None = None
    back_to: tuple[str, ...] = ()
    only_if_needed: bool = False
    delete: tuple[str, ...] = ()
    tag: str = ""
    tag_source: bool = False
    resolved: tuple[str, str] | None = None
    overrides: dict[str, str] = field(default_factory=dict)
    via_branch: bool = False
    diff: DiffOptions = DiffOptions()

    @property
    def gates(self) -> tuple[Gate, ...]:
        """The gates of the target saltenv; a diff that somebody reviewed counts also where none asks for it."""
        gates = self.saltenv.gates if self.saltenv else ()
        if not self.diff.reviewed:
            return gates
        found = next((g for g in gates if isinstance(g, DiffGate)), DiffGate())
        return (*(g for g in gates if not isinstance(g, DiffGate)), found.with_review())

    @property
    def asks_for_diff(self) -> bool:
        """Whether the gate `diff` is configured for it."""
        return any(isinstance(g, DiffGate) for g in (self.saltenv.gates if self.saltenv else ()))


def provisional(work: Workplace, target: Step) -> str:
    """The target's result, for looking at it: the commit that is pushed has the same tree and parents."""
    if target.kind == MERGE:
        parents = [target.old, target.source]
        return merge.write_commit(work.git, target.tree, parents, "provisional\n")
    return target.source if target.kind == FAST_FORWARD else target.old
