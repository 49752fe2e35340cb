"""The two sides of a diff, and where they come from: repository, commits, dates, the tickets in between."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from saltbranch.base import tickets
from saltbranch.base.durations import iso
from saltbranch.base.errors import RefusedError, UsageError
from saltbranch.base.tickets import CommitLine, Group
from saltbranch.config.model import Config, Saltenv, owned_paths
from saltbranch.git import merge
from saltbranch.git.merge import CONFLICT
from saltbranch.git.program import Git, mask
from saltbranch.history import commits
from saltbranch.history.commits import CommitTold
from saltbranch.preview.repository_and_master import RepositoryAndMaster
from saltbranch.repository import pin_conflicts
from saltbranch.repository.commit_source import CommitSource, Side
from saltbranch.repository.formulas import formulas_in

MOST = 200
"""So many commits in between are told."""


@dataclass(frozen=True, slots=True)
class SideCommit:
    """The newest commit of a side. date: the committer's, ISO 8601 in UTC."""

    commit: str
    date: str
    subject: str
    author: str

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "commit": self.commit,
            "date": self.date,
            "subject": self.subject,
            "author": self.author,
        }


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where both sides come from. repository: its URL without credentials.

    groups: the commits that only the new side has, by ticket or feature, at most `MOST`. lost: those that only the
    old side has. brought, gone: how many there are in all, merges aside.
    """

    repository: str
    before: SideCommit
    after: SideCommit
    groups: tuple[Group, ...]
    lost: tuple[CommitLine, ...]
    brought: int
    gone: int

    @property
    def tickets(self) -> tuple[str, ...]:
        """The tickets of what the new side brings."""
        return tuple(
            dict.fromkeys(t for group in self.groups for c in group.commits for t in c.tickets)
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "repository": self.repository,
            "before": self.before.as_dict(),
            "after": self.after.as_dict(),
            "tickets": list(self.tickets),
            "groups": [g.as_dict() for g in self.groups],
            "lost": [c.as_dict() for c in self.lost],
            "brought": self.brought,
            "gone": self.gone,
        }


def provenance(
    git: Git, remote: str, before: Side, after: Side, pattern: re.Pattern[str]
) -> Provenance:
    """Of two sides in the repository of `git`. pattern: what tickets look like. Raises GitError."""
    old, new = before.commit, after.commit
    told = commits.told(git, pattern, dict.fromkeys([old, new]))
    brought = _between(git, pattern, new, old)
    gone, come = _counts(git, old, new)
    if after.merged:  # what a merge brings takes nothing away
        gone = 0
    lost = tuple(_between(git, pattern, old, new, "--no-merges")) if gone else ()
    return Provenance(
        repository=mask(remote),
        before=_commit(old, told[old]),
        after=_commit(new, told[new]),
        groups=tickets.group(brought),
        lost=lost,
        brought=come,
        gone=gone,
    )


def _counts(git: Git, old: str, new: str) -> tuple[int, int]:
    """How many commits only `old` and only `new` has, merges aside. Raises GitError."""
    options = ("--left-right", "--count", "--no-merges", "--end-of-options")
    left, right = git.out("rev-list", *options, f"{old}...{new}").split()
    return int(left), int(right)


def _between(
    git: Git, pattern: re.Pattern[str], new: str, old: str, *options: str
) -> Iterable[CommitLine]:
    found = commits.log(
        git, pattern, "--topo-order", f"--max-count={MOST}", *options, revisions=[new, f"^{old}"]
    )
    return [c.line for c in found.values()]


def _commit(commit: str, told: CommitTold) -> SideCommit:
    return SideCommit(commit, iso(told.time), told.line.subject, told.line.author)


def sides(place: RepositoryAndMaster, refs: Sequence[str]) -> tuple[Side, Side]:
    """What is compared with what. Raises UsageError, RefusedError, GitError."""
    config, repository = place.config, place.repository
    if len(refs) == 2:
        return repository.side(config, refs[0]), repository.side(config, refs[1])
    if len(refs) != 1:
        raise UsageError("diff takes one saltenv or two refs", hint="saltbranch diff prod")
    target = repository.side(config, refs[0])
    saltenv = config.saltenv(target.saltenv) if target.saltenv else None
    if saltenv is None or saltenv.promote_from is None:
        raise UsageError(
            f"{refs[0]} is not a saltenv with a promote_from:",
            hint="name both sides: saltbranch diff A B",
        )
    source = config.saltenv(saltenv.promote_from)
    commit, tree = promoted(config, repository, target.tree, saltenv, source)
    return target, Side(f"{target.name} with {source.name} merged in", tree, target.saltenv, commit)


def promoted(
    config: Config, repository: CommitSource, old: str, target: Saltenv, source: Saltenv
) -> tuple[str, str]:
    """The commit that a promotion from `source` merges, and the tree that it makes of the commit `old` of `target`.

    Raises RefusedError, GitError.
    """
    wanted = repository.wanted(source, time.time())
    if wanted.commit is None:
        what = f"tags {source.follow} on " if source.follow else "branch "
        raise RefusedError(
            f"{source.name} serves nothing that could be promoted: no {what}{source.branch} here",
            hint="fetch it first: saltbranch sync, or git fetch in a clone",
        )
    merged = merge.merge(repository.objects, old, wanted.commit, owned_paths(target, source))
    if merged.kind == CONFLICT:
        find = formulas_in(repository, config).find
        merged = pin_conflicts.settled(repository.objects, old, merged, find)
    if merged.kind == CONFLICT:
        raise RefusedError(
            f"{source.name} cannot be merged into {target.name}: both changed {', '.join(map(repr, merged.conflicts))}",
            hint=f"saltbranch promote {target.name} --resolve DIR opens a worktree to resolve it in",
        )
    return wanted.commit, merged.tree
