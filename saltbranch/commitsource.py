"""The repository that commits are looked up in: the master's mirror, or the clone one works in.

A name may be a saltenv, a branch, a tag or the beginning of a commit's hash.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from saltbranch import events, journal, journalcache, serving
from saltbranch.config import Config, Saltenv
from saltbranch.errors import UsageError
from saltbranch.git import Git, branch_of_remote
from saltbranch.repository import pushes
from saltbranch.repository.pushes import Watched
from saltbranch.repository.remote import ask_for_tag
from saltbranch.serving import Wanted

_SEEN = "refs/saltbranch-remote"  # what promotions saw of the remote (repository.py)
_HASH = re.compile(r"[0-9a-f]{7,64}")


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison. tree: hash of a commit, or of a tree that only a merge would make.

    saltenv: the one that `name` stands for, if it does. merged: the commit that a merge would bring.
    """

    name: str
    tree: str
    saltenv: str | None = None
    merged: str | None = None

    @property
    def commit(self) -> str:
        """The newest commit that it has."""
        return self.merged or self.tree

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "name": self.name,
            "tree": self.tree,
            "saltenv": self.saltenv,
            "merged": self.merged,
        }


class CommitSource:
    """git, and where its branches are: in a clone those of the remote count for a saltenv."""

    def __init__(self, git: Git, remote: str = "", objects: Git | None = None) -> None:
        """Take a repository.

        remote: of a clone, whose branches are below refs/remotes; empty in a mirror. objects: the same by its git
        folder alone, for merging: no attribute of a work tree counts.
        """
        self.git = git
        self.remote = remote
        self.objects = objects or git
        self.is_mirror = objects is None and not remote

    def branch_or_none(self, branch: str) -> str | None:
        """The head of `branch` as the remote has it, as far as is known here."""
        own = f"refs/heads/{branch}"
        first = f"refs/remotes/{self.remote}/{branch}" if self.remote else own
        return self._newest([first, f"{_SEEN}/heads/{branch}"]) or self.git.commit_or_none(own)

    def written_or_none(self, word: str) -> str | None:
        """The head of the branch that `word` means as people write those of the remote, origin/develop."""
        branch = branch_of_remote(word, self.remote)
        if branch is None:
            return None
        own = f"refs/remotes/{self.remote}/{branch}" if self.remote else f"refs/heads/{branch}"
        return self._newest([own, f"{_SEEN}/heads/{branch}"])

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
        commit = self._commit_or_none(name) or self._asked_for(config, name)
        if commit is None:
            known = ", ".join(s.name for s in config.saltenvs)
            raise UsageError(
                f"{name!r} is no saltenv, branch, tag or commit in {self.git.directory}",
                hint=f"the saltenvs are {known}; a commit needs 7 digits of its hash or more",
            )
        branch = branch_of_remote(name, self.remote) or name
        of = next((s.name for s in config.saltenvs if s.branch in (name, branch)), None)
        return Side(name, commit, of)

    def _commit_or_none(self, name: str) -> str | None:
        fetched = [f"refs/remotes/{self.remote}/{name}"] if self.remote else []
        refs = [f"refs/heads/{name}", *fetched, f"{_SEEN}/heads/{name}", f"refs/tags/{name}"]
        refs += [] if self.is_mirror else [f"{_SEEN}/tags/{name}"]
        for ref in refs:
            if found := self.git.commit_or_none(ref):
                return found
        if found := self.written_or_none(name):
            return found
        if name == "HEAD" or _HASH.fullmatch(name):
            return self.git.commit_or_none(name)
        return None

    def _asked_for(self, config: Config, name: str) -> str | None:
        """The commit of a tag that a master's mirror does not have."""
        if not self.is_mirror:
            return None
        return ask_for_tag(self.git, config.remote, name, timeout=config.fetch_timeout)

    def wanted(self, saltenv: Saltenv, now: float) -> Wanted:
        """What `saltenv` is to serve at `now` (seconds since 1970), as far as is known here: a hold, a tag, its branch.

        Raises GitError.
        """
        head = self.branch_or_none(saltenv.branch)
        known = self._newest([journal.REF, f"{_SEEN}{journal.REF.removeprefix('refs')}"])
        state = journalcache.state(self.git, known, write=False)
        hold = state.hold(saltenv.name, now)
        if head and saltenv.promote_from and not hold:
            watched = Watched(saltenv.name, saltenv.branch, saltenv.direct_pushes)
            if tip := state.tips.get(saltenv.branch):
                told, read = state.events, lambda: list(told)
                after, new = pushes.Finder(self.git, read, now).look(watched, tip, head)
                events.replay(new, state)
                head = pushes.served_head(self.git, after, head)
            hold = state.hold(saltenv.name, now)
        refs = self._tags(head) if saltenv.follow and head and not hold else {}
        found = serving.wanted(head, saltenv.follow, refs, hold)
        if found.tag:
            return replace(found, commit=self.git.commit_or_none(refs[found.tag]))
        return found

    def _tags(self, head: str) -> dict[str, str]:
        """The tags that name `head` or a commit before it, each with its ref; the remote's own win."""
        found = {}
        for prefix in ("refs/tags/", f"{_SEEN}/tags/"):
            text = self.git.out("for-each-ref", f"--merged={head}", "--format=%(refname)", prefix)
            found.update({ref[len(prefix) :]: ref for ref in text.splitlines()})
        return found

    def _newest(self, refs: Sequence[str]) -> str | None:
        """The commit that one of `refs` names and that contains the others' as far as they have a common line."""
        newest = None
        for commit in filter(None, map(self.git.commit_or_none, refs)):
            if newest is None or self.git.is_ancestor(newest, commit):
                newest = commit
        return newest
