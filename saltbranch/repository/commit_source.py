"""The repository that commits are looked up in: the master's mirror, or the clone one works in.

A name may be a saltenv, a branch, a tag or the beginning of a commit's hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from saltbranch.base.errors import UsageError
from saltbranch.config.model import Config, Saltenv
from saltbranch.git.mirror import JOURNAL_REF
from saltbranch.git.program import Git, branch_of_remote
from saltbranch.history import commits, trailers
from saltbranch.journal import cache as journal_cache
from saltbranch.journal import state as journal_state
from saltbranch.journal.facts import Promotion
from saltbranch.journal.state import State
from saltbranch.repository import direct_pushes, revision, served_commit
from saltbranch.repository.direct_pushes import Watched
from saltbranch.repository.remote import ask_for_tag
from saltbranch.repository.revision import Meaning
from saltbranch.repository.served_commit import Wanted
from saltbranch.repository.tags import tags_on

_SEEN = "refs/saltbranch-remote"  # what promotions saw of the remote (repository.py)


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
        return self.fetched_or_none(branch) or self.git.commit_or_none(f"refs/heads/{branch}")

    def fetched_or_none(self, branch: str) -> str | None:
        """The same, never a branch of one's own in a clone."""
        own = f"refs/remotes/{self.remote}/{branch}" if self.remote else f"refs/heads/{branch}"
        return self._newest([own, f"{_SEEN}/heads/{branch}"])

    def state(self) -> State:
        """What follows from the journal as far as it is known here. Raises GitError."""
        known = self._newest([JOURNAL_REF, f"{_SEEN}{JOURNAL_REF.removeprefix('refs')}"])
        return journal_cache.state(self.git, known, write=False)

    def side(self, config: Config, name: str) -> Side:
        """What `name` stands for. Raises UsageError."""
        found = self.find(config, name)
        branch = branch_of_remote(name, self.remote) or name
        of = next((s.name for s in config.saltenvs if name == s.name), None)
        of = of or next((s.name for s in config.saltenvs if s.branch in (name, branch)), None)
        return Side(name, found.commit, of)

    def find(self, config: Config | None, name: str) -> Meaning:
        """The commit that `name` names (repository/revision.py) by what is known here; config: the model, if any.

        The branches are one's own first: a check judges what is about to be pushed. Raises UsageError.
        """
        saltenvs = config.saltenvs if config else ()
        for saltenv in saltenvs:
            if name == saltenv.name and self.branch_or_none(saltenv.branch) is None:
                raise UsageError(
                    f"saltenv {name}: there is no branch {saltenv.branch} in {self.git.directory}",
                    hint="fetch it first: saltbranch sync, or git fetch in a clone",
                )
        names = _Names(self, config)
        # A mirror keeps no tags that nobody follows.
        names.asks = self.is_mirror and not revision.meanings(names, name)
        return revision.find(names, name)

    def wanted(self, saltenv: Saltenv, now: float) -> Wanted:
        """What `saltenv` is to serve at `now` (seconds since 1970), as far as is known here: a hold, a tag, its branch.

        Raises GitError.
        """
        head = self.branch_or_none(saltenv.branch)
        state = self.state()
        hold = state.hold(saltenv.name, now)
        if head and saltenv.promote_from and not hold:
            watched = Watched(saltenv.name, saltenv.branch, saltenv.direct_pushes)
            if tip := state.tips.get(saltenv.branch):
                told, read = state.events, lambda: list(told)
                after, new = direct_pushes.Finder(self.git, read, now).look(watched, tip, head)
                journal_state.replay(new, state)
                head = direct_pushes.served_head(self.git, after, head)
            hold = state.hold(saltenv.name, now)
        tags = {}
        if saltenv.follow and head and not hold:  # the remote's own tags win
            tags = tags_on(self.git, head, "refs/tags/", f"{_SEEN}/tags/")
        return served_commit.wanted(head, saltenv.follow, tags, hold)

    def _newest(self, refs: Sequence[str]) -> str | None:
        """The commit that one of `refs` names and that contains the others' as far as they have a common line."""
        newest = None
        for commit in filter(None, map(self.git.commit_or_none, refs)):
            if newest is None or self.git.is_ancestor(newest, commit):
                newest = commit
        return newest


class _Names:
    """The names that are known here: one's own before those of the remote."""

    def __init__(self, source: CommitSource, config: Config | None) -> None:
        self.source = source
        self.config = config
        self.git = source.git
        self.remote = source.remote
        self.asks = False  # the remote, for a tag

    def saltenv(self, name: str) -> str | None:
        saltenvs = self.config.saltenvs if self.config else ()
        branches = (s.branch for s in saltenvs if s.name == name)
        return next((self.source.branch_or_none(branch) for branch in branches), None)

    def branch(self, name: str, *, fetched: bool = False) -> str | None:
        own = None if fetched and self.remote else self.git.commit_or_none(f"refs/heads/{name}")
        return own or self.source.fetched_or_none(name)

    def tag(self, name: str) -> str | None:
        refs = [f"refs/tags/{name}"]
        refs += [] if self.source.is_mirror else [f"{_SEEN}/tags/{name}"]
        found = next(filter(None, map(self.git.commit_or_none, refs)), None)
        if found is None and self.asks and self.config is not None:
            config = self.config
            return ask_for_tag(self.git, config.remote, name, timeout=config.fetch_timeout)
        return found

    def promotions(self, beginning: str) -> list[Promotion]:
        if not revision.is_beginning(beginning) and not trailers.is_id(beginning):
            return []
        made = self.source.state().made.values()
        found = [p for p in made if p.id.startswith(beginning)] or self._told(beginning)
        return [p for p in found if p.id == beginning] or found

    def _told(self, beginning: str) -> list[Promotion]:
        """Those that only merge commits tell of."""
        if self.config is None:
            return []
        branches = {s.branch: self.source.branch_or_none(s.branch) for s in self.config.saltenvs}
        heads = {branch: head for branch, head in branches.items() if head}
        told = trailers.read(self.git, heads.values()) if heads else []
        if not told:
            return []
        graph = commits.read_graph(self.git, list(heads.values()))
        found = trailers.all_promotions(told, graph, self.config, heads)
        return [p for p in found if p.id.startswith(beginning)]

    def head(self) -> str | None:
        return None if self.source.is_mirror else self.git.commit_or_none("HEAD")
