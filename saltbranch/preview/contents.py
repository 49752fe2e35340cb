"""What the files of a state differ in, line by line, as far as lines may be told. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from saltbranch.compiler.inside.rendered_lines import BROKEN, HALF, HIDDEN, PRIVATE_KEY, TOLD, split
from saltbranch.compiler.model import Chunk, Content

_CONTEXT = 2
_MOST_LINES = 60
"""Lines of one file's difference that are told."""
_MASK = "***"
_LARGEST = 256 << 10


@dataclass(frozen=True, slots=True)
class ChangedContent:
    """A file whose content differs. source: ``salt://...``, empty where it stands in the state itself. keys: the
    states that it is for. lines: of a unified diff, each with its sign, ``***`` for what is not told; empty where
    nothing can be shown. more: lines beyond these. of: the minion whose lines they are, where others have others.
    """

    source: str
    keys: tuple[str, ...]
    lines: tuple[str, ...] = ()
    more: int = 0
    of: str = ""


@dataclass(frozen=True, slots=True)
class Compared:
    """One state's files on both sides. reason: why they are not compared by what they hold, or not by that alone;
    is_known: whether what they hold is, at least with neutral answers. parts: those that differ. source: one that
    stands for all.
    """

    is_known: bool
    parts: tuple[ChangedContent, ...] = ()
    reason: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Contents:
    """What is known of one minion's files. compared: by `Chunk.identity`. plain: the difference of a file of the
    tree, lines and how many more; None where it cannot be shown. moved: files that some state may reach and that
    differ.
    """

    compared: Mapping[str, Compared] = field(default_factory=dict)
    plain: Callable[[str], tuple[tuple[str, ...], int] | None] = lambda _path: None
    moved: tuple[str, ...] = ()


NOTHING = Contents()
"""Where no file was looked at."""
Line = tuple[str, str]
"""What tells a line from others, and the line as it may be told."""


def hunks(old: Sequence[Line], new: Sequence[Line]) -> tuple[tuple[str, ...], int]:
    """A unified diff, at most `_MOST_LINES` of it, and how many lines more it has."""
    from difflib import SequenceMatcher  # most diffs have no text to show

    one, other = [x for x, _ in old], [x for x, _ in new]
    found: list[str] = []
    for group in SequenceMatcher(None, one, other, autojunk=True).get_grouped_opcodes(_CONTEXT):
        first, last = group[0], group[-1]
        ranges = (_range(first[1], last[2]), _range(first[3], last[4]))
        found.append(f"@@ -{ranges[0]} +{ranges[1]} @@")
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                pairs = zip(old[i1:i2], new[j1:j2], strict=True)
                found += [f" {_MASK if _MASK in (a[1], b[1]) else b[1]}" for a, b in pairs]
            else:
                found += [f"-{text}" for _, text in old[i1:i2]]
                found += [f"+{text}" for _, text in new[j1:j2]]
    return tuple(found[:_MOST_LINES]), max(0, len(found) - _MOST_LINES)


def _range(start: int, end: int) -> str:
    """As diff(1) writes it."""
    length = end - start
    return f"{start + 1 if length else start}{'' if length == 1 else f',{length}'}"


def lines_of(
    content: Content, digest: Callable[[str], str], told: Callable[[str], str]
) -> list[Line]:
    """The lines of a rendered file. digest: of a line, as the sandbox makes it. told: a text with stand-ins as it
    may be told.
    """
    found = []
    for line in content.lines:
        kind, rest = line[:1], line[1:]
        if kind == TOLD:
            found.append((digest(rest), rest))
        elif kind == HALF:
            text = told(rest[32:])
            found.append((rest[:32], _MASK if _MASK in text else text))
        elif kind == HIDDEN:
            found.append((rest[:32], _MASK))
    return found


def compare(
    old: Chunk, new: Chunk, digest: Callable[[str], str], told: Callable[[str], str]
) -> Compared:
    """The rendered files of a state that both sides have."""
    before, after = ({c.source: c for c in side.content} for side in (old, new))
    parts = []
    for source in dict.fromkeys((*before, *after)):
        one, other = before.get(source), after.get(source)
        known = [c for c in (one, other) if c and c.digest]
        broken = [c for c in (one, other) if c and c.problem.startswith(BROKEN)]
        if known and broken:
            parts.append(ChangedContent(f"salt://{source}" if source else "", (new.key,)))
        if len(known) < sum(c is not None for c in (one, other)):
            continue  # not known: the reason says so
        if one and other and one.digest == other.digest:
            continue
        sides = [lines_of(c, digest, told) if c else [] for c in (one, other)]
        can_be_shown = all(side or c is None for side, c in zip(sides, (one, other), strict=True))
        lines, more = hunks(*sides) if can_be_shown else ((), 0)
        parts.append(ChangedContent(f"salt://{source}" if source else "", (new.key,), lines, more))
    several = (*before.values(), *after.values())
    reason = next((told(c.problem) for c in several if c.problem), "")
    if not several:
        reason = "nothing was rendered"
    if not reason and (asked := {told(name) for c in several for name in c.asked}):
        reason = f"it asks the minion for {', '.join(sorted(asked))}"
    name = next((c.source for c in several if c.problem or c.asked), "")
    is_known = bool(several) and all(c.digest for c in several)
    return Compared(is_known, tuple(parts), reason, name)


def as_written(source: str, data: bytes, digest: Callable[[object], str]) -> Content:
    """A file that is no template, as a rendered one. digest: as the sandbox makes it."""
    lines: list[str] = []
    try:
        text = data.decode("utf-8")
        if "\0" not in text and not PRIVATE_KEY.search(text) and len(data) <= _LARGEST:
            lines = [f"{TOLD}{line}" for line in split(text)]
    except UnicodeDecodeError:
        pass
    return Content(source, digest(["content", data.hex()]), tuple(lines))


def merged(several: Sequence[ChangedContent]) -> tuple[ChangedContent, ...]:
    """The same difference of several states once."""
    found: dict[tuple[str, tuple[str, ...], int], list[str]] = {}
    for one in several:
        found.setdefault((one.source, one.lines, one.more), []).extend(one.keys)
    return tuple(
        ChangedContent(source, tuple(dict.fromkeys(keys)), lines, more)
        for (source, lines, more), keys in found.items()
    )
