"""The repository that commits are looked up in: the master's mirror, or the clone one works in.

A name may be a saltenv, a branch, a tag or the beginning of a commit's hash.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from saltbranch.config import Config
from saltbranch.errors import RefusedError, UsageError
from saltbranch.git import Git, failed

_HASH = re.compile(r"[0-9a-f]{7,64}")


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison. tree: hash of a commit, or of a tree that only a merge would make.

    saltenv: the one that `name` stands for, if it does.
    """

    name: str
    tree: str
    saltenv: str | None = None

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {"name": self.name, "tree": self.tree, "saltenv": self.saltenv}


class CommitSource:
    """git, and where its branches are: in a clone those of `origin` count for a saltenv."""

    def __init__(self, git: Git, *, is_clone: bool) -> None:
        """Take a repository. is_clone: branches of others are below refs/remotes/origin."""
        self.git = git
        self.is_clone = is_clone

    def branch_or_none(self, branch: str) -> str | None:
        """The head of `branch` as the remote has it, as far as is known here."""
        refs = [f"refs/heads/{branch}"]
        if self.is_clone:
            refs.insert(0, f"refs/remotes/origin/{branch}")
        return next(filter(None, map(self.git.commit_or_none, refs)), None)

    def side(self, config: Config, name: str) -> Side:
        """What `name` stands for. Raises UsageError."""
        for saltenv in config.saltenvs:
            if name == saltenv.name:
                head = self.branch_or_none(saltenv.branch)
                if head is None:
                    raise UsageError(
                        f"saltenv {name}: there is no branch {saltenv.branch} in {self.git.directory}",
                        hint="fetch it first: saltbranch sync, or git fetch in a clone",
                    )
                return Side(name, head, name)
        commit = self._commit_or_none(name)
        if commit is None:
            known = ", ".join(s.name for s in config.saltenvs)
            raise UsageError(
                f"{name!r} is no saltenv, branch, tag or commit in {self.git.directory}",
                hint=f"the saltenvs are {known}; a commit needs 7 digits of its hash or more",
            )
        of = next((s.name for s in config.saltenvs if s.branch == name), None)
        return Side(name, commit, of)

    def _commit_or_none(self, name: str) -> str | None:
        refs = [f"refs/heads/{name}", f"refs/remotes/origin/{name}", f"refs/tags/{name}"]
        for ref in refs:
            if found := self.git.commit_or_none(ref):
                return found
        if name == "HEAD" or _HASH.fullmatch(name):
            return self.git.commit_or_none(name)
        return None

    def merged(self, source: Side, target: Side) -> str:
        """The tree that merging `source` into `target` makes, without a work tree.

        Raises RefusedError when they conflict, GitError.
        """
        if self.git.is_ancestor(target.tree, source.tree):
            return source.tree
        done = self.git.run("merge-tree", "--write-tree", "--name-only", "--no-messages", "-z",
                            target.tree, source.tree)  # fmt: skip
        parts = done.text.split("\0")
        if done.code == 1:
            files = ", ".join(p for p in parts[1:] if p)
            raise RefusedError(
                f"{source.name} cannot be merged into {target.name}: both changed {files}",
                hint=f"merge {target.name} into {source.name} and resolve it there",
            )
        if done.code != 0:
            raise failed(done, self.git.directory)
        return parts[0]
