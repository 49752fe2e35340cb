"""What the minions of the demo have, and what would be a leak in it. Pure: values in, texts out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from saltbranch.demo.repository import Change

# The sample's pillar hands every saltenv a token of this shape (pillar/app.sls).
TOKEN: Final = "fake-token-of-"


@dataclass(frozen=True, slots=True)
class Seen:
    """What one minion has after a highstate.

    files: path -> text, below the minion's own folder. changed: ids of the states that changed
    something. failed: what went wrong in the run.
    """

    minion: str
    saltenv: str
    files: Mapping[str, str]
    pillar: Mapping[str, Any]
    changed: tuple[str, ...]
    failed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Switch:
    """The saltenvs that a sync switched, and those whose event came over the master's bus."""

    switched: tuple[str, ...]
    events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Moment:
    """How things stand: branch -> head on the remote, saltenv -> served commit, and what the minions have."""

    heads: Mapping[str, str]
    served: Mapping[str, str]
    seen: tuple[Seen, ...]


@dataclass(frozen=True, slots=True)
class Expected:
    """What a step brings about: these branches move, these saltenvs are switched, nothing else is.

    changed: ids of the states that do something on the minions of `saltenvs`. texts: path -> a text that is in the
    file then. like: what the minions had before, where the step leads back to it.
    """

    branches: tuple[str, ...]
    saltenvs: tuple[str, ...]
    changed: tuple[str, ...]
    texts: Mapping[str, str]
    like: tuple[Seen, ...] = ()


Given = Mapping[str, Mapping[str, tuple[str, ...]]]
"""minion -> saltenv -> keys of the pillar that the minion gets when it asks for that ``pillarenv``."""


def find_problems(
    before: Sequence[Seen],
    after: Sequence[Seen],
    *,
    change: Change,
    switch: Switch,
    given: Given,
    target: str,
) -> tuple[str, ...]:
    """Everything that speaks against "only the minions of the saltenv `target` got `change`"."""
    what = f"commit {change.commit[:12]} of {change.branch}"
    return tuple(
        itertools.chain(
            _wrong_switch(switch, target),
            *(_wrong_by_itself(seen) for seen in (*before, *after)),
            *(_wrongly_given(seen, given[seen.minion]) for seen in after),
            *(_alike(one, two) for one, two in itertools.combinations(after, 2)),
            *(
                _not_arrived(old, new, change) if new.saltenv == target else _leaked(old, new, what)
                for old, new in zip(before, after, strict=True)
            ),
        )
    )


def find_wrong(old: Moment, new: Moment, expected: Expected) -> tuple[str, ...]:
    """Everything that speaks against a step from `old` to `new` having done what was expected, and no more."""
    moved = _differing(old.heads, new.heads)
    switched = _differing(old.served, new.served)
    return tuple(
        itertools.chain(
            _other("moved on the remote", moved, expected.branches),
            _other("switched on the master", switched, expected.saltenvs),
            *(_wrong_by_itself(seen) for seen in new.seen),
            *(
                _not_reached(before, after, expected)
                if after.saltenv in expected.saltenvs
                else _leaked(before, after, "the step")
                for before, after in zip(old.seen, new.seen, strict=True)
            ),
            *(
                _not_back(one, new.seen)
                for one in expected.like
                if one.saltenv in expected.saltenvs
            ),
        )
    )


def _other(what: str, found: set[str], wanted: Sequence[str]) -> Iterator[str]:
    if found != set(wanted):
        yield f"{what}: {_names(found)} instead of {_names(wanted)}"


def _not_reached(before: Seen, after: Seen, expected: Expected) -> Iterator[str]:
    if set(after.changed) != set(expected.changed):
        yield (
            f"{after.minion}: the highstate reports changes of {_names(after.changed)}"
            f" instead of {_names(expected.changed)}"
        )
    if before.pillar == after.pillar:
        yield f"{after.minion}: its pillar is the old one"
    differing = _differing(before.files, after.files)
    if differing != set(expected.texts):
        yield f"{after.minion}: {_names(differing)} changed instead of {_names(expected.texts)}"
    yield from _lacking(after, expected.texts)


def _lacking(seen: Seen, texts: Mapping[str, str]) -> Iterator[str]:
    for path, text in texts.items():
        if text not in seen.files.get(path, ""):
            yield f"{seen.minion}: /{path} does not say {text!r}"


def _not_back(former: Seen, now: Sequence[Seen]) -> Iterator[str]:
    after = next(seen for seen in now if seen.minion == former.minion)
    for path in sorted(_differing(former.files, after.files)):
        yield f"{after.minion}: /{path} is not what it was before"
    if former.pillar != after.pillar:
        yield f"{after.minion}: its pillar is not what it was before"


def _wrong_switch(switch: Switch, target: str) -> Iterator[str]:
    if switch.switched != (target,):
        yield f"the sync switched {_names(switch.switched)} instead of {target}"
    if switch.events != (target,):
        yield f"events came for {_names(switch.events)} instead of {target}"


def _wrong_by_itself(seen: Seen) -> Iterator[str]:
    """What no minion may have, whatever the others have."""
    for state in seen.failed:
        yield f"{seen.minion}: {state}"
    if TOKEN + seen.saltenv not in str(seen.pillar):
        yield f"{seen.minion} lacks the pillar of {seen.saltenv}"
    if f"saltenv {seen.saltenv}\n" not in seen.files.get("etc/motd", ""):
        yield f"{seen.minion}: its /etc/motd is not that of {seen.saltenv}"
    texts = {f"/{path}": text for path, text in seen.files.items()} | {"pillar": str(seen.pillar)}
    for where, text in texts.items():
        if text.count(TOKEN) != text.count(TOKEN + seen.saltenv):
            yield f"LEAK: {seen.minion} has the token of another saltenv in its {where}"


def _wrongly_given(seen: Seen, given: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    for saltenv, keys in given.items():
        if keys and saltenv != seen.saltenv:
            yield f"LEAK: {seen.minion} asked for the pillar of {saltenv} and got {_names(keys)}"
    if not given[seen.saltenv]:
        yield f"{seen.minion} asked for the pillar of {seen.saltenv}, its own, and got nothing"


def _alike(one: Seen, two: Seen) -> Iterator[str]:
    if one.pillar == two.pillar:
        yield f"{one.minion} and {two.minion} have the same pillar"


def _leaked(before: Seen, after: Seen, what: str) -> Iterator[str]:
    if after.changed:
        yield f"LEAK: {what} changed {_names(after.changed)} on {after.minion}"
    for path in sorted(_differing(before.files, after.files)):
        yield f"LEAK: {what} changed /{path} on {after.minion}"
    if before.pillar != after.pillar:
        yield f"LEAK: {what} changed the pillar of {after.minion}"


def _not_arrived(before: Seen, after: Seen, change: Change) -> Iterator[str]:
    differing = _differing(before.files, after.files)
    if differing != set(change.files):
        yield f"{after.minion}: {_names(differing)} changed instead of {_names(change.files)}"
    yield from _lacking(after, change.files)
    if len(after.changed) != len(change.files):
        yield f"{after.minion}: the highstate reports changes of {_names(after.changed)}"
    if before.pillar == after.pillar:
        yield f"{after.minion}: its pillar is the old one"


def _differing(before: Mapping[str, str], after: Mapping[str, str]) -> set[str]:
    return {path for path in {*before, *after} if before.get(path) != after.get(path)}


def _names(names: object) -> str:
    return ", ".join(sorted(map(str, names))) or "nothing"  # type: ignore[call-overload]
