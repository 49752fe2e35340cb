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
    return tuple(
        itertools.chain(
            _wrong_switch(switch, target),
            *(_wrong_by_itself(seen) for seen in (*before, *after)),
            *(_wrongly_given(seen, given[seen.minion]) for seen in after),
            *(_alike(one, two) for one, two in itertools.combinations(after, 2)),
            *(
                _not_arrived(old, new, change)
                if new.saltenv == target
                else _leaked(old, new, change)
                for old, new in zip(before, after, strict=True)
            ),
        )
    )


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


def _leaked(before: Seen, after: Seen, change: Change) -> Iterator[str]:
    what = f"commit {change.commit[:12]} of {change.branch}"
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
    for path, text in change.files.items():
        if text not in after.files.get(path, ""):
            yield f"{after.minion}: /{path} does not say {text!r}"
    if len(after.changed) != len(change.files):
        yield f"{after.minion}: the highstate reports changes of {_names(after.changed)}"
    if before.pillar == after.pillar:
        yield f"{after.minion}: its pillar is the old one"


def _differing(before: Mapping[str, str], after: Mapping[str, str]) -> set[str]:
    return {path for path in {*before, *after} if before.get(path) != after.get(path)}


def _names(names: object) -> str:
    return ", ".join(sorted(map(str, names))) or "nothing"  # type: ignore[call-overload]
