"""The fleet as it is configured: a folder of files, or what the master remembers of its minions."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from saltbranch.base.errors import ConfigError
from saltbranch.compiler import cache as compile_cache
from saltbranch.compiler.model import Minion
from saltbranch.config import minions as targets
from saltbranch.preview import fleet
from saltbranch.preview.repository_and_master import RepositoryAndMaster
from saltbranch.repository import clone as clones
from saltbranch.repository import clone_or_mirror
from saltbranch.salt_master import options as master_options
from saltbranch.salt_master.options import MasterOptions


@dataclass(frozen=True, slots=True)
class FleetResult:
    """The fleet. unclaimed: minions that no saltenv claims, or more than one. source: a folder, or
    ``the master's cache``.
    """

    source: str
    minions: tuple[Minion, ...]
    unclaimed: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain data, without grains and pillar."""
        return {
            "version": 1,
            "source": self.source,
            "minions": [
                {
                    "id": m.id,
                    "saltenv": m.saltenv,
                    "recorded": m.recorded,
                    "source": m.source,
                    "grains": len(m.grains),
                    "pillar": sorted(map(str, m.pillar)),
                    "returns": sorted(map(str, m.returns)),
                    "cached_pillar": list(m.cached_pillar),
                }
                for m in self.minions
            ],
            "unclaimed": list(self.unclaimed),
        }


def load(place: RepositoryAndMaster, saltenvs: Sequence[str] | None = None) -> FleetResult:
    """Every minion of the configured fleet. saltenvs: others may be left out. Raises ConfigError, SaltError."""
    wanted = place.config.fleet
    nodegroups = place.master.nodegroups
    if wanted == "cache":
        return from_cache(place, saltenvs)
    folder = _folder(place, wanted)
    cache = compile_cache.folder_of(place.config.root)
    minions, unclaimed = fleet.read_folder(folder, place.groups, nodegroups, cache)
    return FleetResult(folder.place, tuple(minions), tuple(unclaimed))


def _folder(place: RepositoryAndMaster, wanted: str) -> fleet.Folder:
    """`fleet:` as a folder. A relative one is that of the branch which the model counts on, so that all
    machines compile for the same; where that has none, one beside the configuration or in the clone.
    """
    if os.path.isabs(wanted):
        return fleet.DiskFolder(wanted)
    branch, inner = place.config.model_branch, os.path.normpath(wanted)
    head = place.repository.branch_or_none(branch)
    if head and not inner.startswith(".."):
        committed = fleet.TreeFolder(place.repository.git, head, inner, branch)
        if committed.files():
            return committed
    clone = clones.find(clone_or_mirror.current_folder())
    candidates = [os.path.dirname(place.config.path), *([clone.folder] if clone else [])]
    folders = list(dict.fromkeys(f"{folder}/{wanted}" for folder in candidates))
    for folder in folders:
        if os.path.isdir(folder):
            return fleet.DiskFolder(folder)
    raise ConfigError(
        f"fleet: {branch} has no folder {wanted!r}, and there is none at {' nor '.join(folders)}",
        hint="write it with: saltbranch fleet record DIR, or set fleet: cache",
    )


def from_cache(place: RepositoryAndMaster, saltenvs: Sequence[str] | None = None) -> FleetResult:
    """What the master remembers; of `saltenvs` only, if any are named. Raises ConfigError, SaltError."""
    if not place.master.exists:
        raise ConfigError(
            f"fleet: cache, but there is no salt-master here ({place.config.salt_config})",
            hint="set fleet: to a folder of files that `saltbranch fleet record` wrote on the master",
        )
    minions, unclaimed = [], []
    for minion_id in master_options.cached_minions(place.master.opts):
        if saltenvs is not None and not _is_in(place, minion_id, saltenvs):
            continue
        grains, _ = master_options.cached(place.master.opts, minion_id, "")
        if not grains:
            continue
        data = {"grains": grains, "recorded": _age_of(place.master, minion_id)}
        made = fleet.made(minion_id, data, place.groups, place.master.nodegroups, source="cache")
        if made:
            keys = _cached_keys(place.master, made)
            minions.append(dataclasses.replace(made, cached_pillar=keys))
        else:
            unclaimed.append(minion_id)
    return FleetResult("the master's cache", tuple(minions), tuple(unclaimed))


def _is_in(place: RepositoryAndMaster, minion_id: str, saltenvs: Sequence[str]) -> bool:
    claims = targets.claimed_by(minion_id, place.groups, place.master.nodegroups)
    return any(saltenv in saltenvs for saltenv, _ in claims)


def _cached_keys(master: MasterOptions, minion: Minion) -> tuple[str, ...]:
    """The names only: what they stand for leaves this function for nowhere."""
    _, pillar = master_options.cached(master.opts, minion.id, minion.saltenv)
    if not isinstance(pillar, Mapping):
        return ()
    return tuple(sorted(str(key) for key in pillar if str(key) != "_errors"))


def _age_of(master: MasterOptions, minion_id: str) -> float | None:
    for path in (f"grains/{minion_id}.p", f"minions/{minion_id}/data.p"):
        try:
            return os.stat(f"{master.cachedir}/{path}").st_mtime
        except OSError:
            continue
    return None


def choose(place: RepositoryAndMaster, wanted: Sequence[str], saltenv: str | None) -> list[Minion]:
    """The minions of the fleet that are meant. Raises UsageError, ConfigError, SaltError."""
    if saltenv is not None:
        place.config.saltenv(saltenv)
    return fleet.choose(load(place).minions, wanted, saltenv)
