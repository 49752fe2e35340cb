"""The fleet: the minions that results are computed for, with their grains, as files tell of them.

A file ``<minion id>.yaml`` holds `grains`, and may hold `pillar` (for private pillar that is not in the
repository) and `returns` (what execution functions answer while compiling, by ``fun`` or
``fun(arguments)`` with the arguments as JSON).
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import yaml

from saltbranch.base.errors import ConfigError, UsageError
from saltbranch.compiler.kept_values import Grains
from saltbranch.compiler.model import Minion, travels
from saltbranch.config import minions as targets
from saltbranch.config.minions import Matcher
from saltbranch.git import tree
from saltbranch.git.program import Git
from saltbranch.preview.fleet_cache import FleetCache, signature
from saltbranch.salt_master import pillar_errors

_KEYS = ("grains", "pillar", "returns", "recorded")
# Grains that hold secrets or that are nobody's business outside of the machine.
_PRIVATE = re.compile(
    r"pass(word|wd)?|secret|token|private|credential|ssh_host_key|^pubkey|api_?key|meta-data|user-data",
    re.IGNORECASE,
)


class Folder(Protocol):
    """A folder of such files."""

    @property
    def place(self) -> str:
        """What people call it."""

    def files(self) -> dict[str, str]:
        """Name of each file to what tells one version of it from another; empty when that is not sure.

        Raises ConfigError.
        """

    def texts(self, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Name and content of each of `names`. Raises ConfigError, GitError."""


@dataclass(frozen=True, slots=True)
class DiskFolder:
    """A folder on disk."""

    place: str

    def files(self) -> dict[str, str]:
        """See `Folder`."""
        try:
            names = sorted(os.listdir(self.place))
        except OSError as err:
            raise ConfigError(
                f"fleet: cannot read the folder {self.place}: {err.strerror}",
                hint="write it with: saltbranch fleet record DIR, or set fleet: cache",
            ) from err
        return {n: signature(f"{self.place}/{n}") for n in names if _is_minions(n)}

    def texts(self, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """See `Folder`."""
        for name in names:
            try:
                with open(f"{self.place}/{name}", "rb") as file:
                    yield name, file.read()
            except OSError as err:
                raise ConfigError(
                    f"{self.place}/{name}: {err.strerror}", hint="fix that file of the fleet"
                ) from err


@dataclass(frozen=True, slots=True)
class TreeFolder:
    """The folder `path` of the commit `commit`, which people call `name`."""

    git: Git
    commit: str
    path: str
    name: str

    @property
    def place(self) -> str:
        """See `Folder`."""
        return f"{self.name}:{self.path}"

    def files(self) -> dict[str, str]:
        """See `Folder`. The version is the blob's own name."""
        return tree.files_in(self.git, self.commit, self.path, _is_minions)

    def texts(self, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """See `Folder`."""
        oids = self.files()
        found = tree.contents(self.git, (oids[name] for name in names))
        yield from ((name, found[oids[name]]) for name in names)


def _is_minions(name: str) -> bool:
    return name.endswith(".yaml") and name[0] != "."


def read_folder(
    folder: Folder,
    groups: Mapping[str, Sequence[Matcher]],
    nodegroups: Mapping[str, object],
    cache: str | None = None,
) -> tuple[list[Minion], list[str]]:
    """The minions of the files in `folder`, and the ids that no saltenv claims, or more than one.

    cache: a private folder of ours. Raises ConfigError naming the file and what is wrong, GitError.
    """
    files = folder.files()
    kept = FleetCache(cache, folder.place)
    data = {name: kept.get(name, version) for name, version in files.items()}
    for name, text in folder.texts([name for name, known in data.items() if known is None]):
        parsed = _parsed(f"{folder.place}/{name}", text)
        parsed["grains"] = {**parsed["grains"], "id": name[: -len(".yaml")]}
        kept.put(name, files[name], parsed)
        data[name] = parsed
    kept.save()
    minions, unclaimed = [], []
    for name, known in data.items():
        minion_id = name[: -len(".yaml")]
        source = f"{folder.place}/{name}"
        if minion := made(minion_id, known or {}, groups, nodegroups, source=source):
            minions.append(minion)
        else:
            unclaimed.append(minion_id)
    return minions, unclaimed


_UNREADABLE = (
    yaml.YAMLError,
    ValueError,
    ArithmeticError,
    LookupError,
    TypeError,
    AttributeError,
    RecursionError,
)


def _place_of(key: object, text: bytes) -> str:
    """Where a key of the whole file stands, as far as that shows; it may be a secret that lost its indentation."""
    for number, line in enumerate(text.decode().splitlines(), 1):
        if line.partition(":")[0].strip(" '\"") == str(key):
            return f":{number}"
    return ""


def _parsed(path: str, text: bytes) -> dict[str, Any]:
    try:
        data = yaml.load(text.decode(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8", hint="fix that file of the fleet") from None
    except _UNREADABLE as err:
        # A fleet file holds pillar, and a message may hold any of it. Nor may the cause get into a log.
        mark = getattr(err, "problem_mark", None)
        place = f":{mark.line + 1}" if mark else ""
        why = f"{path}{place}: {pillar_errors.kind_of_yaml(err)}"
        raise ConfigError(why, hint="fix that file of the fleet") from None
    if not isinstance(data, dict) or not isinstance(data.get("grains"), dict):
        raise ConfigError(f"{path}: no grains", hint="start with `grains:` and a mapping below it")
    for key in data:
        if key not in _KEYS:
            hint = f"known ones: {', '.join(_KEYS)}; is one below them not indented?"
            raise ConfigError(f"{path}{_place_of(key, text)}: unknown key", hint=hint)
    for key in ("pillar", "returns"):
        if not isinstance(data.get(key, {}) or {}, dict):
            raise ConfigError(f"{path}: {key} is not a mapping")
    if not travels(data):
        hint = "quote such keys, and write out what an alias repeats"
        raise ConfigError(f"{path}: a date as a key, or aliases without end", hint=hint)
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
    recorded, grains = data.get("recorded"), data["grains"]
    return Minion(
        id=minion_id,
        saltenv=claims[0][0],
        grains=grains if isinstance(grains, Grains) else {**grains, "id": minion_id},
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


def as_text(data: Mapping[str, Any]) -> str:
    """What the file of a minion holds."""
    text: str = yaml.safe_dump(dict(data), sort_keys=True, default_flow_style=False, width=1000)
    return text


def plain(value: Any) -> Any:
    """`value` of nothing but what YAML has."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(v) for v in value]
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)
