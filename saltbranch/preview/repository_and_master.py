"""Where a preview works: the configuration, the repository, and the master where there is one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from saltbranch.config.model import Config
from saltbranch.repository import clone_or_mirror
from saltbranch.repository.commit_source import CommitSource
from saltbranch.salt_master import options as master_options
from saltbranch.salt_master.options import MasterOptions


@dataclass(frozen=True, slots=True)
class RepositoryAndMaster:
    """Where a verb works: the configuration, the repository and the master, if there is one here."""

    config: Config
    repository: CommitSource
    master: MasterOptions

    @property
    def groups(self) -> Mapping[str, Any]:
        """The minions of every saltenv."""
        return self.config.groups


def open_place(config: clone_or_mirror.Given) -> RepositoryAndMaster:
    """The mirror where a master was set up, else the clone one stands in. config: --config.

    Raises ConfigError, RefusedError, SaltError, GitError.
    """
    return place_of(clone_or_mirror.find(config))


def place_of(place: clone_or_mirror.CloneOrMirror) -> RepositoryAndMaster:
    """The same where it is known already."""
    config = place.last_config()
    return RepositoryAndMaster(config, place.source(), master_options.read(config.salt_config))
