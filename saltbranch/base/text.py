"""Words for people, made of values."""

from __future__ import annotations


def many(number: int, noun: str) -> str:
    """``1 minion``, ``2 minions``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
