"""The one way out to the terminal: whatever strangers wrote steers neither it nor those who read its lines.

Names of files, commit messages, reasons and sls ids are anybody's. A line of ours stays one line, and control
characters are replaced. For what is coloured there is console.py on top of it.
"""

from __future__ import annotations

import re
import sys

from saltbranch.base.text import printable

# How messages of ours that have several lines go on (saltbranch.git.indent).
_OWN_BREAK = re.compile(r"\n {2,}")
_DOUBTFUL = re.compile(r"[^\n\t -~]")


def clean(text: str) -> str:
    """`text` as one line."""
    return printable(_OWN_BREAK.sub(" ", text))


def echo(text: str = "", *, err: bool = False) -> None:
    """Write one line."""
    _write(clean(text) + "\n", err=err)


def block(text: str, *, err: bool = False) -> None:
    """Write a text whose line breaks are ours."""
    if not _DOUBTFUL.search(text):  # a fleet's worth of JSON, for example
        _write(text, err=err)
        return
    lines = text.split("\n")
    _write("\n".join("\t".join(map(printable, line.split("\t"))) for line in lines), err=err)


def _write(text: str, *, err: bool) -> None:
    stream = sys.stderr if err else sys.stdout
    stream.write(text.encode("utf-8", "replace").decode())
