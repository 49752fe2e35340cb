"""Rendered files as they leave the sandbox: a digest of all of it, and the lines that hold nothing of the pillar.

A line is told if it stands in a state file that the minion reads, as a line of it. Any other is told only if each
of its words is public (`hiding`), the short ones too, one of them has three letters, and no value of the pillar stands
in it, however short. What is not told is a keyed digest, so that changed lines can be counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from saltbranch.compiler.hiding import Hider, manageable, stands_in
from saltbranch.compiler.inside.current_minion import HOST
from saltbranch.compiler.inside.mask import SHORTEST_SECRET, Mask, leaves, texts
from saltbranch.compiler.inside.rendered import File
from saltbranch.compiler.inside.rendered_lines import (
    HALF,
    HIDDEN,
    NO_END,
    PRIVATE_KEY,
    TOLD,
    split,
)

_MOST_TOLD, _MOST_LINES = 1 << 20, 3000
"""Characters of lines of one minion, and lines of one file."""
_WORD = re.compile(r"[^\W_]+")
_LONG = re.compile(r"[^\W\d_]{3}")
_LONGEST_LINE = 2000


class Teller:
    """Tells of one minion's files.

    pillar: what it is told of nothing: the minion's pillar and what else is secret. shown: values that may be shown.
    states: the text of all state files that it reads. own: its id and grains.
    """

    def __init__(
        self,
        *,
        mask: Mask,
        hider: Hider,
        secret: Sequence[Any],
        shown: frozenset[str],
        states: str,
        own: Iterable[str],
    ) -> None:
        """Take in what is public and what is not."""
        self.mask, self.hider = mask, hider
        self.lines = {line.strip() for line in states.splitlines()}
        self.words = set(_WORD.findall(states))
        for text in own:
            self.words.update(_WORD.findall(text))
        values = {v for data in secret for v in _values(data)} - shown
        self.single = {v for v in values if _WORD.fullmatch(v)}
        self.several = [v for v in values if not _WORD.fullmatch(v)]
        self.room = _MOST_TOLD

    def told(self, file: File) -> dict[str, Any]:
        """`model.Content` as plain data."""
        found: dict[str, Any] = {"source": file.source, "problem": file.problem}
        if file.error:
            found["problem"] += f": {self.hider.hide(manageable(file.error))}"
        if file.asked:
            found["asked"] = [HOST.told(name, self.hider.hide) for name in file.asked]
        if file.data is not None:
            found["digest"] = self.mask.digest(["content", file.data.hex()])
            found["lines"] = self._lines(file.data)
        return found

    def _lines(self, data: bytes) -> list[str]:
        """Each line, as far as it is told; nothing where there are too many, or where it is not text."""
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            return []
        lines = split(text)
        if PRIVATE_KEY.search(text):
            return []
        if "\0" in text or len(lines) > _MOST_LINES or len(text) > self.room:
            return []
        self.room -= len(text)
        return [self._line(line) for line in lines]

    def _line(self, line: str) -> str:
        stripped = line.strip()
        if not stripped or stripped in self.lines or line == NO_END:
            return f"{TOLD}{line}"
        digest = self.mask.digest(line)
        if len(line) > _LONGEST_LINE or not self._may_be_told(line):
            return f"{HIDDEN}{digest}"
        text = self.hider.hide(line)
        return f"{HALF}{digest}{text}" if "\0" in text else f"{TOLD}{line}"

    def _may_be_told(self, line: str) -> bool:
        words = _WORD.findall(line)
        short = [w for w in words if len(w) < SHORTEST_SECRET and w not in self.words]
        if any(w in self.single for w in words) or any(not w.isdecimal() for w in short):
            return False
        # A number or two beside a word, as loops and sums make them; not what may be a longer one, taken apart.
        if sum(map(len, short)) >= SHORTEST_SECRET or not _LONG.search(line):
            return False
        return not any(value in line and stands_in(value, line) for value in self.several)


def _values(data: Any) -> Iterable[str]:
    """Every text of plain data, its lines too; and what a template writes for yes, no and nothing."""
    for text in texts(data):
        yield from (part.strip() for part in (text, *text.splitlines()) if part.strip())
    if isinstance(data, Mapping):
        for _, leaf in leaves(data):
            if isinstance(leaf, bool) or leaf is None:
                yield from {str(leaf), str(leaf).lower()}
