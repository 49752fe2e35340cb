"""Lines and trees in colours, through rich. What strangers wrote goes through `shown` first.

rich takes [words] for markup and :words: for pictures, so `file:100:` would come out as a sign for a hundred.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from saltbranch.base.text import printable
from saltbranch.cli.terminal import clean


def shown(text: str) -> str:
    """`text` as one line for rich, with nothing in it that is markup."""
    return escape(clean(text))


class Terminal(Console):
    """rich's console for `shown` texts. width: None for that of the terminal."""

    def __init__(self, *, width: int | None = None, stderr: bool = False) -> None:
        """Take stdout, or stderr."""
        super().__init__(highlight=False, emoji=False, width=width, stderr=stderr)

    def render_str(self, text: str, **options: Any) -> Text:
        """What rich makes of every text that it is given: one line here, without pictures."""
        return super().render_str(printable(text), **{**options, "emoji": False})
