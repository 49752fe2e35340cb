"""fleet: which minions results are computed for, and writing down what the master knows of them."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from saltbranch.base import files
from saltbranch.base.errors import SaltError, UsageError
from saltbranch.compiler.model import Minion
from saltbranch.preview import fleet
from saltbranch.preview.known_fleet import FleetResult, from_cache, load
from saltbranch.preview.repository_and_master import open_place


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
    chosen = fleet.choose(from_cache(place).minions, wanted, None)
    try:
        os.makedirs(folder, exist_ok=True)
        written = [m.id for m in chosen if _write(folder, m)]
    except OSError as err:
        raise SaltError(f"cannot write {folder}: {err.strerror}") from err
    done = Recorded(folder, tuple(written), len(chosen) - len(written))
    if not returns:
        return done
    from saltbranch.preview import ask_minions  # it compiles, and most of what is here does not

    asked = ask_minions.ask(place, folder, chosen, acting=acting)
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
    grains = yaml.safe_load(yaml.safe_dump(fleet.plain(fleet.without_secrets(minion.grains))))
    if before.get("grains") == grains:
        return False
    data = {**before, "grains": grains, "recorded": int(minion.recorded or time.time())}
    files.write_atomic(path, fleet.as_text(data), mode=0o644)
    return True
