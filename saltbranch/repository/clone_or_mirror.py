"""The one way in: whose configuration counts, which repository is read, and which model decides.

A verb that is about a machine asks locate.machine_file and machine.read_machine_file: --config, $SALTBRANCH_CONFIG,
/etc/salt, wherever one stands. All others ask `find`: the same files, else the clone around the current folder, of
which only git's own configuration and what the remote has count: what happens to be checked out there may be anybody's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from saltbranch.base import files
from saltbranch.base.errors import ConfigError, SaltbranchError
from saltbranch.config import locate
from saltbranch.config.keys import FileModel, model_branch
from saltbranch.config.locate import FILE_NAME
from saltbranch.config.model import Config
from saltbranch.git.mirror import KEPT_BY_VERBS, Mirror
from saltbranch.git.program import Git, let_go
from saltbranch.journal.accepted import believed
from saltbranch.repository import accepted, model, production, remote
from saltbranch.repository import clone as clones
from saltbranch.repository.clone import Clone
from saltbranch.repository.commit_source import CommitSource
from saltbranch.repository.machine import read_machine_file
from saltbranch.repository.remote import Repository
from saltbranch.repository.root import check_owner


@dataclass(frozen=True, slots=True)
class CloneOrMirror:
    """Where a verb works.

    path: the machine's file, or how messages call the clone's. machine: what it says; defaults in a clone.
    clone: None where the mirror of a master is used.
    """

    path: str
    machine: FileModel
    clone: Clone | None

    @property
    def is_machines(self) -> bool:
        """Whether `machine` is a machine's own file."""
        return self.clone is None or self.path != f"{self.clone.folder}/{FILE_NAME}"

    def require(self) -> None:
        """Raises ConfigError where there is neither a clone nor a mirror yet, RefusedError for another file's root."""
        if self.clone is None and not self.mirror.exists():
            raise ConfigError(
                f"there is nothing at the root that {self.path} names yet, and no clone here",
                hint="make it with: saltbranch sync; or change to a clone of the control repository",
            )
        if self.clone is None:
            check_owner(os.path.normpath(self.machine.root), self.path)

    @property
    def mirror(self) -> Mirror:
        """The mirror of the machine's root."""
        return Mirror(os.path.normpath(self.machine.root))

    @property
    def git(self) -> Git:
        """git on the objects."""
        return self.clone.objects if self.clone else self.mirror.git

    def open(self) -> Repository:
        """The repository, to read the remote with. Raises ConfigError, GitError, RefusedError."""
        self.require()
        timeout = self.machine.fetch_timeout
        if self.clone:
            found = remote.open_clone(self.clone, timeout=timeout, remote=self.remote)
        else:
            found = Repository(self.mirror.path, self.machine.remote or "origin", timeout=timeout)
        found.first = self._branches
        return found

    def _branches(self) -> list[str]:
        """Those of the saltenvs, by what was last read."""
        try:
            config = self.last_config()
        except SaltbranchError:
            return []
        model = [config.source.branch] if config.source.branch else []
        return [*(s.branch for s in config.saltenvs), *model]

    def source(self) -> CommitSource:
        """Where its commits are looked up. Raises ConfigError."""
        if self.clone is None:
            return CommitSource(self.git)
        return CommitSource(self.clone.reading, self.remote, self.git)

    def known_heads(self) -> dict[str, str]:
        """Branch to commit of the remote as last read. Raises GitError, ConfigError."""
        if self.clone is None:
            return self.mirror.branches()
        return remote.known_heads(self.git, self.remote)

    @property
    def remote(self) -> str:
        """A URL, or the name of a remote of the clone. Raises ConfigError."""
        given = self.machine.remote
        if self.clone:
            return self.clone.name_of(given) if given else self.clone.remote()
        return given or "origin"

    def config(
        self, heads: Mapping[str, str], *, journal: str | None, write: bool = False
    ) -> Config:
        """The configuration with the model that counts. Raises ConfigError, GitError.

        heads: of the remote. journal: the head of the journal that is believed. write: remember what was accepted.
        """
        memory = accepted.IN_CLONE if self.clone else accepted.IN_MIRROR
        if self.clone and not self.is_machines:
            branch = production.branch_of(self.clone, heads)
        else:
            branch = model_branch(self.machine)
        write = write and not (self.clone and self.clone.foreign)
        where = accepted.ModelRefs(self.git, heads, memory, journal, write=write)
        return model.load(where, self.machine, self.path, branch=branch, remote=self.remote or ".")

    def last_config(self) -> Config:
        """The same by what was last read of the remote. Raises ConfigError, GitError."""
        self.require()
        if self.clone:
            journal = self.git.commit_or_none(KEPT_BY_VERBS)
            return self.config(self.known_heads(), journal=journal)
        refs = self.mirror.refs()
        return self.config(refs.branches, journal=believed(self.git, refs).head)


