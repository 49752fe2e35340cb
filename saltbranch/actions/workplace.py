"""What every promoting verb begins with: a repository, the remote as it is now, the model, the journal."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from saltbranch import choosing, files, journal, locate, repository, serving, tickets
from saltbranch import config as configuration
from saltbranch.config import Config, FileModel, Saltenv
from saltbranch.errors import ConfigError, RefusedError
from saltbranch.events import Debt, Hold, State
from saltbranch.git import Git, failed
from saltbranch.mirror import Mirror
from saltbranch.repository import Refs, Repository
from saltbranch.serving import Wanted

Say = Callable[[str], None]


@dataclass(slots=True)
class Workplace:
    """Where a verb works. serves: this machine's root serves saltenvs, so a sync follows. now: seconds since 1970."""

    repo: Repository
    machine: FileModel
    config_path: str
    config: Config
    state: State
    pattern: re.Pattern[str]
    serves: bool
    now: float

    @property
    def git(self) -> Git:
        """The repository's git."""
        return self.repo.git

    @property
    def refs(self) -> Refs:
        """The remote as last read."""
        return self.repo.refs

    def head(self, saltenv: Saltenv) -> str:
        """The head of a saltenv's branch. Raises RefusedError when the remote has no such branch."""
        return self.branch_head(saltenv.branch)

    def branch_head(self, branch: str) -> str:
        """The head of a branch of the remote. Raises RefusedError when there is none, or it cannot be read."""
        head = self.refs.heads.get(branch)
        if why := self.repo.unread.get(f"refs/heads/{branch}"):
            raise RefusedError(
                f"the branch {branch!r} of the remote cannot be read: {why}",
                hint="mend it there, so that what it holds is known here",
            )
        if head is None:
            raise RefusedError(
                f"the remote has no branch {branch!r}",
                hint=f"its branches: {', '.join(sorted(self.refs.heads)[:10]) or 'none'}",
            )
        return head

    def hold(self, saltenv: Saltenv) -> Hold | None:
        """The hold on `saltenv` that counts now."""
        return self.state.hold(saltenv.name, self.now)

    def wanted(self, saltenv: Saltenv) -> Wanted:
        """What `saltenv` is to serve by the remote and the journal."""
        head = self.refs.heads.get(saltenv.branch)
        tags = tags_on(self.repo, head) if saltenv.follow and head else {}
        return serving.wanted(head, saltenv.follow, tags, self.hold(saltenv))

    def open_debts(self) -> list[Debt]:
        """Debts that nobody has paid: the branch is there and still lacks the commit."""
        return [d for d in self.state.debts if self._is_open(d)]

    def _is_open(self, debt: Debt) -> bool:
        head = self.refs.heads.get(debt.branch)
        if head is None or self.git.commit_or_none(debt.commit) is None:
            return False
        return not self.git.is_ancestor(debt.commit, head)

    def refresh(self, say: Say | None = None) -> None:
        """Read the remote again. Raises RemoteError, ConfigError."""
        self.repo.fetch(say)
        self._read()

    def _read(self) -> None:
        self.config = _load(self.repo, self.machine, self.config_path)
        self.pattern = tickets.compile_pattern(self.config.tickets, self.config_path)
        self.state = _state(self.repo)


def open_workplace(config: str | None, say: Say | None = None, *, fetch: bool = True) -> Workplace:
    """The clone one stands in or, where the configuration is a machine's own, the mirror of its root.

    config: --config. fetch: read the remote; otherwise what it had when it was last read counts.
    Raises ConfigError, RemoteError, GitError, RefusedError, LockedError.
    """
    path, machine = _find(config)
    repo, serves = _repository(path, machine)
    return _open(path, machine, repo, say, serves=serves, fetch=fetch)


def open_mirror(path: str) -> Workplace:
    """What the last sync of this master saw, without asking the remote. Raises ConfigError, GitError."""
    machine = configuration.read_file(path)
    mirror = Mirror(os.path.normpath(machine.root))
    repo = Repository(mirror.path, machine.remote or "origin", timeout=machine.fetch_timeout)
    return _open(path, machine, repo, None, serves=True, fetch=False)


def _open(
    path: str, machine: FileModel, repo: Repository, say: Say | None, *, serves: bool, fetch: bool
) -> Workplace:
    if fetch:
        repo.fetch(say)
    else:
        if serves:
            repo.seen = "refs"  # what the last sync read
        repo.refs = repo.last_seen()
    loaded = _load(repo, machine, path)
    pattern = tickets.compile_pattern(loaded.tickets, path)
    if serves and not fetch:
        refs = Mirror(loaded.root).refs()
        state = choosing.state_of(loaded.root, repo.git, refs)  # pending holds count, too
    else:
        state = _state(repo)
    return Workplace(repo, machine, path, loaded, state, pattern, serves, time.time())


