"""What two compiled highstates differ in: states, files and pillar, and which minions share it.

Pure. A list of chunks is compared as a set by key; what Salt calls `order` is a consequence of where a
state stands, so one inserted state would seem to change all behind it. States that both sides have and
that were written down in another order, and therefore run in another one, are told apart; what a
requisite moves is not, for the requisite itself shows.
"""

from __future__ import annotations

import fnmatch
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from saltbranch.compiler.inside.rendered_lines import OPEN, PILLAR
from saltbranch.compiler.model import Chunk, Compiled, Which, hidden_name
from saltbranch.preview import contents as content
from saltbranch.preview import pillar_paths
from saltbranch.preview.contents import NOTHING, ChangedContent, Compared, Contents
from saltbranch.preview.difference import (
    ChangedFile,
    ChangedState,
    Difference,
    MinionDiff,
    OneState,
    Result,
    Sided,
    is_masked,
)
from saltbranch.preview.leftovers import Leftovers
from saltbranch.preview.pillar_paths import Pillars
from saltbranch.preview.reordered import reordered


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
class Telling:
    """How hidden values are told and compared. key: a `Chunk.key`, or the name of an argument, as people may read it.
    digest: of a value of this
    minion, as the sandbox makes it; None where it is not known.
    """

    key: Callable[[str], str] = str
    digest: Callable[[Any], str] | None = None

    def of(self, chunk: Chunk) -> Chunk:
        """`chunk` under the key, and with the names of arguments, that may be told."""
        key, named = self.key(chunk.key), {self.key(n): v for n, v in chunk.arguments.items()}
        if key == chunk.key and named == chunk.arguments:
            return chunk
        return replace(chunk, key=key, arguments=named)

    def pairs(self, old: Chunk, new: Chunk) -> dict[str, tuple[Any, Any]]:
        """Every argument of either, by the name that may be told, with both values: a name that is hidden on one
        side only is the same, and stays hidden.
        """
        one, other = (self._named(side, beside) for side, beside in ((old, new), (new, old)))
        names = [*other, *(n for n in one if n not in other)]
        return {self.key(n): (one.get(n), other.get(n)) for n in names}

    def _named(self, chunk: Chunk, beside: Chunk) -> Mapping[str, Any]:
        """The arguments of `chunk` under the names that `beside` hides."""
        hidden = {hidden_name(n): n for n in beside.arguments if n not in chunk.arguments}
        if self.digest is None or not any(hidden):
            return chunk.arguments
        return {hidden.get(self.digest(n)[:8], n): v for n, v in chunk.arguments.items()}

    def are_same(self, one: Any, other: Any) -> bool:
        """Whether two values are, of which one may be hidden and the other not."""
        if one == other or self.digest is None:
            return bool(one == other)
        if is_masked(one) == is_masked(other):
            return False
        hidden, shown = (one, other) if is_masked(one) else (other, one)
        return bool(hidden["masked"] == self.digest(shown))


def compare(
    saltenv: str,
    old: Compiled,
    new: Compiled,
    sources: tuple[Sources, Sources],
    *,
    states_dir: str,
    ignore: Sequence[Ignore] = (),
    telling: Telling = Telling(),
    contents: Contents = NOTHING,
) -> MinionDiff:
    """What `new` differs from `old` in, for one minion."""
    notes = tuple(dict.fromkeys(map(str, _sided(old.notes, new.notes))))
    errors = tuple(
        Sided(e.side, " ".join(e.text.splitlines())) for e in _sided(old.errors, new.errors)
    )
    vanished = _vanished(old, new)
    if vanished or "failed" in (old.result, new.result):
        found = (*errors, *vanished) or (Sided("both", "no result"),)
        return MinionDiff(old.minion, saltenv, "failed", found, notes, difference=None)
    held = _Held(sources, states_dir)
    files = _files(old, new, held, telling, contents)
    notes = (*notes, *files.notes)
    if old is new:  # one entry of the cache holds for both sides: nothing else can differ
        difference = Difference(files=files.files, contents=files.contents)
    else:
        difference = _difference(old, new, files, ignore, telling)
    result: Result = "partial" if errors else "ok"
    compared = new.brief.keys
    if old is not new:
        compared = len({c.key for side in (old, new) for c in side.chunks})
    return MinionDiff(
        old.minion, saltenv, result, errors, notes, difference=difference, compared=compared
    )


