"""Lines of allowed signers as ssh-keygen(1) has them: which keys they name, and whose these are. Anybody wrote them."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator

LARGEST = 1_000_000
"""Bytes of a file of them."""
_TYPE = re.compile(r"(?:ssh|ecdsa|sk)-[a-z0-9@.-]{1,60}")
_KEY = re.compile(r"[A-Za-z0-9+/]{40,}={0,2}")


def keys_of(text: str) -> dict[str, set[str]]:
    """Fingerprint to principals, on whichever lines these stand and whatever the options there are."""
    found: dict[str, set[str]] = {}
    for principals, key in _lines(text):
        if fingerprint := fingerprint_of(key):
            names = (name for name in principals.split(",") if name)
            found.setdefault(fingerprint, set()).update(names)
    return found


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


def fingerprint_of(key: str) -> str:
    """`SHA256:...` of a key in base64; empty for what is none."""
    try:
        data = base64.b64decode(key, validate=True)
    except ValueError:
        return ""
    return "SHA256:" + base64.b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
