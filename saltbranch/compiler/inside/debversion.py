"""What ``dpkg --compare-versions`` says, without dpkg (deb-version(7); lib/dpkg/version.c, parsehelp.c)."""

from __future__ import annotations

import re
from collections.abc import Sequence

_OPERATORS = {"lt": (-1,), "le": (-1, 0), "eq": (0,), "ne": (-1, 1), "ge": (0, 1), "gt": (1,)}
_LARGEST_EPOCH = 2**31 - 1


def is_question(argv: object) -> bool:
    """Whether `argv` is such a command, as Salt's aptpkg makes it."""
    return (
        isinstance(argv, Sequence)
        and not isinstance(argv, str)
        and len(argv) == 5
        and list(argv[:2]) == ["dpkg", "--compare-versions"]
    )


def status(argv: Sequence[str]) -> int:
    """The exit status of the command: 0 when it is so, 1 when it is not, 2 for what is not a version."""
    one, operator, other = (str(word) for word in argv[2:])
    if one.startswith("-"):
        return 2  # dpkg takes it for an option
    try:
        found = compare(one, other)
    except ValueError:
        return 2
    return 0 if found in _OPERATORS.get(operator, ()) else 1


def compare(one: str, other: str) -> int:
    """-1, 0 or 1 as `one` is earlier than `other`, the same or later. Raises ValueError for no version."""
    first, second = (_parsed(text) if text else None for text in (one, other))
    if first is None or second is None:
        return bool(one) - bool(other)  # none is earlier than any
    found = (first[0] > second[0]) - (first[0] < second[0])
    return found or next(filter(None, map(_order, first[1:], second[1:])), 0)


def _parsed(text: str) -> tuple[int, str, str]:
    """Epoch, upstream version and revision."""
    text = text.strip()
    if not text or re.search(r"\s", text):
        raise ValueError(text)
    epoch, colon, rest = text.partition(":")
    if not colon:
        epoch, rest = "0", text
    if not re.fullmatch(r"\+?[0-9]+", epoch) or int(epoch) > _LARGEST_EPOCH or not rest:
        raise ValueError(text)
    upstream, hyphen, revision = rest.rpartition("-")
    if not hyphen:
        upstream, revision = rest, ""
    if not upstream or (hyphen and not revision):
        raise ValueError(text)
    return int(epoch), upstream, revision


def _order(one: str, other: str) -> int:
    """`verrevcmp`: what is not a digit by letters, then digits as a number, in turn."""
    a, b = (re.findall(r"([^0-9]*)([0-9]*)", text) for text in (one, other))
    for number in range(max(len(a), len(b))):
        (words, count), (others, limit) = (
            side[number] if number < len(side) else ("", "") for side in (a, b)
        )
        for place in range(max(len(words), len(others))):
            found = _weight(words, place) - _weight(others, place)
            if found:
                return 1 if found > 0 else -1
        difference = int(count or 0) - int(limit or 0)
        if difference:
            return 1 if difference > 0 else -1
    return 0


def _weight(word: str, place: int) -> int:
    """A tilde before the end, the end before letters, letters before all else."""
    if place >= len(word):
        return 0
    sign = word[place]
    if sign == "~":
        return -1
    return ord(sign) if sign.isascii() and sign.isalpha() else ord(sign) + 256
