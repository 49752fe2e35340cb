"""A diff as pages tell it: states by their sls file, each group counted. Text only; whoever writes it escapes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from saltbranch.cli.show import diff
from saltbranch.preview.contents import ChangedContent
from saltbranch.preview.difference import ChangedState, Difference, OneState
from saltbranch.preview.fleet_diff import FleetDiff
from saltbranch.preview.groups import Group

STAYS = "what it made stays on the minion"
WIDEST = 300
"""So much of a value is told."""


@dataclass(frozen=True, slots=True)
class State:
    """One state. kind: add, remove or change. place: ``file:line``. lines: what changes in it, or its arguments."""

    kind: str
    key: str
    place: str
    lines: tuple[tuple[str, str], ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Sls:
    """The states of one sls file, in the order of the file."""

    name: str
    path: str
    states: tuple[State, ...]


@dataclass(frozen=True, slots=True)
class Counts:
    """How much of each kind a group has."""

    added: int
    removed: int
    changed: int
    reordered: int
    files: int
    pillar: int


@dataclass(frozen=True, slots=True)
class ContentView:
    """A file whose content differs. lines: kind (add, remove, context or hunk) and text, without its sign."""

    title: str
    lines: tuple[tuple[str, str], ...]
    more: int


@dataclass(frozen=True, slots=True)
class GroupView:
    """One group. number: from 1. pillar: kind and path."""

    number: int
    minions: tuple[str, ...]
    counts: Counts
    sls: tuple[Sls, ...]
    reordered: tuple[str, ...]
    files: tuple[tuple[str, str], ...]
    contents: tuple[ContentView, ...]
    pillar: tuple[tuple[str, str], ...]


def groups(result: FleetDiff) -> list[GroupView]:
    """All of them."""
    return [_group(number, group) for number, group in enumerate(result.groups, 1)]


def _group(number: int, group: Group) -> GroupView:
    found = group.difference
    pillar = [
        *(("remove", path) for path in found.pillar_removed),
        *(("add", path) for path in found.pillar_added),
        *(("change", path) for path in found.pillar_changed),
    ]
    files = {f.source for f in found.files} | {c.source for c in found.contents}
    return GroupView(
        number=number,
        minions=group.minions,
        counts=Counts(
            added=len(found.added), removed=len(found.removed), changed=len(found.changed),
            reordered=len(found.reordered), files=len(files), pillar=len(pillar),
        ),
        sls=tuple(_by_sls(found)),
        reordered=found.reordered,
        files=tuple((f.source, diff.some(f.keys, 3)) for f in found.files),
        contents=tuple(map(_content, found.contents)),
        pillar=tuple(pillar),
    )  # fmt: skip


_KINDS = {"+": "add", "-": "remove", "@": "hunk"}


def _content(file: ChangedContent) -> ContentView:
    lines = ((_KINDS.get(line[:1], "context"), line) for line in file.lines)
    told = ((k, line if k == "hunk" else line[1:]) for k, line in lines)
    tidy = tuple((k, diff.shortened(text.replace("\t", "    "), WIDEST)) for k, text in told)
    return ContentView(diff.content_title(file), tidy, file.more)


def _by_sls(found: Difference) -> Iterable[Sls]:
    rows: dict[tuple[str, str], list[tuple[int, State]]] = {}
    several: tuple[tuple[str, Sequence[OneState | ChangedState]], ...] = (
        ("remove", found.removed),
        ("add", found.added),
        ("change", found.changed),
    )
    for kind, states in several:
        for state in states:
            rows.setdefault((state.sls, state.path), []).append(
                (state.line or 0, _state(kind, state, found.origins.get(state.key, {})))
            )
    for (sls, path), several_rows in sorted(rows.items()):
        ordered = sorted(several_rows, key=lambda row: row[0])
        yield Sls(sls, path, tuple(state for _, state in ordered))


def _state(
    kind: str, state: OneState | ChangedState, paths: Mapping[str, tuple[str, ...]]
) -> State:
    place = f"{state.path}:{state.line}" if state.line else state.path
    lines = [("ID", f"the pillar's {diff.some(paths[''])}")] if paths.get("") else []
    if isinstance(state, ChangedState):
        lines += [
            (name, diff.argument(old, new, paths.get(name, ()), widest=WIDEST))
            for name, (old, new) in state.arguments.items()
        ]
        return State(kind, state.key, place, tuple(lines))
    lines += [(name, _value(value)) for name, value in state.arguments.items()]
    return State(kind, state.key, place, tuple(lines), STAYS if state.stays else "")


def _value(value: Any) -> str:
    return "(hidden)" if diff.is_masked(value) else diff.shown(value, WIDEST)
