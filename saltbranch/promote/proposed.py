"""Promotions that wait as branches for a pull request: `promote/<saltenv>/<id>`, made by ``--via branch``."""

from __future__ import annotations

from dataclasses import dataclass

from saltbranch.git import merge
from saltbranch.promote.plan import Plan
from saltbranch.repository.workplace import Workplace


@dataclass(frozen=True, slots=True)
class Proposal:
    """One of them."""

    branch: str
    commit: str

    @property
    def id(self) -> str:
        """The promotion that it would be."""
        return self.branch.rpartition("/")[2]

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {"branch": self.branch, "commit": self.commit, "id": self.id}


def prefix(saltenv: str) -> str:
    """How their names begin."""
    return f"promote/{saltenv}/"


def waiting(work: Workplace, saltenv: str, head: str | None) -> tuple[Proposal, ...]:
    """Those for `saltenv` that its branch, at `head`, does not contain. Raises GitError."""
    begin = prefix(saltenv)
    found = [Proposal(b, c) for b, c in sorted(work.refs.branches.items()) if b.startswith(begin)]
    return tuple(p for p in found if head is None or not work.git.is_ancestor(p.commit, head))


def find(work: Workplace, plan: Plan) -> Proposal | None:
    """The one that is just what `plan` would make: the same parents, the same files. Raises GitError."""
    target = plan.target
    for proposal in waiting(work, plan.saltenv or target.branch, target.old):
        parents = work.git.out("rev-list", "--parents", "-n1", proposal.commit).split()[1:]
        tree = merge.tree_of(work.git, proposal.commit)
        if parents == [target.old, target.source] and tree == target.tree:
            return proposal
    return None