Given = str | CloneOrMirror | None
"""--config, if it was given, or a place that is known already."""


def find(explicit: Given) -> CloneOrMirror:
    """Where a verb works that is not about a machine. Raises ConfigError, RefusedError."""
    if isinstance(explicit, CloneOrMirror):
        return explicit
    let_go()
    named = locate.named_file(explicit, os.environ)
    if named:
        return _of_file(named)
    clone = clones.find(current_folder())
    own = f"{clone.folder}/{FILE_NAME}" if clone else ""
    if clone and os.path.lexists(own) and own != locate.SYSTEM_FILE:
        return of_clone(clone)
    # One that this user may not read is for whoever works on the master.
    if os.path.exists(locate.SYSTEM_FILE) and not (
        clone and not os.access(locate.SYSTEM_FILE, os.R_OK)
    ):
        return _of_file(locate.SYSTEM_FILE)
    if clone:
        return of_clone(clone)
    raise ConfigError(
        f"{current_folder()} is in no clone of the control repository, and this machine has no {locate.SYSTEM_FILE}",
        hint="change to a clone, name a file with --config, or on a master: saltbranch init --remote URL",
    )


def current_folder() -> str:
    """Where one stands; ``/`` where that folder is gone."""
    try:
        return os.getcwd()
    except OSError:
        return "/"


def of_clone(clone: Clone) -> CloneOrMirror:
    """A clone, by its own configuration of git alone."""
    return CloneOrMirror(f"{clone.folder}/{FILE_NAME}", FileModel(), clone)


def of_machine(path: str) -> CloneOrMirror:
    """The mirror of a machine. Raises ConfigError, RefusedError."""
    let_go()
    return CloneOrMirror(path, read_machine_file(path), None)


def _of_file(path: str) -> CloneOrMirror:
    """The mirror of the machine's root, else the clone one stands in; a clone's own file names that clone."""
    real = os.path.realpath(path)
    if os.path.basename(real) == FILE_NAME:
        clone = clones.find(os.path.dirname(real)) if os.path.isdir(os.path.dirname(real)) else None
        if clone and os.path.realpath(f"{clone.folder}/{FILE_NAME}") == real:
            return of_clone(clone)
    machine = read_machine_file(path)
    place = CloneOrMirror(path, machine, None)
    root = os.path.normpath(machine.root)
    mine = os.path.exists(files.mark_of(root)) and place.mirror.exists() and machine.remote
    if mine and os.access(place.mirror.path, os.W_OK):
        return place
    clone = clones.find(current_folder())
    if mine and not (clone and os.path.lexists(f"{clone.folder}/{FILE_NAME}")):
        return place
    return CloneOrMirror(
        path, machine, clone if clone and clone.has_remote(machine.remote) else None
    )


def serves(place: CloneOrMirror) -> bool:
    """Whether this machine's root serves saltenvs, so that a sync follows a push."""
    return place.clone is None
