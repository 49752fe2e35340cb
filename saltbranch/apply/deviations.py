"""Where test runs of minions differ from what a commit changes by the preview. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from saltbranch.apply.groups import MINION
from saltbranch.apply.outcome import Change, Run, short
from saltbranch.compiler.model import Chunk, without_digest
from saltbranch.preview.difference import Difference, MinionDiff, is_masked

_REQUISITES = (
    "require", "require_any", "watch", "watch_any", "listen", "onchanges", "onchanges_any",
    "onfail", "onfail_any", "onfail_all", "prereq", "use", "order",
)  # fmt: skip
_FOLLOWS = ("watch", "watch_any", "listen", "onchanges", "onchanges_any", "prereq")
# What a test run says "would be executed" of, whatever the minion is like.
_EACH_TIME = frozenset(
    {"cmd.run", "cmd.script", "cmd.call", "module.run", "event.send", "http.query", "saltmod.function"}
)  # fmt: skip


@dataclass(frozen=True, slots=True, order=True)
class Named:
    """A state, as people find it in the repository."""

    sls: str
    id: str
    function: str

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"sls": self.sls, "id": self.id, "function": self.function}


@dataclass(frozen=True, slots=True)
class Deviation:
    """Minions of which the same is to be said.

    more: what would change there though the commit changes nothing about it. each_time: such states that a test run
    always announces. fewer: what the commit changes, and the test run does not.
    """

    minions: tuple[str, ...]
    more: tuple[Named, ...]
    each_time: tuple[Named, ...]
    fewer: tuple[Named, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "minions": list(self.minions),
            "more": [n.as_dict() for n in self.more],
            "each_time": [n.as_dict() for n in self.each_time],
            "fewer": [n.as_dict() for n in self.fewer],
        }


@dataclass(frozen=True, slots=True)
class Deviations:
    """compared: how many minions were. unknown: minion to why it was not."""

    found: tuple[Deviation, ...]
    compared: int
    unknown: Mapping[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "compared": self.compared,
            "deviations": [d.as_dict() for d in self.found],
            "unknown": dict(self.unknown),
        }


@dataclass(frozen=True, slots=True)
class _State:
    """A state by the preview. is_hidden: its ID, or a word of it, may not be told."""

    id: str
    function: str
    sls: str
    is_hidden: bool

    def means(self, change: Change) -> bool:
        """Whether a change of a test run is one of this state."""
        if self.function != change.function:
            return False
        return self.sls in ("", change.sls) if self.is_hidden else self.id == change.id


def _state(key: str, sls: str = "") -> _State:
    name, _, function = key.rpartition(" | ")
    is_hidden = "***" in key or "\0" in key or without_digest(key) != key
    return _State(short(name), function.partition(" #")[0], sls, is_hidden)


def changed_states(difference: Difference) -> tuple[set[_State], set[_State]]:
    """The states that a commit changes in any way, and those of them of which a test run should find something."""
    real = {_state(s.key, s.sls) for s in difference.added}
    other = set[_State]()
    for state in difference.changed:
        is_real = any(name not in _REQUISITES for name in state.arguments)
        (real if is_real else other).add(_state(state.key, state.sls))
    files = [f.keys for f in difference.files] + [c.keys for c in difference.contents]
    real |= {_state(key) for keys in files for key in keys}
    return real | other, real


def followers(chunks: Iterable[Chunk], begin: Iterable[_State]) -> list[_State]:
    """The states that do something because others change, beginning with those of `begin`."""
    known = [(_state(c.key, c.sls), c) for c in chunks]
    begun = {(s.id, s.function): s for s in begin}
    found = [s for s, _ in known if (s.id, s.function) in begun]
    found += [s for s in begun.values() if s.is_hidden]
    left, before = known, -1
    while len(found) != before:
        before = len(found)
        # What others name them by: their IDs, names and sls files.
        names = {(s.function.partition(".")[0], s.id) for s in found} | {
            ("sls", s.sls) for s in found
        }
        for state, chunk in known:
            if state in found and isinstance(name := chunk.arguments.get("name"), str):
                names.add((state.function.partition(".")[0], short(name)))
        is_open = any(s.is_hidden for s in found)
        follow = [(s, c) for s, c in left if s not in found and _is_after(c, names, is_open)]
        found += [state for state, _ in follow]
        left = [one for one in left if one not in follow]
    return found


def _is_after(chunk: Chunk, names: set[tuple[str, str]], is_open: bool) -> bool:  # noqa: FBT001
    """Whether a state goes by one of those with these names. is_open: by any, as a name of them is not known."""
    for requisite in _FOLLOWS:
        entries = chunk.arguments.get(requisite)
        if not entries:
            continue
        if is_open or not isinstance(entries, Sequence) or isinstance(entries, str):
            return True
        for entry in entries:
            if not isinstance(entry, Mapping) or any(map(is_masked, (entry, *entry.values()))):
                return True  # its words may not be told
            named = {(str(module), short(str(what))) for module, what in entry.items()}
            if named & names or any(("id", name) in named for _, name in names):
                return True
    return False


@dataclass(frozen=True, slots=True)
class Found:
    """What a test run would change besides, and what it lacks."""

    more: tuple[Change, ...]
    fewer: tuple[_State, ...]


def deviates(run: Run, diff: MinionDiff | None, chunks: Sequence[Chunk] = ()) -> Found:
    """Compare a test run with the preview. diff: None where the commit brings nothing.

    chunks: the states with the commit, to tell what only follows from others that change.
    """
    difference = diff.difference if diff else None
    any_, real = changed_states(difference) if difference else (set(), set())
    explained = followers(chunks, any_) if any_ else []
    more = [c for c in run.changes if not any(s.means(c) for s in (*any_, *explained))]
    fewer = [s for s in real if not any(s.means(c) for c in run.changes)]
    # A state that fails in the test run may well change something.
    return Found(tuple(more), () if run.failed else tuple(fewer))


def grouped(found: Mapping[str, Found], unknown: Mapping[str, str]) -> Deviations:
    """The minions by what is to be said of them, the most first."""
    by_key: dict[tuple[tuple[Named, ...], ...], list[str]] = {}
    for minion, one in sorted(found.items()):
        names = [Named(c.sls, c.id.replace(minion, MINION), c.function) for c in one.more]
        key = (
            tuple(sorted({n for n in names if n.function not in _EACH_TIME})),
            tuple(sorted({n for n in names if n.function in _EACH_TIME})),
            tuple(
                sorted({Named(s.sls, s.id.replace(minion, MINION), s.function) for s in one.fewer})
            ),
        )
        if any(key):
            by_key.setdefault(key, []).append(minion)
    rows = [Deviation(tuple(ids), *key) for key, ids in by_key.items()]
    rows.sort(key=lambda row: (-len(row.minions), row.minions))
    return Deviations(tuple(rows), len(found), dict(sorted(unknown.items())))
