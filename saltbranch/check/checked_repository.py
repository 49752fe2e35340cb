"""Where `check` finds commits: the clone one stands in, or the mirror of a master."""

from __future__ import annotations

import os
from dataclasses import dataclass

from saltbranch.base import files
from saltbranch.base.errors import ConfigError
from saltbranch.config import locate
from saltbranch.config.check import build_config, roots_of
from saltbranch.config.keys import FileModel
from saltbranch.config.model import Config, Source
from saltbranch.config.read import parse_file
from saltbranch.config.roots import PILLAR, STATES, Roots
from saltbranch.git.program import Git
from saltbranch.repository import clone as clones
from saltbranch.repository import clone_or_mirror
from saltbranch.repository.commit_source import CommitSource
from saltbranch.repository.formulas import Formulas, formulas_in
from saltbranch.repository.machine import read_machine_file


@dataclass(frozen=True, slots=True)
class CheckedRepository:
    """Where the commits are. clone: the folder of a work tree; config: None where there is none.

    branches: those of the remote, none where they are not known.
    """

    source: CommitSource
    clone: str | None
    config: Config | None
    roots: Roots
    branches: frozenset[str] = frozenset()

    @property
    def states_dir(self) -> str:
        """The folder below which states have their names: of several roots, that of the composed ones."""
        return self.roots.prefix(STATES)

    @property
    def pillar_dir(self) -> str:
        """The same of the pillar."""
        return self.roots.prefix(PILLAR)

    @property
    def stand_in(self) -> str | None:
        """The folder of what stands in for encrypted and missing files."""
        return self.config.stand_in if self.config else None

    @property
    def production(self) -> str | None:
        """The head of the production branch, as far as it is known here."""
        return self.source.branch_or_none(self.config.model_branch) if self.config else None

    @property
    def git(self) -> Git:
        """git that knows them."""
        return self.source.git

    @property
    def formulas(self) -> Formulas:
        """The formulas that commits pin."""
        return formulas_in(self.source, self.config)

    def full_name(self, commit: str) -> str:
        """The full hash of a commit or of HEAD. Raises GitError."""
        return self.git.out("rev-parse", "--verify", "--end-of-options", commit).strip()

    def commit(self, name: str) -> str:
        """What `name` names, a full hash. Raises UsageError, GitError."""
        return self.source.find(self.config, name).commit


def open_place(config: clone_or_mirror.Given) -> CheckedRepository:
    """The clone one stands in, with the model of a promotion, so that a check finds what the gate would; else the
    mirror of the configuration that was named or found. Raises ConfigError, RefusedError, GitError.
    """
    if isinstance(config, clone_or_mirror.CloneOrMirror):
        return _known(config)
    clone = clones.find(clone_or_mirror.current_folder())
    if clone is None:
        return _known(clone_or_mirror.find(config))
    place = clone_or_mirror.of_clone(clone)
    named = locate.named_file(config, os.environ)
    if named and os.path.realpath(named) != os.path.realpath(place.path):
        place = clone_or_mirror.CloneOrMirror(named, read_machine_file(named), clone)
        if place.mirror.exists() and not os.path.lexists(f"{clone.folder}/{locate.FILE_NAME}"):
            return _known(clone_or_mirror.find(named))  # a clone of something else
    return _of_clone(place, clone)


def _of_clone(place: clone_or_mirror.CloneOrMirror, clone: clones.Clone) -> CheckedRepository:
    try:
        return _known(place)
    except ConfigError:
        _require_named(place)
        # Not promoted yet, or this is not a control repository at all: the file that is to be judged says what there
        # is to judge. No program of it runs, and what it says of a machine does not count.
        text = files.read_or_none(f"{clone.folder}/{locate.FILE_NAME}")
        own = _parsed(text) if text is not None else FileModel()
        config = _config(own, place)
        source = CommitSource(clone.reading, _remote(place), clone.objects)
        roots = config.roots if config else _roots(own)
        return CheckedRepository(source, clone.folder, config, roots, _branches(place))


def _require_named(place: clone_or_mirror.CloneOrMirror) -> None:
    """A file that somebody named counts, or is refused: nothing else is checked in its stead. Raises ConfigError."""
    if place.is_machines and place.machine.saltenvs is not None:
        source = Source(place.path)
        build_config(place.machine, place.path, place.machine, origin=".", source=source)


def _parsed(text: bytes) -> FileModel:
    """The file of the work tree as far as it is valid; what is wrong with it is a finding."""
    try:
        return parse_file(text.decode("utf-8", "replace"), locate.FILE_NAME)
    except ConfigError:
        return FileModel()


def _roots(own: FileModel) -> Roots:
    try:
        return roots_of(own, locate.FILE_NAME)
    except ConfigError:
        return roots_of(FileModel(), locate.FILE_NAME)


def _config(own: FileModel, place: clone_or_mirror.CloneOrMirror) -> Config | None:
    if own.saltenvs is None:
        return None
    source = Source(f"{locate.FILE_NAME} of the work tree")
    try:
        return build_config(place.machine, place.path, own, origin=".", source=source)
    except ConfigError:
        return None


def _remote(place: clone_or_mirror.CloneOrMirror) -> str:
    try:
        return place.remote
    except ConfigError:
        return ""


def _known(place: clone_or_mirror.CloneOrMirror) -> CheckedRepository:
    config = place.last_config()
    clone = place.clone.folder if place.clone else None
    return CheckedRepository(place.source(), clone, config, config.roots, _branches(place))


def _branches(place: clone_or_mirror.CloneOrMirror) -> frozenset[str]:
    """Known only where all of them are fetched: not in a clone of a single branch, nor in a shallow one."""
    try:
        if place.clone and not place.clone.fetches_all(place.remote):
            return frozenset()
        return frozenset(place.known_heads())
    except ConfigError:
        return frozenset()
