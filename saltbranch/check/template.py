"""Jinja as text: its parts found, and replaced so that the rest can be read as YAML.

Where an expression stood, a mark is left that no file holds; where a statement stood, nothing. Lines
keep their numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from saltbranch.check import questions

# From Unicode's private use area, which YAML allows in plain text.
_OPEN, _CLOSE = "\ue000", "\ue001"
_MARK = re.compile(f"{_OPEN}[0-9]*{_CLOSE}")
# A mark for whatever only rendering tells.
ANY = f"{_OPEN}{_CLOSE}"

_BEGIN = re.compile(r"\{\{|\{%|\{#")
_INSIDE = re.compile(
    r""" "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' | %\} | [\[({] | [\])}] """, re.VERBOSE | re.DOTALL
)
_WORD = re.compile(r"\{%[-+]?\s*(\w+)")
_RAW_END = re.compile(r"\{%[-+]?\s*endraw\s*[-+]?%\}")
# Statements with an end of their own. What stands between is shown by the first, kept by the second.
_SHOWING = frozenset({"if", "for", "with", "block", "autoescape", "profile", "trans"})
_KEEPING = frozenset({"macro", "call", "filter", "load_yaml", "load_json", "load_text"})
_SWITCHES = frozenset({"else", "elif"})


@dataclass(frozen=True, slots=True)
class Plain:
    """A template without its Jinja.

    conditional: numbers of the lines that are not there in every rendering, or more than once.
    guarded: those that are there only if some file is, with the words of `questions.asked`. controlled: some are
    conditional.
    complete: nothing else is brought in at a place where states could stand.
    """

    text: str
    conditional: frozenset[int] = frozenset()
    controlled: bool = False
    complete: bool = True
    guarded: Mapping[int, frozenset[str]] = field(default_factory=dict)


def literal(text: str) -> bool:
    """Whether `text` holds no mark."""
    return _OPEN not in text


def shown(text: str) -> str:
    """`text` for people."""
    return _MARK.sub("{{...}}", text)


def matches(pattern: str, text: str) -> bool:
    """Whether `text` can come from `pattern`, whose marks stand for anything."""
    parts = _MARK.split(pattern)
    if len(parts) == 1:
        return pattern == text
    first, *middle, last = parts
    if len(text) < len(first) + len(last) or not text.startswith(first):
        return False
    if not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


def plain(text: str, *, first_only: bool = False) -> Plain:
    """`text` without its Jinja.

    first_only: of if/elif/else keep the first; otherwise all stand below one another.
    """
    return _Reader(text, first_only=first_only).read()


def expressions(text: str) -> list[tuple[str, int]]:
    """Each ``{{ ... }}`` of `text`, with the line that it begins on."""
    reader = _Reader(text, first_only=False)
    reader.read()
    return reader.expressions


