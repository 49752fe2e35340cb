"""Minions whose difference looks the same are one group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from saltbranch.preview.contents import ChangedContent
from saltbranch.preview.difference import Difference, MinionDiff, OneState, is_masked, nameless
from saltbranch.preview.pillar_paths import Origins


@dataclass(frozen=True, slots=True)
class Group:
    """Minions with the same difference, which holds what all of them share: an argument that may be shown on
    some of them only is hidden.
    """

    minions: tuple[str, ...]
    difference: Difference


def group(diffs: Iterable[MinionDiff]) -> tuple[Group, ...]:
    """The groups, the largest first; minions without a difference are in none.

    What looks the same is one group: an argument that is hidden on one minion and not on another, because its
    pillar happens to hold the same word, makes no two. The digest of a diff tells them apart all the same.
    """
    found: dict[str, list[tuple[str, Difference]]] = {}
    for diff in diffs:
        if diff.difference:
            found.setdefault(_look(diff.difference), []).append((diff.minion, diff.difference))
    groups = [
        Group(
            tuple(sorted(name for name, _ in members)),
            _shared([d for _, d in members], members[0][0]),
        )
        for members in found.values()
    ]
    return tuple(sorted(groups, key=lambda g: (-len(g.minions), g.minions)))


def _look(difference: Difference) -> str:
    """The signature of what is told of `difference`; of contents only whose, for each minion's own name may stand
    in there.
    """

    def pair(old: Any, new: Any) -> tuple[Any, Any]:
        return (_HIDDEN, _HIDDEN) if is_masked(old) or is_masked(new) else (old, new)

    return replace(
        difference,
        added=tuple(replace(s, arguments={}) for s in difference.added),
        removed=tuple(replace(s, arguments={}) for s in difference.removed),
        changed=tuple(
            replace(s, arguments={n: pair(*both) for n, both in s.arguments.items()})
            for s in difference.changed
        ),
        contents=tuple(
            dict.fromkeys(ChangedContent(c.source, c.keys) for c in difference.contents)
        ),
    ).signature()


_HIDDEN: Mapping[str, Any] = {"masked": ""}


def _shared(members: Sequence[Difference], minion: str) -> Difference:
    """The first of `members`, which look the same, with nothing that is not so on all of them. minion: whose the
    first one is.
    """
    first = members[0]
    if len(members) == 1:
        return first
    return replace(
        first,
        added=tuple(_common(states) for states in zip(*(m.added for m in members), strict=True)),
        removed=tuple(
            _common(states) for states in zip(*(m.removed for m in members), strict=True)
        ),
        changed=tuple(
            replace(
                states[0],
                arguments={
                    name: pair
                    if all(s.arguments.get(name) == pair for s in states)
                    else (_HIDDEN, _HIDDEN)
                    for name, pair in states[0].arguments.items()
                },
            )
            for states in zip(*(m.changed for m in members), strict=True)
        ),
        contents=_same_contents(members, minion),
        origins=_same_origins(members),
    )


def _same_contents(members: Sequence[Difference], minion: str) -> tuple[ChangedContent, ...]:
    """Those of the first of them, `minion`; under its name where others have others."""
    return tuple(
        c if all(c in m.contents for m in members) else replace(c, of=minion)
        for c in members[0].contents
    )


def _same_origins(members: Sequence[Difference]) -> Origins:
    """Of the first of them, as far as they are those of all: a hidden ID has another digest on each."""
    found = {}
    for name in ("added", "removed", "changed"):
        for states in zip(*(getattr(m, name) for m in members), strict=True):
            several = [m.origins.get(state.key) for m, state in zip(members, states, strict=True)]
            if several[0] is not None and all(one == several[0] for one in several):
                found[states[0].key] = several[0]
    return found


def _common(states: Sequence[OneState]) -> OneState:
    # A name that is hidden ends with a digest, another one on each: the first minion's stands for all.
    names = dict.fromkeys(
        n for s in states for n in s.arguments if s is states[0] or nameless(n) == n
    )
    first = states[0].arguments
    return replace(
        states[0],
        arguments={
            name: first[name]
            if all(name in s.arguments and s.arguments[name] == first.get(name) for s in states)
            else _HIDDEN
            for name in names
        },
    )
