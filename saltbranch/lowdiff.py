"""What two compiled highstates differ in: states, files and pillar, and which minions share it.

Pure. A list of chunks is compared as a set by key; what Salt calls `order` is a consequence of where a
state stands, so one inserted state would seem to change all behind it. States that both sides have and
that were written down in another order, and therefore run in another one, are told apart; what a
requisite moves is not, for the requisite itself shows.
"""

from __future__ import annotations

import bisect
import fnmatch
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

from saltbranch.compiler.model import Chunk, Compiled

# What stays on the minion when its state is removed from the tree: a highstate undoes nothing, but
# of these people expect it most.
_STAYS = (
    "user.present", "group.present", "file.managed", "file.directory", "file.recurse", "file.symlink",
    "file.line", "file.replace", "file.blockreplace", "file.append", "pkg.installed", "pkg.latest",
    "pip.installed", "pkgrepo.managed", "service.running", "service.enabled", "cron.present",
    "host.present", "mount.mounted", "ssh_auth.present", "sysctl.present", "iptables.*", "firewalld.*",
    "mysql_*.*", "postgres_*.*", "docker_*.*", "git.latest", "git.cloned", "archive.extracted",
    "alternatives.*", "locale.*", "timezone.system", "lvm.*", "network.*", "ini.*",
)  # fmt: skip

_AFTER = "after: "


class Ignore(Protocol):
    """One entry of the configuration's `ignore:`."""

    @property
    def state(self) -> str:
        """A glob of keys or of ``module.function``."""

    @property
    def sls(self) -> str:
        """A glob of sls names."""

    @property
    def argument(self) -> str | None:
        """A glob of arguments; None for whole states."""


class Sources(Protocol):
    """Where the content of ``salt://`` sources comes from: a tree of either side."""

    def source(self, path: str) -> str | None:
        """A token for the content of `path`, inside the repository."""


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
    """All that one minion's two sides differ in."""

    added: tuple[OneState, ...] = ()
    removed: tuple[OneState, ...] = ()
    changed: tuple[ChangedState, ...] = ()
    reordered: tuple[str, ...] = ()
    files: tuple[ChangedFile, ...] = ()
    pillar_added: tuple[str, ...] = ()
    pillar_removed: tuple[str, ...] = ()
    pillar_changed: tuple[str, ...] = ()
    ignored: int = 0

    def __bool__(self) -> bool:
        """Whether there is any, what is ignored aside."""
        return any(getattr(self, name) for name in self.__dataclass_fields__ if name != "ignored")

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
            },
            "files": [{"source": f.source, "keys": list(f.keys)} for f in self.files],
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
        del data["ignored"]
        return hashlib.sha256(json.dumps(_unmasked(data), sort_keys=True).encode()).hexdigest()


Result = Literal["ok", "partial", "failed"]


@dataclass(frozen=True, slots=True)
class MinionDiff:
    """One minion. difference: None when a side could not be compiled at all."""

    minion: str
    saltenv: str
    result: Result
    error: str | None
    notes: tuple[str, ...]
    difference: Difference | None

    @property
    def has_new_errors(self) -> bool:
        """Whether the new side has an error that the old one has not."""
        return any(line.startswith(_AFTER) for line in (self.error or "").splitlines())

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        empty = Difference().as_dict()
        return {
            "saltenv": self.saltenv,
            "result": self.result,
            "error": self.error,
            "notes": list(self.notes),
            **(self.difference.as_dict() if self.difference is not None else empty),
        }


def compare(
    saltenv: str,
    old: Compiled,
    new: Compiled,
    sources: tuple[Sources, Sources],
    states_dir: str,
    ignore: Sequence[Ignore] = (),
) -> MinionDiff:
    """What `new` differs from `old` in, for one minion."""
    notes = tuple(dict.fromkeys((*_sided(old, new, "notes"),)))
    errors = _sided(old, new, "errors")
    vanished = _vanished(old, new)
    if vanished or "failed" in (old.result, new.result):
        error = "\n".join([*errors, *vanished]) or "no result"
        return MinionDiff(old.minion, saltenv, "failed", error, notes, None)
    if old is new:  # one entry of the cache holds for both sides: nothing else can differ
        difference = Difference(files=_files(old, new, sources, states_dir))
    else:
        difference = _difference(old, new, sources, states_dir, ignore)
    result: Result = "partial" if errors else "ok"
    return MinionDiff(old.minion, saltenv, result, "\n".join(errors) or None, notes, difference)


