"""Which path of the pillar a hidden value is the value of, so that somebody can say that it may be shown. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from saltbranch.compiler.inside.mask import SECRET_NAME
from saltbranch.compiler.model import Chunk

_MOST = 3
# An ID in which something is hidden carries the beginning of a digest (compiler/inside/describe.py).
_HIDDEN = re.compile(r" ~([0-9a-f]{8})(?: \| |$)")
Origins = Mapping[str, Mapping[str, tuple[str, ...]]]
"""The key of a state to the paths behind its hidden values: by the name of the argument, ``""`` for its ID."""


def looks_secret(path: str) -> bool:
    """Whether a path of the pillar speaks of a secret: nobody is told how to show that."""
    return SECRET_NAME.search(path) is not None


class Pillars:
    """Both sides of a minion's pillar, by digest, as far as its hidden values are asked for."""

    def __init__(self, old: Mapping[str, str], new: Mapping[str, str]) -> None:
        """old, new: path to the keyed digest of the value."""
        self._sides = (old, new)
        self._paths: dict[int, dict[str, list[str]]] = {}

    def of_pair(self, old: Any, new: Any) -> tuple[str, ...]:
        """The paths whose values both sides of an argument are, as far as they are hidden."""
        found: list[set[str]] = []
        for number, value in enumerate((old, new)):
            if isinstance(value, Mapping) and set(value) == {"masked"}:
                found.append(set(self._known(number).get(str(value["masked"]), ())))
        return _first(set.intersection(*found)) if found else ()

    def of_id(self, key: str, *, new: bool) -> tuple[str, ...]:
        """The paths whose value is the whole ID of a state."""
        found = _HIDDEN.search(key)
        if found is None:
            return ()
        known = self._known(int(new))
        return _first(p for digest in known if digest.startswith(found[1]) for p in known[digest])

    def _known(self, side: int) -> dict[str, list[str]]:
        if side not in self._paths:
            found: dict[str, list[str]] = {}
            for path, digest in self._sides[side].items():
                found.setdefault(digest, []).append(path)
            self._paths[side] = found
        return self._paths[side]


def _first(paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(paths)[:_MOST])


def found(
    pillars: Pillars,
    removed: Iterable[Chunk],
    added: Iterable[Chunk],
    changed: Iterable[tuple[str, Mapping[str, tuple[Any, Any]]]],
) -> Origins:
    """Of all that one minion's two sides differ in. changed: key and arguments."""
    origins: dict[str, dict[str, tuple[str, ...]]] = {}
    for new, chunks in ((False, removed), (True, added)):
        for chunk in chunks:
            if paths := pillars.of_id(chunk.key, new=new):
                origins.setdefault(chunk.key, {})[""] = paths
    for key, arguments in changed:
        for name, (old, new_value) in arguments.items():
            if paths := pillars.of_pair(old, new_value):
                origins.setdefault(key, {})[name] = paths
    return origins
