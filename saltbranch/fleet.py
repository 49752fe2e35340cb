"""The fleet: the minions that results are computed for, with their grains, as files tell of them.

A file ``<minion id>.yaml`` holds `grains`, and may hold `pillar` (for private pillar that is not in the
repository) and `returns` (what execution functions answer while compiling, by ``fun`` or
``fun(arguments)`` with the arguments as JSON).
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from saltbranch import targets
from saltbranch.compiler.model import Minion
from saltbranch.errors import ConfigError, UsageError
from saltbranch.fleetcache import FleetCache
from saltbranch.targets import Matcher

_KEYS = ("grains", "pillar", "returns", "recorded")
# Grains that hold secrets or that are nobody's business outside of the machine.
_PRIVATE = re.compile(
    r"pass(word|wd)?|secret|token|private|credential|ssh_host_key|^pubkey|api_?key|meta-data|user-data",
    re.IGNORECASE,
)


def read_folder(
    folder: str,
    groups: Mapping[str, Sequence[Matcher]],
    nodegroups: Mapping[str, object],
    cache: str | None = None,
) -> list[Minion]:
    """The minions of the files in `folder`. Raises ConfigError naming the file and what is wrong.

    cache: a private folder of ours.
    """
    try:
        names = sorted(n for n in os.listdir(folder) if n.endswith(".yaml") and n[0] != ".")
    except OSError as err:
        raise ConfigError(
            f"fleet: cannot read the folder {folder}: {err.strerror}",
            hint="write it with: saltbranch fleet record DIR, or set fleet: cache",
        ) from err
    minions = []
    kept = FleetCache(cache, folder)
    for name in names:
        path = f"{folder}/{name}"
        data = kept.get(path)
        if data is None:
            data = _read(path)
            kept.put(path, data)
        minion = made(name[: -len(".yaml")], data, groups, nodegroups, source=path)
        if minion:
            minions.append(minion)
    kept.save()
    return minions


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            data = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as err:
        mark = getattr(err, "problem_mark", None)
        why = getattr(err, "problem", None) or getattr(err, "strerror", None) or "not UTF-8"
        place = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{place}: {why}", hint="mend that file of the fleet") from err
    if not isinstance(data, dict) or not isinstance(data.get("grains"), dict):
        raise ConfigError(f"{path}: no grains", hint="start with `grains:` and a mapping below it")
    for key in data:
        if key not in _KEYS:
            raise ConfigError(f"{path}: unknown key {key}", hint=f"known ones: {', '.join(_KEYS)}")
    for key in ("pillar", "returns"):
        if not isinstance(data.get(key, {}) or {}, dict):
            raise ConfigError(f"{path}: {key} is no mapping")
    return data


def made(
    minion_id: str,
    data: Mapping[str, Any],
    groups: Mapping[str, Sequence[Matcher]],
    nodegroups: Mapping[str, object],
    *,
    source: str,
) -> Minion | None:
    """The minion, in the one saltenv that claims it; None when none does, or two do."""
    claims = targets.claimed_by(minion_id, groups, nodegroups)
    if len(claims) != 1:
        return None
    recorded = data.get("recorded")
    return Minion(
        id=minion_id,
        saltenv=claims[0][0],
        grains={**data["grains"], "id": minion_id},
        pillar=data.get("pillar") or {},
        returns=data.get("returns") or {},
        source=source,
        recorded=float(recorded) if isinstance(recorded, (int, float)) else None,
    )


def choose(minions: Iterable[Minion], wanted: Sequence[str], saltenv: str | None) -> list[Minion]:
    """Those that one of `wanted` means, a glob or ``@FILE`` with an id on each line, and that are in
    `saltenv`. Raises UsageError when a FILE cannot be read or nothing is left.
    """
    known = list(minions)
    patterns = [p for word in wanted for p in _patterns(word)]
    found = [
        m
        for m in known
        if (saltenv is None or m.saltenv == saltenv)
        and (not wanted or any(fnmatch.fnmatchcase(m.id, pattern) for pattern in patterns))
    ]
    if not found:
        what = f" that {' or '.join(wanted)} means" if wanted else ""
        where = f" in saltenv {saltenv}" if saltenv else ""
        raise UsageError(
            f"the fleet has no minion{where}{what} ({len(known)} in all)",
            hint="saltbranch fleet list shows them; saltbranch fleet record writes them",
        )
    return found


def _patterns(word: str) -> list[str]:
    if not word.startswith("@"):
        return word.split(",")
    try:
        with open(word[1:], encoding="utf-8") as file:
            return [line.strip() for line in file if line.strip() and line[0] != "#"]
    except (OSError, UnicodeDecodeError) as err:
        raise UsageError(f"cannot read the list of minions in {word[1:]}: {err}") from err


def without_secrets(grains: Mapping[str, Any]) -> dict[str, Any]:
    """`grains` without what looks like a secret by its name."""

    def kept(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {k: kept(v) for k, v in value.items() if not _PRIVATE.search(str(k))}
        return [kept(v) for v in value] if isinstance(value, list) else value

    return {str(k): kept(v) for k, v in grains.items() if not _PRIVATE.search(str(k))}
