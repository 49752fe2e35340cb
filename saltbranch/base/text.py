"""Text of strangers, fit to stand in a line of ours."""

from __future__ import annotations

from saltbranch.history import printable

_LONGEST = 1000  # characters of a reason or a name


def one_line(text: str) -> str:
    """`text` on one line, without what would steer a terminal."""
    short = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return printable(" ".join(short.split()))
