"""What a person reads of a diff: one block for each group of minions, states, files and pillar."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from saltbranch.fleetdiff import FleetDiff
from saltbranch.history import printable
from saltbranch.lowdiff import Difference, Group

_NAMES = 6
_WIDEST = 60
_GROUPS, _LINES = 10, 15  # of a diff inside a plan
Line = tuple[str, str]
"""A style and a text: style is one of head, add, remove, change, note, plain, error."""


def lines(result: FleetDiff) -> Iterator[Line]:
    """All of it."""
    before, after = (printable(str(side["name"])) for side in (result.before, result.after))
    yield "head", f"{before} -> {after}: {summary(result)}"
    for warning in result.warnings:
        yield "note", f"warning: {printable(warning)}"
    for number, group in enumerate(result.groups, 1):
        yield "plain", ""
        yield "head", f"group {number}: {names(group)}"
        yield from difference(group.difference)
    yield from _code(result)
    yield from _incomplete(result)
    yield from _notes(result)


def report(result: FleetDiff) -> Iterator[Line]:
    """The same with the digest, for a review to name."""
    yield from lines(result)
    yield "note", f"digest {result.digest[:16]}"


def brief(result: FleetDiff, digest: str, where: str) -> Iterator[str]:
    """The diff for a plan, in few lines. where: what shows all of it."""
    yield f"diff: {summary(result)}; digest {digest[:16]}"
    yield from (f"  warning: {printable(warning)}" for warning in result.warnings)
    left = 0
    for number, group in enumerate(result.groups[:_GROUPS], 1):
        found = [text for _, text in difference(group.difference)]
        yield f"  group {number}: {names(group)}"
        yield from (f"  {text}" for text in found[:_LINES])
        left += max(0, len(found) - _LINES)
    rest = [text for part in (_code(result), _incomplete(result)) for _, text in part if text]
    yield from (f"  {text}" for text in rest[:_LINES])
    left += max(0, len(rest) - _LINES)
    more = len(result.groups) - _GROUPS
    parts = [many(more, "group")] if more > 0 else []
    parts += [many(left, "line")] if left else []
    if parts:
        yield f"  and {' and '.join(parts)} more; {where} shows all"


def summary(result: FleetDiff) -> str:
    """One line of numbers."""
    parts = [f"{result.changed} of {many(len(result.minions), 'minion')} change"]
    if result.groups:
        parts.append(many(len(result.groups), "group"))
    if result.failed:
        parts.append(f"{len(result.failed)} not compiled")
    partial = len(result.incomplete) - len(result.failed)
    if partial:
        parts.append(f"{partial} compiled in part")
    if result.ignored:
        parts.append(f"{many(result.ignored, 'difference')} ignored by configuration")
    return ", ".join(parts)


def many(number: int, noun: str) -> str:
    """``1 minion``, ``2 minions``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def names(group: Group) -> str:
    """How many minions, and the first of them."""
    shown = [printable(m) for m in group.minions[:_NAMES]]
    more = len(group.minions) - len(shown)
    return f"{many(len(group.minions), 'minion')}: {', '.join(shown)}" + (
        f" and {more} more" if more else ""
    )


def difference(found: Difference) -> Iterator[Line]:
    """The layers of one difference."""
    if found.added or found.removed or found.changed or found.reordered:
        yield "plain", "  states"
    for state in found.removed:
        yield "remove", f"    - {printable(state.key)}  {place(state.path, state.line)}"
        if state.stays:
            yield (
                "note",
                "        what it made stays on the minion: removing a state undoes nothing",
            )
    for state in found.added:
        yield "add", f"    + {printable(state.key)}  {place(state.path, state.line)}"
    for changed in found.changed:
        yield "change", f"    ~ {printable(changed.key)}  {place(changed.path, changed.line)}"
        for name, (old, new) in changed.arguments.items():
            yield "plain", f"        {printable(name)}: {argument(old, new)}"
    for key in found.reordered:
        yield "note", f"    ^ {printable(key)} runs at another place in the order"
    if found.files:
        yield "plain", "  files"
    for file in found.files:
        users = ", ".join(printable(key) for key in file.keys[:3])
        more = f" and {len(file.keys) - 3} more" if len(file.keys) > 3 else ""
        yield "change", f"    ~ {printable(file.source)}  for {users}{more}"
    yield from _pillar(found)


def _pillar(found: Difference) -> Iterator[Line]:
    if found.pillar_added or found.pillar_removed or found.pillar_changed:
        yield "plain", "  pillar (values are never shown)"
    for style, mark, paths in (
        ("remove", "-", found.pillar_removed),
        ("add", "+", found.pillar_added),
        ("change", "~", found.pillar_changed),
    ):
        for path in paths:
            yield style, f"    {mark} {printable(path)}"


def place(path: str, line: int | None) -> str:
    """``file:line``."""
    return f"({printable(path)}:{line})" if line else f"({printable(path)})"


def argument(old: Any, new: Any) -> str:
    """An argument's change, as far as it may be shown."""
    if is_masked(old) or is_masked(new):
        return "changed (it comes from a template, so its value is not shown)"
    if isinstance(old, list) and isinstance(new, list):
        gone = [item for item in old if item not in new]
        come = [item for item in new if item not in old]
        words = [f"-{shown(i)}" for i in gone] + [f"+{shown(i)}" for i in come]
        return " ".join(words) or "in another order"
    return f"{shown(old)} -> {shown(new)}"


def is_masked(value: Any) -> bool:
    """Whether `value` is one that may not be shown."""
    return isinstance(value, Mapping) and set(value) == {"masked"}


def shown(value: Any) -> str:
    """A value on one line, not too long."""
    if value is None:
        return "(none)"
    text = printable(json.dumps(value, ensure_ascii=False, sort_keys=True))
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 3]}..."


def _code(result: FleetDiff) -> Iterator[Line]:
    if result.code:
        yield "plain", ""
        yield "head", "code that Salt syncs to the minions"
    for file in result.code:
        users = (
            f"  used while compiling by {many(len(file.minions), 'minion')}" if file.minions else ""
        )
        yield "change", f"  {file.change} {printable(file.path)}{users}"


def _incomplete(result: FleetDiff) -> Iterator[Line]:
    for title, wanted in (("not compiled", "failed"), ("compiled in part only", "partial")):
        found: dict[str, list[str]] = {}
        for minion in result.incomplete:
            if minion.result == wanted:
                found.setdefault(minion.error or "", []).append(minion.minion)
        if found:
            yield "plain", ""
            yield "error", f"{title} (what is above does not hold for these)"
        for error, minions in found.items():
            shown_names = ", ".join(printable(m) for m in minions[:_NAMES])
            more = f" and {len(minions) - _NAMES} more" if len(minions) > _NAMES else ""
            yield "error", f"  {shown_names}{more}"
            for text in error.splitlines():
                yield "plain", f"    {printable(text)}"


def _notes(result: FleetDiff) -> Iterator[Line]:
    found: dict[str, int] = {}
    for minion in result.minions:
        for note in minion.notes:
            found[note] = found.get(note, 0) + 1
    if found:
        yield "plain", ""
    for note, number in found.items():
        yield "note", f"note: {printable(note)} ({many(number, 'minion')})"
