"""Regular expressions that others wrote: tried before they are believed, because some take for ever.

Python's matcher backtracks: ``(a+)+$`` needs twice the time for each further letter (CWE-1333). Whoever may push a
model, or a tag, could stop every machine with one.
"""

from __future__ import annotations

import re

from saltbranch.base.errors import ConfigError
from saltbranch.base.time_limit import TooSlow, limited

_SECONDS = 1.0
_LENGTHS = (28, 400)
_ENDS = ("", "!", "\n")


def check(pattern: re.Pattern[str], where: str) -> None:
    """Refuse a pattern that takes for ever on some short text. Raises ConfigError naming `where`.

    It is tried on repetitions of what it could match: its own letters, and one of each kind.
    """
    letters = dict.fromkeys(
        [*re.findall(r"[A-Za-z0-9 _./-]", pattern.pattern)[:20], "a", "0", "_", "-", "."]
    )
    pieces = [*letters, "a0", "a.", "0.", "a-", "A1-"]
    try:
        with limited(_SECONDS):
            for piece in pieces:
                for length in _LENGTHS:
                    text = (piece * length)[:length]
                    for end in _ENDS:
                        pattern.search(text + end)
                        pattern.fullmatch(text + end)
    except TooSlow as err:
        raise ConfigError(
            f"{where}: {pattern.pattern!r} takes too long on some texts",
            hint="do not repeat what is repeated already: (a+)+ is a+",
        ) from err