def _find(config: str | None) -> tuple[str, FileModel]:
    """The configuration file; a clone without one of its own takes that of the production branch."""
    cwd = os.getcwd()
    try:
        path = locate.find(config, os.environ, cwd)
    except ConfigError:
        clone = locate.clone_root(cwd)
        if config or not clone:
            raise
        return f"{clone}/{locate.FILE_NAME}", FileModel()
    return path, configuration.read_file(path)


def _repository(path: str, machine: FileModel) -> tuple[Repository, bool]:
    root = os.path.normpath(machine.root)
    folder = os.path.dirname(path)
    in_clone = os.path.exists(f"{folder}/.git")
    mirror = Mirror(root)
    if not in_clone and _is_ours(root) and mirror.exists() and machine.remote:
        return Repository(mirror.path, machine.remote, timeout=machine.fetch_timeout), True
    clone = folder if in_clone else locate.clone_root(os.getcwd())
    if clone is None:
        raise ConfigError(
            f"neither a clone of the control repository here, nor a mirror at the root of {path}",
            hint="stand in a clone, or run saltbranch sync on the master first",
        )
    remote = machine.remote or "origin"
    configuration.check_remote(remote, path)
    return repository.open_clone(clone, remote, timeout=machine.fetch_timeout), False


def is_of_clone(path: str) -> bool:
    """Whether the configuration `path` is that of a clone, and no root of it serves anything here."""
    if not os.path.exists(f"{os.path.dirname(path)}/.git"):
        return False
    root = os.path.normpath(configuration.read_file(path).root)
    return not (_is_ours(root) and Mirror(root).exists())


def _is_ours(root: str) -> bool:
    return os.path.exists(f"{root}/{files.MARKER}") and os.access(f"{root}/mirror.git", os.W_OK)


def _load(repo: Repository, machine: FileModel, path: str) -> Config:
    branch = machine.model_branch
    head = repo.refs.heads.get(branch) or repo.outdated.get(branch)
    return load_model(repo.git, head, machine, path, clone=repo.clone, remote=repo.remote)


def load_model(
    git: Git, head: str | None, machine: FileModel, path: str, *, clone: str | None, remote: str
) -> Config:
    """The model: of the production branch, so that nobody loosens a gate in the change that it should stop.

    A machine's own file that names saltenvs comes before it; the file of a clone only where the
    production branch has none. head: of that branch. machine: the file `path`. Raises ConfigError, GitError.
    """
    if machine.saltenvs is not None and clone != os.path.dirname(path):
        return configuration.build(machine, path, origin=remote)
    found = git.run("cat-file", "blob", f"{head}:{locate.FILE_NAME}") if head else None
    if found and found.code < 0:
        raise failed(found, git.directory)  # killed: that does not mean that there is none
    if found and found.code == 0:
        place = f"{locate.FILE_NAME} on branch {machine.model_branch!r}"
        model = configuration.parse(found.text, place)
        if model.saltenvs is not None:
            built = configuration.build(machine, path, model, origin=remote, place=place)
            if clone == os.path.dirname(path):
                _check_production(built, path)
            return built
    if machine.saltenvs is None:
        raise ConfigError(
            f"no model: {path} names no saltenvs, nor does {locate.FILE_NAME} on branch"
            f" {machine.model_branch!r} of the remote",
            hint="add saltenvs: to one of them (model_branch: says which branch is production)",
        )
    return configuration.build(machine, path, origin=remote)


def _check_production(config: Config, path: str) -> None:
    """The file in a clone is that of the branch checked out: it may not choose another branch for its gates."""
    ends = {s.branch for s in config.saltenvs} - {
        config.saltenv(s.promote_from).branch for s in config.saltenvs if s.promote_from
    }
    if config.model_branch not in ends:
        raise ConfigError(
            f"{path}: model_branch: {config.model_branch} is not the branch of production, from which the gates are"
            f" read (that is {' or '.join(sorted(ends))})",
            hint="mend model_branch: there, or leave it out for master",
        )


def _state(repo: Repository) -> State:
    """What the journal says."""
    return journal.state(repo.git, repo.refs.journal)


def tags_on(repo: Repository, head: str) -> dict[str, str]:
    """The tags that name `head` or a commit before it, with their commits."""
    prefix = f"{repo.seen}/tags/"
    found = repo.git.out("for-each-ref", f"--merged={head}", "--format=%(refname)", prefix)
    names = [line[len(prefix) :] for line in found.splitlines()]
    return {n: repo.refs.tags[n].commit for n in names if n in repo.refs.tags}