def _sided(one: Sequence[str], other: Sequence[str]) -> list[Sided]:
    """What the old side says and what the new one says, together where it is the same."""
    return [
        *(Sided("both", text) for text in one if text in other),
        *(Sided("before", text) for text in one if text not in other),
        *(Sided("after", text) for text in other if text not in one),
    ]


def _vanished(old: Compiled, new: Compiled) -> list[Sided]:
    """A side without any states is hardly ever meant: never "everything removed"."""
    if old.chunks and not new.chunks:
        text = f"no states are left of {len(old.chunks)}; if that is meant, the minion should leave the fleet"
        return [Sided("after", text)]
    return []


def _difference(
    old: Compiled,
    new: Compiled,
    files: _Files,
    ignore: Sequence[Ignore],
    telling: Telling,
) -> Difference:
    which_of = Which(old.chunks, new.chunks)
    before = {which_of(c): c for c in old.chunks}
    after = {which_of(c): c for c in new.chunks}
    ignored = 0
    changed, differ = [], set()
    for which in (w for w in after if w in before):
        arguments = _arguments(before[which], after[which], telling)
        if not arguments:
            continue
        c = telling.of(after[which])
        kept = {n: v for n, v in arguments.items() if not _is_ignored(ignore, c, n)}
        ignored += len(arguments) - len(kept)
        if kept:
            differ.add(which)
            changed.append(ChangedState(c.key, c.sls, c.path, c.line, kept))
    added = [telling.of(c) for which, c in after.items() if which not in before]
    removed = [telling.of(c) for which, c in before.items() if which not in after]
    shown_added = [c for c in added if not _is_ignored(ignore, c, None)]
    shown_removed = [c for c in removed if not _is_ignored(ignore, c, None)]
    ignored += len(added) + len(removed) - len(shown_added) - len(shown_removed)
    gone, come, other = _pillar(old.pillar, new.pillar)
    moved = reordered(old.chunks, new.chunks, differ, which_of)
    # What an error of the new side keeps out is not known to be removed.
    sure = set(new.errors) <= set(old.errors)
    left = Leftovers(new.chunks) if shown_removed and sure else None
    pillars = Pillars(old.pillar, new.pillar)
    pairs = [(c.key, c.arguments) for c in changed]
    return Difference(
        added=tuple(_one(c) for c in shown_added),
        removed=tuple(_one(c, stays=bool(left and left.stay(c))) for c in shown_removed),
        changed=tuple(changed),
        reordered=tuple(telling.key(after[which].key) for which in moved),
        files=files.files,
        contents=files.contents,
        pillar_added=come,
        pillar_removed=gone,
        pillar_changed=other,
        ignored=ignored,
        origins=pillar_paths.found(pillars, shown_removed, shown_added, pairs),
    )


def _one(chunk: Chunk, *, stays: bool = False) -> OneState:
    return OneState(
        key=chunk.key,
        sls=chunk.sls,
        path=chunk.path,
        line=chunk.line,
        arguments=chunk.arguments,
        stays=stays,
    )


def _arguments(old: Chunk, new: Chunk, telling: Telling) -> dict[str, tuple[Any, Any]]:
    """Every argument that differs."""
    pairs = telling.pairs(old, new)
    return {n: pair for n, pair in pairs.items() if not telling.are_same(*pair)}


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


