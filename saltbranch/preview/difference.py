"""What differs for a minion, as values: states, files, pillar; and what of it may be shown."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from saltbranch.compiler.model import without_digest
from saltbranch.preview.contents import ChangedContent
from saltbranch.preview.pillar_paths import Origins

Side = Literal["after", "both", "before"]
"""Which side of a comparison something is true of."""


@dataclass(frozen=True, slots=True)
class ChangedState:
    """A state that both sides have. arguments: name to old and new value, each as far as it may be
    shown (``{"masked": digest}`` otherwise), None where a side has no such argument.
    """

    key: str
    sls: str
    path: str
    line: int | None
    arguments: Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class OneState:
    """A state that one side has, with its arguments as far as they may be shown."""

    key: str
    sls: str
    path: str
    line: int | None
    arguments: Mapping[str, Any]
    stays: bool = False


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """A ``salt://`` source whose content differs, and the states that use it.

    content: stands for the new content, empty where the file is gone.
    """

    source: str
    keys: tuple[str, ...]
    content: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """All that one minion's two sides differ in. contents: of files, as far as that is known. origins: where hidden
    values come from.
    """

    added: tuple[OneState, ...] = ()
    removed: tuple[OneState, ...] = ()
    changed: tuple[ChangedState, ...] = ()
    reordered: tuple[str, ...] = ()
    files: tuple[ChangedFile, ...] = ()
    contents: tuple[ChangedContent, ...] = ()
    pillar_added: tuple[str, ...] = ()
    pillar_removed: tuple[str, ...] = ()
    pillar_changed: tuple[str, ...] = ()
    ignored: int = 0
    origins: Origins = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether there is any, what is ignored aside."""
        return any(getattr(self, name) for name in self.__dataclass_fields__ if name not in _BESIDE)

    def as_dict(self) -> dict[str, Any]:
        """Plain data, the three layers of `--json`."""
        return {
            "states": {
                "added": [s.key for s in self.added],
                "removed": [s.key for s in self.removed],
                "changed": [
                    {
                        "key": s.key,
                        "sls": s.sls,
                        "path": s.path,
                        "line": s.line,
                        "arguments": {n: list(pair) for n, pair in s.arguments.items()},
                    }
                    for s in self.changed
                ],
                "reordered": list(self.reordered),
                "places": {
                    s.key: {"sls": s.sls, "path": s.path, "line": s.line}
                    for s in (*self.added, *self.removed)
                },
                "stays": [s.key for s in self.removed if s.stays],
                "origins": {
                    key: {name: list(paths) for name, paths in found.items()}
                    for key, found in self.origins.items()
                },
            },
            "files": [{"source": f.source, "keys": list(f.keys)} for f in self.files],
            "contents": [
                {
                    "source": c.source,
                    "keys": list(c.keys),
                    "lines": list(c.lines),
                    "more": c.more,
                    **({"of": c.of} if c.of else {}),
                }
                for c in self.contents
            ],
            "pillar": {
                "added": list(self.pillar_added),
                "removed": list(self.pillar_removed),
                "changed": list(self.pillar_changed),
            },
        }

    def signature(self) -> str:
        """Equal for minions with the same difference. A masked value counts as masked: two minions
        that get different passwords from the same edit are one group.
        """
        if not self:
            return ""
        data = asdict(self)
        for name in _BESIDE:
            del data[name]
        return hashlib.sha256(json.dumps(_unmasked(data), sort_keys=True).encode()).hexdigest()


# What tells of a difference and is none.
_BESIDE = ("ignored", "origins")


Result = Literal["ok", "partial", "failed"]


@dataclass(frozen=True, slots=True)
class Sided:
    """What one side of a comparison says, or both do."""

    side: Side
    text: str

    def __str__(self) -> str:
        return self.text if self.side == "both" else f"{self.side}: {self.text}"


@dataclass(frozen=True, slots=True)
class MinionDiff:
    """One minion. difference: None when a side could not be compiled at all. compared: how many states were.

    errors: each in one line.
    """

    minion: str
    saltenv: str
    result: Result
    errors: tuple[Sided, ...]
    notes: tuple[str, ...]
    difference: Difference | None
    compared: int = 0

    @property
    def has_new_errors(self) -> bool:
        """Whether the new side has an error that the old one has not."""
        return any(error.side == "after" for error in self.errors)

    @property
    def error(self) -> str | None:
        """All errors, a line each, those of one side with its name."""
        return "\n".join(map(str, self.errors)) or None

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        found = self.difference if self.difference is not None else Difference()
        return {
            "saltenv": self.saltenv,
            "result": self.result,
            "error": self.error,
            "notes": list(self.notes),
            "compared": self.compared,
            **found.as_dict(),
        }


def _unmasked(value: Any) -> Any:
    """`value` with every masked value alike."""
    if isinstance(value, Mapping):
        if set(value) == {"masked"}:
            return {"masked": True}
        return {nameless(str(k)): _unmasked(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_unmasked(item) for item in value]
    return nameless(value) if isinstance(value, str) else value


# What keys end with where a name may not be shown: a keyed digest, the cache's own (compiler/inside/describe.py).
_OF_NAME = re.compile(r"(?<= #)~[0-9a-f]{8}$")


def nameless(key: str) -> str:
    """`key` without digests, which are others on another machine."""
    return _OF_NAME.sub("", without_digest(key))


def is_masked(value: Any) -> bool:
    """Whether `value` is a digest in the place of a value of the pillar."""
    return isinstance(value, Mapping) and set(value) == {"masked"}


def placed(diff: MinionDiff, old: Callable[[str], str], new: Callable[[str], str]) -> MinionDiff:
    """`diff` with states where their files are in the repository; `old` and `new` say so of either side."""
    found = diff.difference
    if found is None or not (found.added or found.removed or found.changed):
        return diff
    return replace(
        diff,
        difference=replace(
            found,
            added=tuple(replace(s, path=new(s.path)) for s in found.added),
            removed=tuple(replace(s, path=old(s.path)) for s in found.removed),
            changed=tuple(replace(s, path=new(s.path)) for s in found.changed),
        ),
    )
