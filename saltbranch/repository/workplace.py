"""What every promoting verb begins with: a repository, the remote as it is now, the model, the journal."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from saltbranch.base import tickets
from saltbranch.base.asked_by import NOBODY, Asked
from saltbranch.base.errors import RefusedError
from saltbranch.config.model import Config, Saltenv
from saltbranch.git.mirror import JOURNAL_REF, Mirror, Refs
from saltbranch.git.program import Git
from saltbranch.journal import accepted
from saltbranch.journal import cache as journal_cache
from saltbranch.journal.facts import Debt, Hold
from saltbranch.journal.state import State
from saltbranch.repository import (
    clone_or_mirror,
    decision,
    direct_pushes,
    prepared,
    push_rules,
    served_commit,
    tags,
    unrecorded,
)
from saltbranch.repository.clone_or_mirror import CloneOrMirror
from saltbranch.repository.direct_pushes import Watched
from saltbranch.repository.programs import Programs
from saltbranch.repository.remote import Repository
from saltbranch.repository.served_commit import Wanted
from saltbranch.repository.unrecorded import Begins, Lacking

Say = Callable[[str], None]


@dataclass(slots=True)
class Workplace:
    """Where a verb works. programs: which of the model's may run here. now: seconds since 1970.

    asked: who asked this machine for it, where that is somebody else.
    state: what follows from the journal and from what it lacks. unknown: branches of which nobody says up to where
    they were promoted (repository/unrecorded.py).
    """

    repo: Repository
    place: CloneOrMirror
    config: Config
    state: State
    pattern: re.Pattern[str]
    now: float
    programs: Programs = field(default_factory=Programs)
    asked: Asked = NOBODY
    unknown: frozenset[str] = frozenset()

    @property
    def config_path(self) -> str:
        """The machine's file, or how messages call the clone's."""
        return self.place.path

    @property
    def serves(self) -> bool:
        """Whether this machine's root serves saltenvs, so that a sync follows."""
        return clone_or_mirror.serves(self.place)

    @property
    def git(self) -> Git:
        """The repository's git."""
        return self.repo.git

    @property
    def refs(self) -> Refs:
        """The remote as last read."""
        return self.repo.refs

    @property
    def problems(self) -> list[str]:
        """What keeps the journal and other refs of the remote from being believed or read, for `--json`."""
        found, unread = self.repo.problem, self.repo.unread
        told = [f"{found.message} ({found.hint}); shown is the one known here"] if found else []
        return told + [
            f"not read: {ref}: {why}" for ref, why in unread.items() if ref != JOURNAL_REF
        ]

    def head(self, saltenv: Saltenv) -> str:
        """The head of a saltenv's branch. Raises RefusedError when the remote has no such branch."""
        return self.branch_head(saltenv.branch)

    def branch_head(self, branch: str) -> str:
        """The head of a branch of the remote. Raises RefusedError when there is none, or it cannot be read."""
        head = self.refs.branches.get(branch)
        if why := self.repo.unread.get(f"refs/heads/{branch}"):
            raise RefusedError(
                f"the branch {branch!r} of the remote cannot be read: {why}",
                hint="fix it there, so that what it holds is known here",
            )
        if head is None:
            raise RefusedError(
                f"the remote has no branch {branch!r}",
                hint=f"its branches: {', '.join(sorted(self.refs.branches)[:10]) or 'none'}",
            )
        return head

    def is_unread(self, branch: str) -> bool:
        """Whether the remote has the branch, and it could not be read."""
        return f"refs/heads/{branch}" in self.repo.unread

    def hold(self, saltenv: Saltenv) -> Hold | None:
        """The hold on `saltenv` that counts now."""
        return self.state.hold(saltenv.name, self.now)

    def counted_head(self, saltenv: Saltenv) -> str | None:
        """The commit up to which the branch of `saltenv` counts: not what was pushed by hand and is refused."""
        head = self.refs.branches.get(saltenv.branch)
        if head is None:
            return head
        return direct_pushes.served_head(self.git, self.state.tips.get(saltenv.branch), head)

    def wanted(self, saltenv: Saltenv) -> Wanted:
        """What `saltenv` is to serve by the remote and the journal."""
        head = self.counted_head(saltenv)
        found = tags_on(self.repo, head) if saltenv.follow and head else {}
        return served_commit.wanted(head, saltenv.follow, found, self.hold(saltenv))

    def open_debts(self) -> list[Debt]:
        """Debts that nobody has paid: the branch is there and still lacks the commit."""
        return [d for d in self.state.debts if self._is_open(d)]

    def _is_open(self, debt: Debt) -> bool:
        if debt.promotion in self.state.undone:
            return False  # what the branch lacks is nowhere any more
        if self.is_unread(debt.branch):
            return True
        head = self.refs.branches.get(debt.branch)
        if head is None or self.git.commit_or_none(debt.commit) is None:
            return False
        return not self.git.is_ancestor(debt.commit, head)

    def refresh(self, say: Say | None = None, *, wait: float = 60) -> None:
        """Read the remote again. wait: seconds for whoever reads it now.

        Raises RemoteError, ConfigError, LockedError.
        """
        self.repo.fetch(say, wait=wait)
        seen = _look(self.repo, self.place, self.now, say, fetched=True)
        self.config, self.state, self.unknown = seen.config, seen.state, seen.unknown
        self.pattern = tickets.compile_pattern(self.config.tickets, self.config_path)

    def read_journal(self, *, timeout: float) -> None:
        """Read only the journal of the remote; branches stay what they were. Raises RemoteError, LockedError."""
        self.repo.fetch_journal(timeout=timeout)
        self.state = _kept(self.repo)


