"""What a person reads of a diff: one block for each group of minions, states, files and pillar."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from saltbranch.base.text import many, printable
from saltbranch.compiler.model import UNKEPT
from saltbranch.preview import missing, pillar_paths
from saltbranch.preview.causes import Cause, causes
from saltbranch.preview.contents import ChangedContent
from saltbranch.preview.difference import Difference, MinionDiff
from saltbranch.preview.fleet_diff import FleetDiff
from saltbranch.preview.groups import Group

_NAMES = 6
_WIDEST = 60
_WIDTH = 80
_GROUPS, _LINES, _CAUSES = 10, 15, 5  # of a diff inside a plan
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
    """The same in 80 columns, with the digest for a review to name."""
    for style, text in lines(result):
        for line in folded(text):
            yield style, line
    if text := rendered(result):
        yield "note", text
    for line in folded(unkept(result)) if unkept(result) else ():
        yield "note", line
    yield "note", f"digest {result.digest[:16]}"


def folded(text: str, width: int = _WIDTH) -> list[str]:
    """`text` in lines of at most `width`, the further ones indented more; a longer word stays whole."""
    indent = " " * (len(text) - len(text.lstrip()))
    found = textwrap.wrap(
        text.strip(), max(20, width - len(indent) - 4),
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    if len(text) <= width or len(found) < 2:
        return [text]
    kept = [found[0]]
    for line in found[1:]:
        # Where a CI reads the log such a line would be a command. A sign stays with what it is the sign of.
        if line.startswith(("::", "##[")) or len(kept[-1]) == 1:
            kept[-1] += f" {line}"
        else:
            kept.append(line)
    return [f"{indent}{kept[0]}", *(f"{indent}    {line}" for line in kept[1:])]


def brief(result: FleetDiff, digest: str, where: str) -> Iterator[str]:
    """The diff for a plan, in few lines. where: what shows all of it."""
    yield f"diff: {summary(result)}; digest {digest[:16]}"
    yield from (f"  warning: {printable(warning)}" for warning in result.warnings)
    # First, for of these minions the rest does not say all.
    yield from (f"  {text}" for _, text in _incomplete(result, most=_CAUSES, brief=True) if text)
    left = 0
    for number, group in enumerate(result.groups[:_GROUPS], 1):
        found = [text for _, text in difference(group.difference)]
        yield f"  group {number}: {names(group)}"
        yield from (f"  {text}" for text in found[:_LINES])
        left += max(0, len(found) - _LINES)
    code = [text for _, text in _code(result) if text]
    yield from (f"  {text}" for text in code[:_LINES])
    left += max(0, len(code) - _LINES)
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


def names(group: Group) -> str:
    """How many minions, and the first of them."""
    return f"{many(len(group.minions), 'minion')}: {some(group.minions)}"


def some(words: Sequence[str], most: int = _NAMES) -> str:
    """The first of `words`, and how many more."""
    more = len(words) - most
    return ", ".join(printable(w) for w in words[:most]) + (f" and {more} more" if more > 0 else "")


def difference(found: Difference) -> Iterator[Line]:
    """The layers of one difference."""
    if found.added or found.removed or found.changed or found.reordered:
        yield "plain", "  states"
    for state in found.removed:
        yield "remove", f"    - {printable(state.key)}  {place(state.path, state.line)}"
        yield from _id_of(found, state.key)
        if state.stays:
            yield "note", "        what it made stays on the minion"
    for state in found.added:
        yield "add", f"    + {printable(state.key)}  {place(state.path, state.line)}"
        yield from _id_of(found, state.key)
    for changed in found.changed:
        yield "change", f"    ~ {printable(changed.key)}  {place(changed.path, changed.line)}"
        for name, (old, new) in changed.arguments.items():
            paths = found.origins.get(changed.key, {}).get(name, ())
            yield "plain", f"        {printable(name)}: {argument(old, new, paths)}"
    for key in found.reordered:
        yield "note", f"    ^ {printable(key)} runs at another place in the order"
    if found.files:
        yield "plain", "  files"
    for file in found.files:
        users = ", ".join(printable(key) for key in file.keys[:3])
        more = f" and {len(file.keys) - 3} more" if len(file.keys) > 3 else ""
        yield "change", f"    ~ {printable(file.source)}  for {users}{more}"
    yield from _contents(found)
    yield from _pillar(found)


def _contents(found: Difference) -> Iterator[Line]:
    """What files hold. A bar stands before each line, so that none is a command where a CI reads it."""
    if found.contents:
        yield "plain", "  contents"
    for file in found.contents:
        yield "change", f"    ~ {content_title(file)}"
        for line in file.lines:
            text = shortened(printable(line.replace("\t", "    ")), _WIDTH - 7)
            yield _SIGNS.get(line[:1], "plain"), f"      {BAR}{text}"
        if file.more:
            yield "note", f"      and {many(file.more, 'line')} more"


def content_title(file: ChangedContent) -> str:
    """Which file, for which states, and whose."""
    whose = f", as on {printable(file.of)}" if file.of else ""
    source = f"{printable(file.source)}  " if file.source else ""
    return f"{source}for {some(file.keys, 3)}{whose}{content_note(file)}"


def content_note(file: ChangedContent) -> str:
    """What is not shown of it."""
    hidden = sum(line[1:] == "***" and line[:1] in _SIGNS for line in file.lines)
    if not file.lines:
        return " (its lines are not shown)"
    return f" ({many(hidden, 'changed line')} hidden)" if hidden else ""


_SIGNS = {"+": "add", "-": "remove"}
BAR = "|"
"""Stands before each line of a file."""


def shortened(text: str, most: int) -> str:
    """The first `most` signs of a line."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def rendered(result: FleetDiff) -> str:
    """What it took to render files, where any were."""
    spent = result.spent
    if not spent.get("rendered_files"):
        return ""
    return (
        f"{many(int(spent['rendered_files']), 'file')} of {many(int(spent['rendered_minions']), 'minion')} rendered:"
        f" {spent['rendering_cpu']:.2f} s CPU of {spent['cpu']:.2f} s"
    )