class _Reader:
    def __init__(self, text: str, *, first_only: bool) -> None:
        self.text = text
        self.first_only = first_only
        self.out: list[str] = []
        self.line = 1
        self.open: list[str] = []  # the statements around this place
        self.hidden = 0  # from which depth on nothing is shown; 0: all is
        # What each of them, and those around it, ask for (see questions): in this branch, in what is left of it.
        self.guards: list[tuple[frozenset[str], frozenset[str]]] = []
        self.asked: dict[str, frozenset[str]] = {}
        self.conditional: set[int] = set()
        self.guarded: dict[int, frozenset[str]] = {}
        self.numbers: dict[str, int] = {}
        self.complete = True
        self.expressions: list[tuple[str, int]] = []

    def read(self) -> Plain:
        at = 0
        while (begin := _BEGIN.search(self.text, at)) is not None:
            self._show(self.text[at : begin.start()])
            at = self._tag(begin.start(), begin[0])
        self._show(self.text[at:])
        lines = frozenset(self.conditional)
        return Plain("".join(self.out), lines, bool(lines), self.complete, self.guarded)

    def _tag(self, start: int, kind: str) -> int:
        """Deal with the Jinja that begins at `start`; where it ends."""
        end = self._end(start, kind)
        tag = self.text[start:end]
        if kind == "{{":
            self.expressions.append((tag, self.line))
            self._expression(tag, start, end)
        elif kind == "{%":
            word = (_WORD.match(tag) or ("", ""))[1]
            if word == "raw":
                closing = _RAW_END.search(self.text, end)
                self._skip(tag)
                self._show(self.text[end : closing.start() if closing else len(self.text)])
                self._skip(closing[0] if closing else "")
                return closing.end() if closing else len(self.text)
            self._statement(tag, word, alone=self._alone(start, end, comment=True))
        else:
            self._skip(tag)
        return end

    def _end(self, start: int, kind: str) -> int:
        if kind == "{#":
            found = self.text.find("#}", start + 2)
            return len(self.text) if found < 0 else found + 2
        depth, at = 0, start + 2
        while (part := _INSIDE.search(self.text, at)) is not None:
            at = part.end()
            if part[0] == "%}":
                if kind == "{%":
                    return at
                at = part.start() + 1
            elif part[0] in "[({":
                depth += 1
            elif part[0] == "}" and depth == 0 and kind == "{{" and self.text[at : at + 1] == "}":
                return at + 1
            elif part[0] in "])}":
                depth = max(0, depth - 1)
        return len(self.text)

    def _alone(self, start: int, end: int, *, comment: bool = False) -> bool:
        """Whether nothing but other tags stands in its line; with `comment`, one of YAML may follow."""
        before = self.text.rfind("\n", 0, start) + 1
        after = self.text.find("\n", end)
        sides = self.text[before:start], self.text[end : len(self.text) if after < 0 else after]
        first, last = (re.sub(r"\{%.*?%\}|\{#.*?#\}", "", side).strip() for side in sides)
        return not first and (not last or (comment and last.startswith("#")))

    def _expression(self, tag: str, start: int, end: int) -> None:
        if self._alone(start, end):
            # Whole lines, of whatever kind: a macro's states, a block of text, an empty line.
            self.complete = False
            self._skip(tag)
            return
        number = self.numbers.setdefault(tag.strip("{}-+ \n\t"), len(self.numbers))
        if not self.hidden:
            self.out.append(f"{_OPEN}{number}{_CLOSE}")
        self._skip(tag)

    def _statement(self, tag: str, word: str, *, alone: bool) -> None:
        if not alone and word not in ("set", "do", "import", "from") and not self.hidden:
            number = self.numbers.setdefault(tag, len(self.numbers))
            self.out.append(f"{_OPEN}{number}{_CLOSE}")
        if self.open:
            self._mark(tag)
        if word == "include":
            self.complete = False
        if word == "set":
            self._set(tag)
        self._nest(tag, word, keeps=word in _KEEPING or (word == "set" and "=" not in tag))
        if self.open:
            self._mark(tag)
        self._skip(tag)

    def _set(self, tag: str) -> None:
        name = questions.variable(tag)
        if words := questions.asked(tag, self.asked):
            self.asked[name] = words
        elif not self.open:  # elsewhere the answer may be kept
            self.asked.pop(name, None)

    def _guard(self, tag: str) -> tuple[frozenset[str], frozenset[str]]:
        """What ``{% if %}`` or ``{% elif %}`` asks for, and what is there where its answer is no."""
        words = questions.asked(tag, self.asked)
        return (
            (questions.NOTHING, words) if questions.is_negated(tag) else (words, questions.NOTHING)
        )

    def _around(self) -> frozenset[str]:
        return self.guards[-1][0] if self.guards else questions.NOTHING

    def _nest(self, tag: str, word: str, *, keeps: bool) -> None:
        """Note that a statement begins, goes on or ends."""
        if word in _SWITCHES and self.guards:
            rest = self.guards.pop()[1]
            words, more = self._guard(tag) if word == "elif" else (rest, questions.NOTHING)
            self.guards.append((words | self._around(), rest | more))
        if word in _SHOWING or keeps:
            self.open.append(word)
            words, rest = self._guard(tag) if word == "if" else (questions.NOTHING,) * 2
            self.guards.append((words | self._around(), rest))
            if keeps and not self.hidden:
                self.hidden = len(self.open)
        elif word in _SWITCHES and self.first_only and self.open:
            self.hidden = self.hidden or len(self.open)
        elif word.startswith("end") and self.open:
            if self.hidden == len(self.open):
                self.hidden = 0
            self.open.pop()
            self.guards.pop()

    def _mark(self, part: str) -> None:
        lines = range(self.line, self.line + part.count("\n") + 1)
        self.conditional.update(lines)
        words = self._around()
        for line in lines if words else ():
            self.guarded[line] = words | self.guarded.get(line, questions.NOTHING)

    def _show(self, part: str) -> None:
        if self.open and part.strip():
            self._mark(part)
        if self.hidden:
            self._skip(part)
            return
        self.out.append(part)
        self.line += part.count("\n")

    def _skip(self, part: str) -> None:
        breaks = part.count("\n")
        self.out.append("\n" * breaks)
        self.line += breaks
