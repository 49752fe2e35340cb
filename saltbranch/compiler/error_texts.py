"""How errors and notes of a compile begin: whoever writes them and whoever reads on from there use these. Pure.

They leave the sandbox as texts, and are kept so.
"""

from __future__ import annotations

from typing import Final

PILLAR: Final = "pillar: "
"""An error of the pillar; all others are of the states."""
TOP_FILE: Final = "top file: "
TOP_BROKEN: Final = "the top file does not render: "
NEUTRALLY: Final = "answered neutrally, for want of recorded returns: "
"""A note that names the functions which nobody answered for."""
TRIED: Final = "code of the branch tried to "
READ: Final = "read "
"""What follows `TRIED` where a file outside of the tree was read."""
CONNECTED: Final = "open a network connection"
LOOKED_UP: Final = "look up a host name"
"""What follows `TRIED` where the network was asked."""
NOT_LOADED: Final = ", a module of the branch, does not load: "
"""What follows the name of such a module, before the reason."""
NO_STATES: Final = "the top file names no states "
UNMATCHED: Final = "no target in the top file "
PILLAR_UNMATCHED: Final = "no target in the pillar top file "
DECLARED: Final = "missing, as declared: "
"""What a note begins with that names what a fleet or a model declares to be missing."""
CIPHERTEXT: Final = "GPG values "
"""What notes say about pillar that nobody deciphers here."""
SETTLES: Final = "settles it)"
"""How an error ends that came after neutral answers, before its line."""
NOT_THERE: Final = ", which it imports, is not there"
"""What follows the name of a template that is missing."""

ALL: Final = (
    PILLAR, TOP_FILE, TOP_BROKEN, NEUTRALLY, TRIED, NOT_LOADED, NO_STATES, UNMATCHED, PILLAR_UNMATCHED, NOT_THERE,
)  # fmt: skip


def is_of_pillar(error: str) -> bool:
    """Whether an error of a compile is one of the pillar."""
    return error.startswith(PILLAR)


def without_area(error: str) -> str:
    """`error` without the word that says that it is one of the pillar."""
    return error.removeprefix(PILLAR)