def unkept(result: FleetDiff) -> str:
    """Why the next run will be no quicker, where that holds for a large part of it."""
    counts: Mapping[str, int] = result.spent.get("not_kept") or {}
    if sum(counts.values()) * _LARGE < 2 * len(result.minions) or not counts:
        return ""
    reasons = ", ".join(f"{UNKEPT[why]} ({number})" for why, number in sorted(counts.items()))
    return f"{many(sum(counts.values()), 'result')} cannot be kept for the next run: {reasons}"


_LARGE = 4
"""One in so many is worth a line."""


def _id_of(found: Difference, key: str) -> Iterator[Line]:
    paths = found.origins.get(key, {}).get("")
    if paths:
        yield "plain", f"        the ID is the pillar's {some(paths)}"


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


def argument(old: Any, new: Any, paths: Sequence[str] = (), *, widest: int = _WIDEST) -> str:
    """An argument's change, as far as it may be shown. paths: of the pillar whose value it is."""
    if is_masked(old) or is_masked(new):
        if paths:
            return f"changed (hidden: the pillar's {some(paths)})"
        return "changed (hidden: it comes from a template)"
    if isinstance(old, list) and isinstance(new, list):
        gone = [item for item in old if item not in new]
        come = [item for item in new if item not in old]
        words = [f"-{shown(i, widest)}" for i in gone] + [f"+{shown(i, widest)}" for i in come]
        return " ".join(words) or "in another order"
    return f"{shown(old, widest)} -> {shown(new, widest)}"


def is_masked(value: Any) -> bool:
    """Whether `value` is one that may not be shown."""
    return isinstance(value, Mapping) and set(value) == {"masked"}


def shown(value: Any, widest: int = _WIDEST) -> str:
    """A value on one line, not too long."""
    if value is None:
        return "(none)"
    text = printable(json.dumps(value, ensure_ascii=False, sort_keys=True))
    return text if len(text) <= widest else f"{text[: widest - 3]}..."


def _code(result: FleetDiff) -> Iterator[Line]:
    if result.code:
        yield "plain", ""
        yield "head", "code that Salt syncs to the minions"
    for file in result.code:
        users = (
            f"  used while compiling by {many(len(file.minions), 'minion')}" if file.minions else ""
        )
        yield "change", f"  {file.change} {printable(file.path)}{users}"


def _incomplete(
    result: FleetDiff, *, most: int | None = None, brief: bool = False
) -> Iterator[Line]:
    """Who was not compiled wholly, what holds of them all the same, and why, the causes first that are new."""
    if not result.incomplete:
        return
    yield "plain", ""
    if result.failed:
        yield (
            "error",
            f"not compiled, so nothing is known of: {_counted(m.minion for m in result.failed)}",
        )
    partial = [m for m in result.incomplete if m.result != "failed"]
    if partial:
        yield "error", f"compiled in part: {_counted(m.minion for m in partial)}"
        yield "plain", f"  {holds(partial)}"
    found = result.causes
    shown = found[:most]
    yield "error", f"errors: {many(len(found), 'cause')}"
    for cause in shown:
        yield (
            "error",
            f"  {many(len(cause.minions), 'minion')}, {side(cause)}: {printable(cause.text)}",
        )
        if not brief:
            yield "plain", f"      {some(cause.minions)}"
    if len(found) > len(shown):
        yield "note", f"  and {many(len(found) - len(shown), 'cause')} more"


def holds(partial: Sequence[MinionDiff]) -> str:
    """What holds of minions that were compiled in part."""
    compared = sum(m.compared for m in partial)
    names = dict.fromkeys(n for m in partial for n in missing.lacking(e.text for e in m.errors))
    without = f", without {some(list(names))}" if names else ""
    one_sided = [m for m in partial if any(c.side != "both" for c in causes([m]))]
    unsure = ""
    if one_sided:
        unsure = (
            f"; of {many(len(one_sided), 'minion')} only one side has an error, so what is told as"
            " added or removed there may be what the other lacks for it"
        )
    return f"{many(compared, 'state')} of theirs were compared{without}{unsure}"


def side(cause: Cause) -> str:
    """Which side of a diff has an error."""
    return {"after": "new", "both": "both sides", "before": "old only"}[cause.side]


def hint(groups: Iterable[Group]) -> str:
    """How to see what is hidden, where it comes from the pillar and does not look like a secret; else empty."""
    paths = (
        path
        for group in groups
        for found in group.difference.origins.values()
        for several in found.values()
        for path in several
    )
    first = next((p for p in paths if not pillar_paths.looks_secret(p)), None)
    if first is None:
        return ""
    return f"hidden values show where saltbranch.yaml lists their paths, as in shown_pillar: [{json.dumps(first)}]"


def _counted(names: Iterable[str]) -> str:
    found = list(names)
    return f"{many(len(found), 'minion')} ({some(found)})"


def _notes(result: FleetDiff) -> Iterator[Line]:
    found = notes(result)
    told = hint(result.groups)
    if found or told:
        yield "plain", ""
    for note, number in found.items():
        yield "note", f"note: {printable(note)} ({many(number, 'minion')})"
    if told:
        yield "note", f"note: {printable(told)}"


def notes(result: FleetDiff) -> dict[str, int]:
    """What was noted, and of how many minions."""
    found: dict[str, int] = {}
    for minion in result.minions:
        for note in minion.notes:
            found[note] = found.get(note, 0) + 1
    return found
