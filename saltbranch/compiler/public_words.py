"""Puts words that are public anyway back into what results tell (see `hiding`).

A hidden word is a keyed digest, so it is looked for among the digests of all words of the states: some hundred
thousand in a large repository, which takes seconds. What was found is kept with the cache, by the blobs that were
searched, and only blobs that are new are searched again.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence

from saltbranch.compiler.cache import CompileCache
from saltbranch.compiler.dispatcher import derived
from saltbranch.compiler.hiding import is_hiding, unhidden, words_of
from saltbranch.compiler.inside.mask import Mask
from saltbranch.compiler.model import Compiled, digest, without_digest
from saltbranch.compiler.tree import Tree
from saltbranch.git.tree import contents

_SEARCHED = "words"
_MOST = 4
"""Times as many blobs as the trees at hand have are remembered as searched: those of some other branches."""
_MOST_WORDS = 20_000


class Public:
    """The words that stand in the states of `trees`, and in the names of their files."""

    def __init__(self, trees: Sequence[Tree], cache: CompileCache) -> None:
        """Nothing is looked for before it is asked for."""
        self.trees, self.cache = trees, cache
        self._found: _Found | None = None

    def key(self, key: str) -> str:
        """The `Chunk.key`, or an argument's name, as it may be told; without its digest where nothing of it is hidden
        any more.
        """
        if not is_hiding((key,)):
            return key
        is_whole = True

        def word(name: str) -> str | None:
            nonlocal is_whole
            found = self._word(name)
            is_whole = is_whole and found is not None
            return found

        text = unhidden(key, word)
        return without_digest(text) if is_whole else text

    def shown(self, result: Compiled) -> Compiled:
        """`result` with errors, notes and calls as they may be told."""
        if not is_hiding((*result.errors, *result.notes, *result.asked)):
            return result
        errors = tuple(unhidden(text, self._word) for text in result.errors)
        notes = tuple(unhidden(text, self._word) for text in result.notes)
        calls = (unhidden(text, self._word) for text in result.asked)
        asked = tuple(call.partition("(")[0] if "***" in call else call for call in calls)
        return dataclasses.replace(result, errors=errors, notes=notes, asked=asked)

    def text(self, text: str) -> str:
        """A text of a result as it may be told."""
        return unhidden(text, self._word) if is_hiding((text,)) else text

    def _word(self, name: str) -> str | None:
        if self._found is None:
            self._found = _Found(self.trees, self.cache)
        return self._found.word(name)

    def keep(self) -> None:
        """Keep what was found for the next run."""
        if self._found is not None:
            self._found.keep()


class _Found:
    """Digests of words and the words, each with a blob that it stands in; None for one that stands in none.

    The files' names count as one blob more.
    """

    def __init__(self, trees: Sequence[Tree], cache: CompileCache) -> None:
        self.cache = cache
        self.mask = Mask(bytes.fromhex(derived(cache.key(), "words")))
        self.places: dict[str, Tree] = {}
        self.listed: dict[str, str] = {}
        for tree in trees:
            self.places.update(dict.fromkeys(tree.public_blobs, tree))
            names = "\n".join(tree.entries)
            self.listed[f"names {digest(names)}"] = names
        self.all: dict[str, tuple[str, str]] | None = None
        self.asked: set[str] = set()
        self.kept, searched = _read(cache.notes(_SEARCHED))
        own = {*self.places, *self.listed}
        self.searched = own if len(searched | own) > _MOST * len(own) else searched | own
        self.is_new = bool(own - searched)
        self.fresh = self._searched(own - searched) if searched else {}
        for name, held in self.kept.items():
            if name in self.fresh and (held is None or held[1] not in own):
                self.kept[name] = self.fresh[name]
        self.own = own

    def word(self, name: str) -> str | None:
        """The word whose digest is `name`, if it is public."""
        self.asked.add(name)
        if name in self.kept:
            held = self.kept[name]
            if held is None or held[1] in self.own:
                return held and held[0]
        if self.all is None:
            self.all = self._searched(self.own)
            self.searched = (
                self.own
            )  # what is found to be in none of these was looked for in no other
        found = self.kept[name] = self.all.get(name)
        self.is_new = True
        return found and found[0]

    def keep(self) -> None:
        """Add to what the cache has."""
        if len(self.kept) > _MOST_WORDS:  # results are believed in nothing, and not in this either
            self.kept = {name: self.kept[name] for name in self.asked}
        if self.is_new and 0 < len(self.kept) <= _MOST_WORDS:
            self.cache.note(_SEARCHED, {"blobs": sorted(self.searched), "words": self.kept})
            self.is_new = False

    def _searched(self, blobs: Iterable[str]) -> dict[str, tuple[str, str]]:
        """The digests of all words that stand in `blobs`, with word and blob."""
        by_tree: dict[int, list[str]] = {}
        texts = {blob: self.listed[blob] for blob in blobs if blob in self.listed}
        for blob in blobs:
            if blob in self.places:
                by_tree.setdefault(id(self.places[blob]), []).append(blob)
        found: dict[str, str] = {}
        for oids in by_tree.values():
            git = self.places[oids[0]].git
            texts.update((oid, os.fsdecode(data)) for oid, data in contents(git, oids).items())
        for blob, text in texts.items():
            for word in words_of(text):
                found.setdefault(word, blob)
        return {self.mask.digest(word): (word, blob) for word, blob in found.items()}


def _read(
    data: Mapping[str, object],
) -> tuple[dict[str, tuple[str, str] | None], set[str]]:
    """What was kept; nothing where it is not as it was written."""
    words, blobs = data.get("words"), data.get("blobs")
    if not isinstance(words, dict) or not isinstance(blobs, list):
        return {}, set()
    try:
        kept = {str(n): None if w is None else (str(w[0]), str(w[1])) for n, w in words.items()}
    except (TypeError, IndexError):
        return {}, set()
    return kept, {str(blob) for blob in blobs}
