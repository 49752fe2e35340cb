"""fleet: which minions results are computed for, and writing down what the master knows of them."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from saltbranch import compilecache, files, fleet, saltmaster, targets
from saltbranch.commitsource import CommitSource
from saltbranch.compiler.model import Minion
from saltbranch.config.model import Config
from saltbranch.errors import ConfigError, SaltError, UsageError
from saltbranch.repository import clone as clones
from saltbranch.repository import place as places
from saltbranch.saltmaster import MasterOptions


@dataclass(frozen=True, slots=True)
class Place:
    """Where a verb works: the configuration, the repository and the master, if there is one here."""

    config: Config
    repository: CommitSource
    master: MasterOptions

    @property
    def groups(self) -> Mapping[str, Any]:
        """The minions of every saltenv."""
        return self.config.groups


def open_place(config: places.Given) -> Place:
    """The mirror where a master was set up, else the clone one stands in. config: --config.

    Raises ConfigError, RefusedError, SaltError, GitError.
    """
    return place_of(places.find(config))


def place_of(place: places.Place) -> Place:
    """The same where it is known already."""
    config = place.last_config()
    return Place(config, source_of(place), saltmaster.read(config.salt_config))


def source_of(place: places.Place) -> CommitSource:
    """Where its commits are looked up. Raises ConfigError."""
    if place.clone is None:
        return CommitSource(place.git)
    return CommitSource(place.clone.reading, place.remote, place.git)


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


def load(place: Place, saltenvs: Sequence[str] | None = None) -> FleetResult:
    """Every minion of the configured fleet. saltenvs: others may be left out. Raises ConfigError, SaltError."""
    wanted = place.config.fleet
    nodegroups = place.master.nodegroups
    if wanted == "cache":
        return _from_cache(place, saltenvs)
    folder = _folder(place, wanted)
    cache = compilecache.folder_of(place.config.root)
    minions, unclaimed = fleet.read_folder(folder, place.groups, nodegroups, cache)
    return FleetResult(folder.place, tuple(minions), tuple(unclaimed))


def _folder(place: Place, wanted: str) -> fleet.Folder:
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
    clone = clones.find(places.current_folder())
    candidates = [os.path.dirname(place.config.path), *([clone.folder] if clone else [])]
    folders = list(dict.fromkeys(f"{folder}/{wanted}" for folder in candidates))
    for folder in folders:
        if os.path.isdir(folder):
            return fleet.DiskFolder(folder)
    raise ConfigError(
        f"fleet: {branch} has no folder {wanted!r}, and there is none at {' nor '.join(folders)}",
        hint="write it with: saltbranch fleet record DIR, or set fleet: cache",
    )


def _from_cache(place: Place, saltenvs: Sequence[str] | None = None) -> FleetResult:
    if not place.master.exists:
        raise ConfigError(
            f"fleet: cache, but there is no salt-master here ({place.config.salt_config})",
            hint="set fleet: to a folder of files that `saltbranch fleet record` wrote on the master",
        )
    minions, unclaimed = [], []
    for minion_id in saltmaster.cached_minions(place.master.opts):
        if saltenvs is not None and not _is_in(place, minion_id, saltenvs):
            continue
        grains, _ = saltmaster.cached(place.master.opts, minion_id, "")
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


def _is_in(place: Place, minion_id: str, saltenvs: Sequence[str]) -> bool:
    claims = targets.claimed_by(minion_id, place.groups, place.master.nodegroups)
    return any(saltenv in saltenvs for saltenv, _ in claims)


def _cached_keys(master: MasterOptions, minion: Minion) -> tuple[str, ...]:
    """The names only: what they stand for leaves this function for nowhere."""
    _, pillar = saltmaster.cached(master.opts, minion.id, minion.saltenv)
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


def choose(place: Place, wanted: Sequence[str], saltenv: str | None) -> list[Minion]:
    """The minions of the fleet that are meant. Raises UsageError, ConfigError, SaltError."""
    if saltenv is not None:
        place.config.saltenv(saltenv)
    return fleet.choose(load(place).minions, wanted, saltenv)


def show(
    config_path: str | None, *, wanted: Sequence[str] = (), saltenv: str | None = None
) -> FleetResult:
    """The fleet, for `fleet list`. Raises ConfigError, SaltError, UsageError."""
    place = open_place(config_path)
    found = load(place)
    if not wanted and saltenv is None:
        return found
    chosen = fleet.choose(found.minions, wanted, saltenv)
    return dataclasses.replace(found, minions=tuple(chosen))


@dataclass(frozen=True, slots=True)
class Recorded:
    """What `fleet record` did: files written, and those that said the same already. returns: by minion, the
    calls that it answered. left: calls that no minion was asked for, or gave no answer to, each with why.
    """

    folder: str
    written: tuple[str, ...]
    unchanged: int
    returns: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    left: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "version": 1,
            "folder": self.folder,
            "written": list(self.written),
            "unchanged": self.unchanged,
            "returns": {minion: list(calls) for minion, calls in self.returns.items()},
            "left": dict(self.left),
        }


def record(
    config_path: str | None,
    folder: str,
    *,
    wanted: Sequence[str] = (),
    returns: bool = False,
    acting: bool = False,
) -> Recorded:
    """Write what the master remembers of every minion to ``folder/<minion id>.yaml``.

    Grains that look like secrets by name are left out; `pillar` and `returns` that somebody wrote
    there are kept. returns, acting: see `fleet_returns.ask`. Raises ConfigError, SaltError, UsageError.
    """
    if acting and not returns:
        raise UsageError("--acting is about --returns", hint="give both")
    place = open_place(config_path)
    chosen = fleet.choose(_from_cache(place).minions, wanted, None)
    try:
        os.makedirs(folder, exist_ok=True)
        written = [m.id for m in chosen if _write(folder, m)]
    except OSError as err:
        raise SaltError(f"cannot write {folder}: {err.strerror}") from err
    done = Recorded(folder, tuple(written), len(chosen) - len(written))
    if not returns:
        return done
    from saltbranch.actions import fleet_returns  # it compiles, and most of what is here does not

    asked = fleet_returns.ask(place, folder, chosen, acting=acting)
    left = {call: why for (call, _), why in asked.left.items()}
    return dataclasses.replace(done, returns=asked.recorded, left=left)


def _write(folder: str, minion: Minion) -> bool:
    if "/" in minion.id or minion.id.startswith("."):
        raise UsageError(f"{minion.id!r} is not a minion id")
    path = f"{folder}/{minion.id}.yaml"
    before: dict[str, Any] = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            loaded = yaml.safe_load(file)
        before = loaded if isinstance(loaded, dict) else {}
    grains = yaml.safe_load(yaml.safe_dump(plain(fleet.without_secrets(minion.grains))))
    if before.get("grains") == grains:
        return False
    data = {**before, "grains": grains, "recorded": int(minion.recorded or time.time())}
    files.write_atomic(path, fleet.as_text(data), mode=0o644)
    return True


def plain(value: Any) -> Any:
    """`value` of nothing but what YAML has."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(v) for v in value]
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)
