"""Texts of strangers (commit subjects, names of branches and people), fit to stand in a message."""

from __future__ import annotations

import html
import re

from saltbranch.base.text import printable
from saltbranch.config.notify import Format

_GAP = "\u200b"  # of no width: a chat reads no mention across it, and people see none
_MENTION = re.compile(
    r"@(?=[\w<({\[-])|(?<=<)(?=[!@#])|\](?=[(\[])"
)  # and a link with a text of its own
# Right-to-left marks and the like would let one text look as another.
_TURNING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+.!|~=-])")
_LINK = re.compile(r"(?i)\b(https?|ftp|mailto|javascript|data)(:)")


class Safe(str):
    """A text that is escaped already."""

    __slots__ = ()


def escaped(text: str, form: Format) -> Safe:
    """`text` as a message of the kind `form` shows it letter by letter: no markup, no mention, no link of its own."""
    lines = [printable(_TURNING.sub("", line)) for line in text.splitlines()]
    told = "\n".join(_LINK.sub(rf"\1{_GAP}\2", _MENTION.sub(_gap, line)) for line in lines)
    if form == "html":
        return Safe(html.escape(told).replace("\n", "<br>\n"))
    if form == "markdown":
        plain = told.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return Safe(_MARKDOWN.sub(r"\\\1", plain))
    return Safe(told)


def link(url: str, form: Format) -> Safe:
    """`url`, made by us of a checked address, as it can be followed."""
    if form == "html":
        return Safe(f'<a href="{html.escape(url)}">{html.escape(url)}</a>')
    return Safe(url)


def _gap(found: re.Match[str]) -> str:
    return f"{found[0]}{_GAP}"
