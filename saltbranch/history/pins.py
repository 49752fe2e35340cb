"""Pins of a formula: what a commit of its repository is called, and what lies between two of them."""

from __future__ import annotations

import os
from dataclasses import dataclass

from saltbranch.base import versions
from saltbranch.base.text import many, one_line
from saltbranch.git.program import Git, failed

MOST = 20
"""So many commits between two pins are named."""
_LONGEST = 160  # characters of a subject
_SHORT = 12

ADDED, REMOVED, FORWARD, BACKWARD = "added", "removed", "forward", "backward"
DIVERGED, UNKNOWN, MOVED = "diverged", "unknown", "other repository"


@dataclass(frozen=True, slots=True)
class Pinned:
    """A pinned commit. name: its tag, else what git-describe(1) says, else the beginning of its hash.

    time: of its commit, seconds since 1970; None where it is not here. on_branch: whether a branch of its remote has
    it; None where that is not known.
    """

    commit: str
    name: str
    time: float | None = None
    on_branch: bool | None = None

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "commit": self.commit,
            "name": self.name,
            "time": self.time,
            "on_branch": self.on_branch,
        }


@dataclass(frozen=True, slots=True)
class FormulaCommit:
    """A commit of a formula's repository."""

    commit: str
    subject: str
    author: str

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {"commit": self.commit, "subject": self.subject, "author": self.author}


@dataclass(frozen=True, slots=True)
class Between:
    """Two pins of one repository. move: forward, backward or diverged.

    commits: what only the new one has or, where it goes backwards, what it takes away; at most `MOST`, merges aside.
    count: of how many. lost: how many commits the new one lacks.
    """

    move: str
    commits: tuple[FormulaCommit, ...]
    count: int
    lost: int = 0


@dataclass(frozen=True, slots=True)
class FormulaChange:
    """A pin that changes. old, new: None where there is none. move: one of the words above.

    missing: why it is not known what lies between; with what brings it here.
    """

    path: str
    url: str
    old: Pinned | None
    new: Pinned | None
    move: str
    commits: tuple[FormulaCommit, ...] = ()
    count: int = 0
    lost: int = 0
    old_url: str = ""
    missing: str = ""

    @property
    def name(self) -> str:
        """The last part of its path."""
        return short_name(self.path)

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "formula": self.name,
            "path": self.path,
            "url": self.url,
            "old_url": self.old_url or None,
            "old": self.old.as_dict() if self.old else None,
            "new": self.new.as_dict() if self.new else None,
            "move": self.move,
            "commits": [c.as_dict() for c in self.commits],
            "count": self.count,
            "lost": self.lost,
            "missing": self.missing or None,
        }

    @property
    def text(self) -> str:
        """One line; what strangers wrote in it is not cleaned."""
        old, new = (pin.name if pin else "" for pin in (self.old, self.new))
        if self.move == ADDED:
            return f"{self.name} {new}, new"
        if self.move == REMOVED:
            return f"{self.name} {old}, removed"
        return f"{self.name} {old} -> {new}, {self._distance()}"

    def _distance(self) -> str:
        commits = many(self.count, "commit")
        match self.move:
            case "backward":
                return f"BACKWARDS by {commits}"
            case "diverged":
                return f"{commits}; DIVERGED, without {many(self.lost, 'commit')} of the old one"
            case "other repository":
                return "from another repository"
            case "unknown":
                return "not known what lies between"
        return commits

    @property
    def warnings(self) -> list[str]:
        """What a person has to know before they agree."""
        found = []
        if self.move in (BACKWARD, DIVERGED):
            found.append(f"the formula {self.path} does not go forwards: {self.text}")
        if self.move == MOVED:
            found.append(
                f"the formula {self.path} comes from {self.url!r} now, not from {self.old_url!r}"
            )
        if self.new and self.new.on_branch is False:
            found.append(
                f"the formula {self.path} is pinned to {self.new.name}, which is on no branch of {self.url}"
            )
        if self.missing:
            found.append(f"the formula {self.path}: {self.missing}")
        return found


def short_name(path: str) -> str:
    """What people call the formula at `path`."""
    return path.rpartition("/")[2]


def unknown(commit: str) -> Pinned:
    """A pin of which nothing is here."""
    return Pinned(commit, commit[:_SHORT])


def look(git: Git, commit: str, branches: tuple[str, ...], *, describe: bool = True) -> Pinned:
    """The pin `commit` in the repository of `git`, which has it. branches: beginnings of refs. Raises GitError."""
    tags = git.out(
        "for-each-ref", "--format=%(refname:lstrip=2)", f"--points-at={commit}", "refs/tags/"
    )
    named = [tag for tag in tags.split("\n") if tag]
    name = versions.highest(named) or (sorted(named)[0] if named else "")
    if not name and describe:
        done = git.run("describe", "--tags", f"--abbrev={_SHORT}", "--candidates=50", commit)
        name = done.text.strip() if done.code == 0 else ""
    time = git.out("show", "-s", "--format=%ct", "--end-of-options", commit).split("\n")[0]
    return Pinned(
        commit,
        one_line(name) or commit[:_SHORT],
        float(time) if time.isdigit() else None,
        is_on_branch(git, commit, branches),
    )


def is_on_branch(git: Git, commit: str, branches: tuple[str, ...]) -> bool | None:
    """Whether a branch below `branches` has `commit`; None where there are none. Raises GitError."""
    if not git.out("for-each-ref", "--count=1", "--format=x", *branches):
        return None
    return bool(
        git.out("for-each-ref", "--count=1", "--format=x", f"--contains={commit}", *branches)
    )


def contains(git: Git, new: str, old: str) -> bool:
    """Whether `new` is `old` or comes after it. Raises GitError."""
    return new == old or git.is_ancestor(old, new)


def between(git: Git, old: str, new: str) -> Between:
    """What lies between two commits that are both here. Raises GitError."""
    forward = git.is_ancestor(old, new)
    backward = not forward and git.is_ancestor(new, old)
    sides = git.out(
        "rev-list", "--left-right", "--count", "--no-merges", "--end-of-options", f"{old}...{new}"
    )
    lost, brought = map(int, sides.split())
    if backward:
        return Between(BACKWARD, _log(git, old, new), lost, lost)
    return Between(FORWARD if forward else DIVERGED, _log(git, new, old), brought, lost)


def _log(git: Git, has: str, lacks: str) -> tuple[FormulaCommit, ...]:
    done = git.run(
        "log", "-z", "--no-merges", "--topo-order", f"--max-count={MOST}", "--format=%H%n%an%n%s",
        "--end-of-options", has, f"^{lacks}", "--",
    )  # fmt: skip
    if done.code != 0:
        raise failed(done, git.directory)
    found = []
    for entry in os.fsdecode(done.out).split("\0"):
        commit, author, subject = (entry.split("\n", 2) + ["", ""])[:3]
        if commit:
            found.append(FormulaCommit(commit, _shortened(subject), _shortened(author)))
    return tuple(found)


def _shortened(text: str) -> str:
    """A subject may be a megabyte, and anybody's."""
    return one_line(text[: 2 * _LONGEST])[:_LONGEST]
