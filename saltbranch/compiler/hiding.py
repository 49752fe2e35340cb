"""What of a text may be told: the words that are public, and none besides.

An error, a note or an ID may hold a value of the pillar in any form: cut, reversed, encoded, hashed. No list of
values and of forms is complete, so the rule is the other way round. A word is told when everybody may know it
anyway: it stands in the state files, in a name of a file, in Salt's own messages, in a key of the pillar, or it
is the minion's own grain. Whatever else stands there is a keyed digest from the sandbox on, which `unhidden` turns
into the word where it is one of the states' files (of either tree that is compared), and else into ``***``.

The words are runs of letters and digits, and four or more other signs in a row. Shorter ones than four are told,
unless four signs of such words stand in a row. A value of the pillar that is more than one word (a
sentence, an address) is hidden whole wherever it stands as it is, though each of its words is public.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from saltbranch.compiler.inside.mask import SHORTEST_SECRET, Mask

_WORDS = re.compile(rf"[^\W_]+|(?:[^\w\s]|_){{{SHORTEST_SECRET},}}")
_WHOLE = re.compile(r"[\w.@/+-]+")
# Only letters, then a few digits: `worker7` is public where `worker` is, unless it is a value as it stands.
_NUMBERED = re.compile(r"([^\W\d_]+)([0-9]{1,3})")
_SHORTEST_PART = 2
_PLACES = ("line", "column")
_LONGEST_PLACE = 5
_STAND_IN = re.compile("\0([0-9a-f]{32})([0-9]{0,3})\0")
_MOST = 4000


def words_of(text: str) -> set[str]:
    """The words that stand in `text`: single ones, numbered ones without their number, and those that dots,
    slashes and the like join.
    """
    found = set(_WORDS.findall(text))
    found.update(word.rstrip("0123456789") for word in [*found] if word[-1:].isdigit())
    for part in set(_WHOLE.findall(text)):
        found.update((part, part.strip("./-+@")))
    found.discard("")
    return found


def stands_in(word: str, text: str) -> bool:
    """Whether `word` stands in `text`, and not merely as a part of a longer word."""
    if not word:
        return True
    before, after = word[0].isalnum(), word[-1].isalnum()
    at = text.find(word)
    while at >= 0:
        end = at + len(word)
        if not (
            (before and at > 0 and text[at - 1].isalnum())
            or (after and end < len(text) and text[end].isalnum())
        ):
            return True
        at = text.find(word, at + 1)
    return False


def forms_of(values: Iterable[str]) -> list[str]:
    """The values that are not a single word, as they are and as messages quote them; the longest first."""
    found: set[str] = set()
    for value in values:
        if _WORDS.fullmatch(value):
            continue
        found.update((value, repr(value)[1:-1], value.replace("'", "''")))
        found.update(json.dumps(value, ensure_ascii=how)[1:-1] for how in (True, False))
    return sorted((f for f in found if len(f) >= SHORTEST_SECRET), key=len, reverse=True)


@dataclass(slots=True)
class Known:
    """What is public about one minion, as far as a sandbox can tell; looked for only where it is needed.

    words: for certain. own: the minion's (grains, keys of its pillar). names: of the tree's files, and other texts
    in which nothing is a secret. read: the text of the state files that it reads.
    """

    words: frozenset[str] = frozenset()
    own: Callable[[], str] = str
    names: str = ""
    read: Callable[[], str] = str
    _own: frozenset[str] | None = None
    _read: str | None = None

    def has(self, word: str) -> bool:
        """Whether `word`, a single one, is public."""
        if word in self.words:
            return True
        if self._own is None:
            self._own = frozenset(words_of(self.own()))
        return word in self._own or stands_in(word, self.texts())

    def holds(self, text: str) -> bool:
        """Whether `text` stands as it is in what is public."""
        return text in self.names or text in self.own() or text in self.texts()

    def texts(self) -> str:
        """What the minion reads of the states."""
        if self._read is None:
            self._read = self.read()
        return self._read


class Hider:
    """Hides what is not public in the texts about one minion.

    mask: makes digests of words. values: of the pillar, and what else is secret.
    """

    def __init__(self, mask: Mask, known: Known, values: Collection[str]) -> None:
        self.mask = mask
        self.known = known
        self.values = frozenset(values)
        self._forms: list[str] | None = None

    def is_public(self, text: str, source: str = "") -> bool:
        """Whether all of `text` is told as it is."""
        return "\0" not in self.hide(text, source)

    def hide(self, text: str, source: str = "") -> str:
        """`text` with a stand-in for what is not public, as far as that can be said here.

        source: the text of a file of the states; what stands there is public.
        """
        text = text.replace("\0", "")
        if source and stands_in(text, source):
            return text
        if self._forms is None:
            self._forms = forms_of(self.values)
        forms = [
            f for f in self._forms if f in text and f not in source and not self.known.holds(f)
        ]
        if not forms:
            return self._words(text, source)
        parts = re.split("(" + "|".join(map(re.escape, forms)) + ")", text)
        parts[::2] = [self._words(part, source) for part in parts[::2]]
        parts[1::2] = [self._stand_in(part) for part in parts[1::2]]
        return "".join(parts)

    def _words(self, text: str, source: str) -> str:
        if self.known.words.issuperset(_WORDS.findall(text)):
            return text
        parts: list[str] = []
        at = 0
        for start, word, shown in self._judged(text, source):
            parts += (text[at:start], shown)
            at = start + len(word)
        return "".join([*parts, text[at:]])

    def _judged(self, text: str, source: str) -> Iterator[tuple[int, str, str]]:
        """Every word with its place and what is told of it."""
        run: list[tuple[int, str, bool]] = []
        before = ""
        for found in _WORDS.finditer(text):
            word = found[0]
            is_told = self._is_told(word, source) or self._is_place(word, before)
            before = word
            if len(word) < SHORTEST_SECRET:
                run.append((found.start(), word, is_told))
                continue
            yield from self._short(run, text)
            run = []
            yield found.start(), word, word if is_told else self._long(word, source)
        yield from self._short(run, text)

    def _short(self, run: list[tuple[int, str, bool]], text: str) -> Iterator[tuple[int, str, str]]:
        """Short words in a row: they may be one longer word that was taken apart."""
        unknown = sum(len(word) for _, word, is_told in run if not is_told)
        starts = {start for start, _, _ in run}
        ends = {start + len(word) for start, word, _ in run}
        for start, word, _ in run:
            # One of Salt's words stands apart in a message; joined to the others by a sign it is a part of them.
            joined = (start - 1 in ends and not text[start - 1].isspace()) or (
                start + len(word) + 1 in starts and not text[start + len(word)].isspace()
            )
            hidden = unknown >= SHORTEST_SECRET and (joined or word not in self.known.words)
            yield start, word, self._stand_in(f"one of {word}") if hidden else word

    def _long(self, word: str, source: str) -> str:
        if word in self.values:
            return self._stand_in(word)
        numbered = _NUMBERED.fullmatch(word)
        if numbered is not None and not self._is_told(numbered[1], source):
            return self._stand_in(*numbered.groups())
        if numbered is not None or self._is_joined(word, source):
            return word
        return self._stand_in(word)

    def _is_joined(self, word: str, source: str) -> bool:
        """Whether two words of the states make up `word`: `'lib' ~ 'ssl'`."""
        texts = (source, self.known.texts())
        return any(
            all(any(stands_in(part, text) for text in texts) for part in (word[:n], word[n:]))
            for n in range(_SHORTEST_PART, len(word) - _SHORTEST_PART + 1)
        )

    def _is_told(self, word: str, source: str) -> bool:
        return (bool(source) and stands_in(word, source)) or self.known.has(word)

    def _is_place(self, word: str, before: str) -> bool:
        """Whether it is the number of a line, as Salt and Python write it down."""
        is_number = before in _PLACES and word.isdecimal() and len(word) <= _LONGEST_PLACE
        return is_number and word not in self.values

    def _stand_in(self, word: str, number: str = "") -> str:
        return f"\0{self.mask.digest(word)}{number}\0"


def shortened(text: str, most: int) -> str:
    """The first `most` signs of a text of `Hider.hide`, at the end of a word; a stand-in counts as three."""
    parts, room = [], most
    for n, part in enumerate(re.split("(\0[^\0]*\0)", text)):
        if n % 2:
            room -= 3
        elif len(part) > room:
            parts.append(_at_a_word(part, max(0, room)))
            break
        else:
            room -= len(part)
        parts.append(part)
    return "".join(parts)


def manageable(text: str) -> str:
    """`text`, or the beginning of a very long one, which ends with a whole word."""
    return _at_a_word(text, _MOST)


def _at_a_word(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    while most > 0 and text[most - 1].isalnum() and text[most].isalnum():
        most -= 1
    return text[:most]


def unhidden(text: str, public: Callable[[str], str | None]) -> str:
    """`text` with the words that are public. public: the word of a digest, None when it is none of them."""

    def shown(found: re.Match[str]) -> str:
        word = public(found[1])
        return "***" if word is None else f"{word}{found[2]}"

    return _STAND_IN.sub(shown, text).replace("\0", "")


def is_hiding(texts: Iterable[str]) -> bool:
    """Whether anything stands for a hidden word in there."""
    return any("\0" in text for text in texts)
