"""Words for people: made of values, or of what strangers wrote, fit to stand in a line of ours."""

from __future__ import annotations

_LONGEST = 1000  # characters of a reason or a name


def many(number: int, noun: str) -> str:
    """``1 minion``, ``2 minions``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def printable(text: str) -> str:
    """`text`, written by strangers, without what would steer a terminal."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def one_line(text: str) -> str:
    """`text` on one line, without what would steer a terminal."""
    short = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return printable(" ".join(short.split()))
