"""Lines of allowed signers as ssh-keygen(1) has them: which keys they name, and whose these are. Anybody wrote them."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping

from saltbranch.base.ssh_keys import fingerprint_of

LARGEST = 1_000_000
"""Bytes of a file of them."""
_TYPE = re.compile(r"(?:ssh|ecdsa|sk)-[a-z0-9@.-]{1,60}")
_KEY = re.compile(r"[A-Za-z0-9+/]{40,}={0,2}")


@functools.lru_cache(4)
def keys_of(text: str) -> Mapping[str, set[str]]:
    """Fingerprint to principals, on whichever lines these stand and whatever the options there are."""
    found: dict[str, set[str]] = {}
    for principals, key in _lines(text):
        if fingerprint := fingerprint_of(key):
            names = (name for name in principals.split(",") if name)
            found.setdefault(fingerprint, set()).update(names)
    return found


def knows_all_keys(text: str) -> bool:
    """Whether `keys_of` has all keys that can sign by these lines; only ssh-keygen knows those of certificates."""
    lines = [line for line in map(str.strip, text.splitlines()) if line and line[0] != "#"]
    return "cert-authority" not in text.lower() and len(lines) == sum(1 for _ in _lines(text))


def problem_of(text: str) -> str:
    """Why nobody can sign by such a file; empty where somebody can."""
    if len(text) > LARGEST:
        return f"it is larger than {LARGEST} bytes"
    return "" if keys_of(text) else "it names nobody"


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """Principals and key of each. Word by word, so that no line takes long."""
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith('"'):
            principals, _, rest = line[1:].partition('"')
            words = rest.split()
        else:
            principals, *words = line.split()
        for word, key in zip(words, words[1:], strict=False):
            if _TYPE.fullmatch(word) and _KEY.fullmatch(key):
                yield principals, key
                break