def _sided(old: Compiled, new: Compiled, what: str) -> list[str]:
    """What both sides say, each under the name of its side, together where it is the same."""
    one, other = getattr(old, what), getattr(new, what)
    both = [text for text in one if text in other]
    return [
        *both,
        *(f"before: {text}" for text in one if text not in other),
        *(f"{_AFTER}{text}" for text in other if text not in one),
    ]


def _vanished(old: Compiled, new: Compiled) -> list[str]:
    """A side without any states is hardly ever meant: never "everything removed"."""
    if old.chunks and not new.chunks:
        return [f"{_AFTER}no states are left of {len(old.chunks)}; if that is meant, the minion should"
                " leave the fleet"]  # fmt: skip
    return []


def _difference(
    old: Compiled,
    new: Compiled,
    sources: tuple[Sources, Sources],
    states_dir: str,
    ignore: Sequence[Ignore],
) -> Difference:
    before = {c.key: c for c in old.chunks}
    after = {c.key: c for c in new.chunks}
    ignored = 0
    changed = []
    for key in (k for k in after if k in before):
        arguments = _arguments(before[key], after[key])
        kept = {n: v for n, v in arguments.items() if not _is_ignored(ignore, after[key], n)}
        ignored += len(arguments) - len(kept)
        if kept:
            c = after[key]
            changed.append(ChangedState(key, c.sls, c.path, c.line, kept))
    added = [c for key, c in after.items() if key not in before]
    removed = [c for key, c in before.items() if key not in after]
    shown_added = [c for c in added if not _is_ignored(ignore, c, None)]
    shown_removed = [c for c in removed if not _is_ignored(ignore, c, None)]
    ignored += len(added) + len(removed) - len(shown_added) - len(shown_removed)
    gone, come, other = _pillar(old.pillar, new.pillar)
    return Difference(
        added=tuple(_one(c) for c in shown_added),
        removed=tuple(_one(c, stays=_stays(c)) for c in shown_removed),
        changed=tuple(changed),
        reordered=_reordered(old.chunks, new.chunks, {c.key for c in changed}),
        files=_files(old, new, sources, states_dir),
        pillar_added=come,
        pillar_removed=gone,
        pillar_changed=other,
        ignored=ignored,
    )


def _one(chunk: Chunk, *, stays: bool = False) -> OneState:
    return OneState(chunk.key, chunk.sls, chunk.path, chunk.line, chunk.arguments, stays)


def _arguments(old: Chunk, new: Chunk) -> dict[str, tuple[Any, Any]]:
    """Every argument that differs. A value that only one side may show counts as changed."""
    names = [*new.arguments, *(n for n in old.arguments if n not in new.arguments)]
    pairs = {n: (old.arguments.get(n), new.arguments.get(n)) for n in names}
    return {n: pair for n, pair in pairs.items() if pair[0] != pair[1]}


def _is_ignored(ignore: Sequence[Ignore], chunk: Chunk, argument: str | None) -> bool:
    for rule in ignore:
        if not (
            fnmatch.fnmatchcase(chunk.key, rule.state)
            or fnmatch.fnmatchcase(chunk.module, rule.state)
        ) or not fnmatch.fnmatchcase(chunk.sls, rule.sls):
            continue
        if rule.argument is None or (
            argument is not None and fnmatch.fnmatchcase(argument, rule.argument)
        ):
            return True
    return False


def _stays(chunk: Chunk) -> bool:
    return any(fnmatch.fnmatchcase(chunk.module, pattern) for pattern in _STAYS)


