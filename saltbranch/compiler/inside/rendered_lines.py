"""How lines of rendered files, and what is known of templates, leave the sandbox."""

import re

TOLD, HALF, HIDDEN = "=", "?", "#"
"""How each begins: a text; a digest and a text with stand-ins for words; a digest."""
NO_END = "\\ no newline at the end"
"""Stands for a last line in the place of the newline that is not there, as in diff(1)."""
PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY")
"""No line of a file is told that has this."""
BROKEN = "it does not render"
"""How the problem of a file begins that Salt has an error for."""
RENDERED, PILLAR, OPEN, CHANCE = "r", "p", "o", "t"
"""Flags of a state's templates: it has some; they may ask for pillar; may reach what is not known; may differ each
time.
"""


def split(text: str) -> list[str]:
    """The lines of a file."""
    lines = text.split("\n")
    if lines[-1]:
        return [*lines, NO_END]
    return lines[:-1]
