"""Spare saltenvs, lab1 to labN: what they are called, how many and for how long. Imported by a sync that has some."""

from __future__ import annotations

PREFIX = "lab"
MOST = 50
"""How many a master may have: each is a saltenv in the master's configuration, used or not."""
DAY = 86400
LONGEST = 30 * DAY
"""Seconds that a branch may have one, extended or not."""
USUAL = 3 * DAY
PILLAR_OF_SALTENV = "saltenv"
PILLAR_OF_BRANCH = "branch"
PILLARS = (PILLAR_OF_SALTENV, PILLAR_OF_BRANCH)


def name_of(number: int) -> str:
    """The saltenv that the lab `number` is."""
    return f"{PREFIX}{number}"


def number_of(name: str) -> int | None:
    """The lab that the saltenv `name` is; None where it can be none."""
    digits = name.removeprefix(PREFIX)
    if digits == name or not (digits.isascii() and digits.isdigit()) or digits[0] == "0":
        return None
    return int(digits) if len(digits) <= 2 and int(digits) <= MOST else None
