"""Text of strangers inside Markdown: it is shown as it was written, and formats, links or embeds nothing."""

from __future__ import annotations

import re

# The ASCII punctuation that CommonMark lets a backslash escape (spec 0.31, 2.4), where it may mean something inside
# a line; a period, a dash or a plus sign only at the beginning of a block.
_SPECIAL = re.compile(r"[\\`*_{}\[\]<>()#!|~&@:]")
_BEGINNING = re.compile(r"^([-+=]|[0-9]+[.)])")
# Several dialects make links of bare addresses; the colon of https: is escaped above.
_ADDRESS = re.compile(r"(?i)\b(www)\.")
# Neither begins nor joins anything inside a line: a colon or a period would make a link of an address.
_PLAIN = " -,/;()+='"


def escape(text: str) -> str:
    """One line of `text`, without control characters and without meaning to Markdown or HTML."""
    clean = "".join(c if c.isprintable() else " " for c in text)
    line = _SPECIAL.sub(lambda m: f"\\{m[0]}", " ".join(clean.split()))
    line = _ADDRESS.sub(lambda m: f"{m[1]}\\.", line)
    return _BEGINNING.sub(lambda m: f"{m[1][:-1]}\\{m[1][-1]}", line)


def code(text: str) -> str:
    """One line of `text` as code, also in a cell of a table: GitHub and GitLab look for @names, #numbers and hashes
    everywhere but there, past what a backslash escapes.
    """
    clean = "".join(c if c.isprintable() else "\ufffd" for c in text)
    # A reference is text to CommonMark whatever its character means (spec 0.31, 2.5).
    inner = "".join(
        c if c.isalnum() or c in _PLAIN or c > "\x7f" else f"&#{ord(c)};" for c in clean
    )
    return f"<code>{inner}</code>"