def _reordered(old: Sequence[Chunk], new: Sequence[Chunk], changed: set[str]) -> tuple[str, ...]:
    """The fewest states whose moving explains that the others stand in another order, as far as they
    also run in another one; those aside that changed anyway.
    """
    before = {c.key: c.place for c in old if c.place is not None and c.key not in changed}
    written = [c for c in new if c.place is not None and c.key in before]
    written.sort(key=lambda c: c.place or 0)
    kept = set(_longest_rising([before[c.key] or 0 for c in written]))
    moved = {c.key for n, c in enumerate(written) if n not in kept}
    if not moved:
        return ()
    keys = [c.key for c in old if c.key in before]
    ran = {key: n for n, key in enumerate(keys)}
    runs = [c.key for c in new if c.key in ran]
    return tuple(key for n, key in enumerate(runs) if key in moved and _overtook(n, runs, ran))


def _overtook(place: int, runs: Sequence[str], ran: Mapping[str, int]) -> bool:
    """Whether a state runs before one that it ran after, or the other way round."""
    then = ran[runs[place]]
    return any(ran[key] > then for key in runs[:place]) or any(
        ran[key] < then for key in runs[place + 1 :]
    )


def _longest_rising(numbers: Sequence[float]) -> list[int]:
    """The indices of a longest rising subsequence (patience sorting)."""
    tails: list[float] = []
    ends: list[int] = []
    previous: list[int] = []
    for index, number in enumerate(numbers):
        place = bisect.bisect_left(tails, number)
        previous.append(ends[place - 1] if place else -1)
        if place == len(tails):
            tails.append(number)
            ends.append(index)
        else:
            tails[place], ends[place] = number, index
    found, index = [], ends[-1] if ends else -1
    while index >= 0:
        found.append(index)
        index = previous[index]
    return found[::-1]


def _files(
    old: Compiled, new: Compiled, sources: tuple[Sources, Sources], states_dir: str
) -> tuple[ChangedFile, ...]:
    before = {c.key: set(c.sources) for c in old.chunks}
    users: dict[str, list[str]] = {}
    for chunk in new.chunks:
        for path in chunk.sources:
            if path in before.get(chunk.key, ()):
                users.setdefault(path, []).append(chunk.key)
    found = []
    for path in sorted(users):
        one, other = (side.source(f"{states_dir}/{path}") for side in sources)
        if one != other:
            found.append(ChangedFile(f"salt://{path}", tuple(users[path]), other or ""))
    return tuple(found)


def _pillar(
    old: Mapping[str, str], new: Mapping[str, str]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Paths removed, added and changed."""
    return (
        tuple(sorted(path for path in old if path not in new)),
        tuple(sorted(path for path in new if path not in old)),
        tuple(sorted(p for p, value in new.items() if p in old and old[p] != value)),
    )


def _unmasked(value: Any) -> Any:
    """`value` with every masked value alike."""
    if isinstance(value, Mapping):
        if set(value) == {"masked"}:
            return {"masked": True}
        return {nameless(str(k)): _unmasked(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_unmasked(item) for item in value]
    return nameless(value) if isinstance(value, str) else value


# What keys end with where a name may not be shown: keyed digests, the cache's own (compiler/describing.py).
_DIGESTS = re.compile(r" ~[0-9a-f]{8}(?= \| )|(?<= #)~[0-9a-f]{8}$")


def nameless(key: str) -> str:
    """`key` without digests, which are others on another machine."""
    return _DIGESTS.sub("", key)


@dataclass(frozen=True, slots=True)
class Group:
    """Minions with the same difference."""

    minions: tuple[str, ...]
    difference: Difference


def group(diffs: Iterable[MinionDiff]) -> tuple[Group, ...]:
    """The groups, the largest first; minions without a difference are in none."""
    found: dict[str, list[MinionDiff]] = {}
    for diff in diffs:
        if diff.difference:
            found.setdefault(diff.difference.signature(), []).append(diff)
    groups = [
        Group(tuple(sorted(d.minion for d in members)), members[0].difference)
        for members in found.values()
        if members[0].difference
    ]
    return tuple(sorted(groups, key=lambda g: (-len(g.minions), g.minions)))