@dataclass(frozen=True, slots=True)
class _Files:
    """The layer of files. notes: what has to be said of how they were compared."""

    files: tuple[ChangedFile, ...]
    contents: tuple[ChangedContent, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Held:
    """What stands for a file of the states, on either side."""

    sources: tuple[Sources, Sources]
    states_dir: str

    def tokens(self, path: str) -> tuple[str | None, ...]:
        """Of the file at `path` below the states."""
        return tuple(s.source(f"{self.states_dir}/{path}") for s in self.sources)

    def has_moved(self, result: Compiled) -> bool:
        """Whether any file that the states of one result name is another on the other side."""
        one, other = self.sources
        paths = [f"{self.states_dir}/{path}" for path in result.brief.sources]
        return any(one.source(path) != other.source(path) for path in paths)


def _files(
    old: Compiled, new: Compiled, held: _Held, telling: Telling, contents: Contents
) -> _Files:
    """What the files of states that both sides have differ in: by what they hold where that is known, and else by all
    that they may be made of.
    """
    if old is new and not contents.compared and not held.has_moved(new):
        return _Files((), (), ())
    which_of = Which(old.chunks, new.chunks)
    before = {which_of(c): c for c in old.chunks}
    pillar = dict(old.pillar) != dict(new.pillar)
    layer = _Layer(contents, held.tokens, pillar=pillar)
    for chunk in new.chunks:
        which = which_of(chunk)
        prior = before.get(which)
        if prior is not None:
            layer.add(which, prior, chunk, _used(prior, chunk, telling), telling.key(chunk.key))
    return layer.done()


_Token = Callable[[str], tuple[str | None, ...]]


class _Layer:
    """Takes in the states that both sides have. token: what stands for a file, on either side."""

    def __init__(self, contents: Contents, token: _Token, *, pillar: bool) -> None:
        """pillar: whether the minion's differs."""
        self.contents, self.token = contents, functools.cache(token)
        self.has_pillar_changed = pillar
        self.users: dict[str, list[str]] = {}
        self.parts: list[ChangedContent] = []
        self.notes: list[str] = []
        self.rendered: set[str] = set()

    def add(self, which: str, old: Chunk, new: Chunk, used: Sequence[str], key: str) -> None:
        moved = [path for path in used if len(set(self.token(path))) > 1]
        compared = self.contents.compared.get(which)
        if compared is not None:
            self.parts += [replace(part, keys=(key,)) for part in compared.parts]
            if compared.reason:
                moved = self._unsure(compared, old.template + new.template, moved, used)
            elif not compared.parts:
                self.notes += [_SAME.format(f"salt://{path}") for path in moved]
                return
            if compared.parts or not compared.reason:
                self.rendered.update(moved)
        for path in moved:
            self.users.setdefault(path, []).append(key)

    def _unsure(
        self, compared: Compared, flags: str, moved: list[str], used: Sequence[str]
    ) -> list[str]:
        """The sources that count where the content does not settle it."""
        name = f"salt://{compared.source or next(iter(used), '')}"
        by_pillar = self.has_pillar_changed and PILLAR in flags
        may_reach = OPEN in flags and self.contents.moved or (by_pillar and not compared.is_known)
        if not moved and may_reach:
            moved = [path for path in used if not path.endswith("/")][:1]
        if moved or compared.parts or by_pillar:
            self.notes.append(f"{name} is compared by its sources: {compared.reason}")
        return moved

    def done(self) -> _Files:
        files = []
        for path in sorted(self.users):
            keys = tuple(dict.fromkeys(self.users[path]))
            files.append(ChangedFile(f"salt://{path}", keys, self.token(path)[1] or ""))
            if path in self.rendered:
                continue
            inner = (
                [p for p in self.contents.moved if p.startswith(path)]
                if path[-1] == "/"
                else [path]
            )
            for name in inner:
                plain = self.contents.plain(name)
                if plain is not None and plain[0]:
                    self.parts.append(ChangedContent(f"salt://{name}", keys, *plain))
        notes = tuple(dict.fromkeys(self.notes))
        return _Files(tuple(files), content.merged(self.parts), notes)


_SAME = "{} changed, and nothing that is made of it"


def _used(old: Chunk, new: Chunk, telling: Telling) -> list[str]:
    """The sources that count for a state of both sides. One that only one side names counts where the state names the
    same ones: there it may be a file that is new, whose name could not be told before.
    """
    if old.sources == new.sources:
        return [*new.sources]
    if any(name.startswith("source") for name in _arguments(old, new, telling)):
        return sorted({*old.sources} & {*new.sources})
    return sorted({*old.sources, *new.sources})


def _pillar(
    old: Mapping[str, str], new: Mapping[str, str]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Paths removed, added and changed."""
    return (
        tuple(sorted(path for path in old if path not in new)),
        tuple(sorted(path for path in new if path not in old)),
        tuple(sorted(p for p, value in new.items() if p in old and old[p] != value)),
    )
