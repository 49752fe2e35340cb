"""Where the two sides of a diff come from: repository, commits, dates, and the tickets in between."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from saltbranch import commits, tickets
from saltbranch.commits import CommitTold
from saltbranch.commitsource import Side
from saltbranch.durations import iso
from saltbranch.git import Git, mask
from saltbranch.tickets import CommitLine, Group

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