def open_workplace(
    config: clone_or_mirror.Given, say: Say | None = None, *, fetch: bool = True
) -> Workplace:
    """The clone one stands in or, where the configuration is a machine's own, the mirror of its root.

    config: --config, or a place that is known. fetch: read the remote; otherwise what it had when it was last read
    counts.
    Raises ConfigError, RemoteError, GitError, RefusedError, LockedError.
    """
    return _open(clone_or_mirror.find(config), say, fetch=fetch)


def open_machine(path: str, *, fetch: bool = True) -> Workplace:
    """The mirror of the machine whose own file is `path`; never a clone. Raises what open_workplace raises."""
    return _open(clone_or_mirror.of_machine(path), None, fetch=fetch)


def open_mirror(path: str) -> Workplace:
    """What the last sync of this master saw, without asking the remote. Raises ConfigError, GitError."""
    return open_machine(path, fetch=False)


def _open(place: CloneOrMirror, say: Say | None, *, fetch: bool) -> Workplace:
    repo, now = place.open(), time.time()
    if fetch:
        repo.fetch(say)
    else:
        if clone_or_mirror.serves(place):
            repo.seen = "refs"  # what the last sync read
            repo.unread = prepared.load_unread(_root(place))
        repo.refs = repo.read_last()
        repo.judge_journal(keep=False)
    seen = _look(repo, place, now, say, fetched=fetch)
    pattern = tickets.compile_pattern(seen.config.tickets, place.path)
    where = place.path if place.is_machines else ""
    programs = Programs(
        seen.config.programs, where=where, git_dir="" if repo.is_foreign else repo.git.directory
    )
    return Workplace(
        repo=repo,
        place=place,
        config=seen.config,
        state=seen.state,
        pattern=pattern,
        now=now,
        programs=programs,
        unknown=seen.unknown,
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one look at the remote says: the model, and the state of the journal with what that lacks."""

    config: Config
    state: State
    unknown: frozenset[str]


def _look(
    repo: Repository, place: CloneOrMirror, now: float, say: Say | None, *, fetched: bool
) -> _Seen:
    """What the remote as it was read says. Raises RemoteError, GitError, ConfigError.

    fetched: it was read just now. A fetch does not see all refs at one moment, so before a branch is said to have
    moved by hand it is read once more; model, journal and branches of one look count together.
    """
    config, state, found = _judged(repo, place, now, fetched=fetched)
    if found.events and fetched:
        before = repo.refs
        repo.fetch(say)
        if repo.refs != before:
            config, state, found = _judged(repo, place, now, fetched=fetched)
    if fetched and not clone_or_mirror.serves(place) and not repo.is_foreign and not repo.problem:
        unrecorded.save(repo.git, found.begins)
    return _Seen(config, state, frozenset(found.unknown))


def _judged(
    repo: Repository, place: CloneOrMirror, now: float, *, fetched: bool
) -> tuple[Config, State, Lacking]:
    config = place.config(_heads(repo), journal=repo.refs.journal, write=fetched)
    if clone_or_mirror.serves(place) and not fetched:
        refs = Mirror(config.root).refs()
        state = accepted.state_of(config.root, repo.git, refs)  # pending holds count, too
    else:
        state = _kept(repo)
    in_force = [
        Watched(s.name, s.branch, s.direct_pushes) for s in config.saltenvs if s.promote_from
    ]
    begins, production = _begins(repo, place), config.source.branch
    tip = state.tips.get(production or "") or begins.kept.get(production or "")
    head = repo.refs.branches.get(production or "")
    watched = push_rules.judged(repo.git, in_force, production, tip, head)
    look = unrecorded.Look(repo.git, repo.refs.branches, repo.unread, begins, now)
    told = state.events
    found = look.judge(state, watched, lambda: list(told), believed=repo.problem is None)
    return config, state, found


def _begins(repo: Repository, place: CloneOrMirror) -> Begins:
    """With what branches begin: as the syncs of this master have it, or as this clone remembers."""
    if not clone_or_mirror.serves(place):
        return Begins(unrecorded.load(repo.git))
    root = _root(place)
    ready = prepared.load(root, place.path)
    served = prepared.load_served(root)
    last = decision.load(root, None, time.time())
    return unrecorded.begins_of(ready.saltenvs if ready else (), served, last)


def _root(place: CloneOrMirror) -> str:
    return os.path.normpath(place.machine.root)


def _kept(repo: Repository) -> State:
    return journal_cache.state(repo.git, repo.refs.journal, write=not repo.is_foreign)


def _heads(repo: Repository) -> dict[str, str]:
    """Branch to commit, for the model: of a branch that cannot be read now, what was read of it last."""
    return {**repo.outdated, **repo.refs.branches}


def tags_on(repo: Repository, head: str) -> dict[str, str]:
    """The tags of the remote that name `head` or a commit before it, with their commits. Raises GitError."""
    return tags.tags_on(repo.git, head, f"{repo.seen}/tags/")
