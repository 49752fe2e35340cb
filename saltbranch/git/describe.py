"""What people want to read about commits: the only module that imports GitPython.

Objects are read in this process (GitDB), so no variable of the caller's environment redirects it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from saltbranch.base.errors import GitError
from saltbranch.base.text import printable
from saltbranch.git.program import Git


@dataclass(frozen=True, slots=True)
class CommitInfo:
    """One commit as people know it; `date` is the committer's, ISO 8601 in UTC."""

    commit: str
    subject: str
    author: str
    date: str

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return asdict(self)

    def age(self, now: float) -> float:
        """Seconds between the commit and `now` (seconds since 1970)."""
        return now - datetime.fromisoformat(self.date).timestamp()


def describe(repository: str, commit: str) -> CommitInfo:
    """Subject, author and date of `commit` in the folder `repository`. Raises GitError."""
    import git
    import gitdb.exc

    try:
        with git.Repo(repository, odbt=git.GitDB, expand_vars=False) as repo:
            try:
                found = repo.commit(commit)
                subject = str(found.summary)
                author = f"{found.author.name}"
                when = datetime.fromtimestamp(found.committed_date, timezone.utc)
            finally:
                _let_go(repo.odb)  # before the repository is closed, which unmaps what nobody holds
    except (git.GitError, gitdb.exc.ODBError, OSError, ValueError) as err:
        raise GitError(f"cannot read commit {commit[:12]} in {repository}: {err}") from err
    return CommitInfo(commit, printable(subject), printable(author), when.isoformat())


def _let_go(database: Any) -> None:
    """Let go of the packs that were read: GitDB's circles would keep them open until Python breaks these."""
    from gitdb.db.base import CompoundDB
    from gitdb.db.pack import PackedDB

    if isinstance(database, CompoundDB):
        for below in database.databases():
            _let_go(below)
    elif isinstance(database, PackedDB) and "_entities" in vars(database):  # made when needed
        for pack in database.entities():
            pack.close()


def count(git: Git, since: str, until: str) -> int:
    """How many commits `until` has that `since` lacks, merges aside. Raises GitError."""
    if since == until and git.commit_or_none(until):
        return 0
    args = ("rev-list", "--count", "--no-merges", "--end-of-options", f"{since}..{until}")
    return int(git.out(*args))


def count_apart(git: Git, one: str, other: str) -> tuple[int, int]:
    """How many commits `one` has that `other` lacks, and the other way round; merges aside. Raises GitError."""
    if one == other and git.commit_or_none(one):
        return 0, 0
    args = ("rev-list", "--count", "--left-right", "--no-merges", "--end-of-options")
    left, right = git.out(*args, f"{one}...{other}").split()
    return int(left), int(right)
