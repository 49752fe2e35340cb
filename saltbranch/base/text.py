"""Words for people: made of values, or of what strangers wrote, fit to stand in a line of ours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_LONGEST = 1000  # characters of a reason or a name


def many(number: int, noun: str) -> str:
    """``1 minion``, ``2 minions``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def printable(text: str) -> str:
    """`text`, written by strangers, without what would steer a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def one_line(text: str) -> str:
    """`text` on one line, without what would steer a terminal."""
    short = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return printable(" ".join(short.split()))


def nearest(word: str, known: Sequence[str]) -> str:
    """A question with the one of `known` that `word` may have been meant for; empty where none is like it."""
    from difflib import get_close_matches  # only a mistake needs it

    near = get_close_matches(word, known, 1, 0.6)
    return f"did you mean {near[0]!r}?" if near else ""


def some(names: Iterable[str], most: int = 5) -> str:
    """The first of `names`, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more
