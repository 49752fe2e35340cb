"""Makes data of Salt plain, and hides what may be a secret, inside the sandbox already.

A value of the pillar leaves it as a keyed digest. An argument of a state leaves it as it is only if
everything in it stands literally in the sls file that the state comes from, which everybody who may
read the state tree knows anyway; what a template put in may come from the pillar.
"""

from __future__ import annotations

import base64
import fnmatch
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
SHORTEST_SECRET = 4


def plain(value: Any) -> Any:
    """`value` as JSON knows it; equal values stay equal, and different ones different."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else {"\0float": repr(value)}
    if isinstance(value, (bytes, bytearray)):
        return {"\0bytes": base64.b64encode(bytes(value)).decode()}
    if isinstance(value, (dict, Mapping)):  # the first is quick, the second asks an abstract class
        if all(isinstance(key, str) for key in value):
            return {str(key): plain(item) for key, item in value.items()}
        pairs = [[plain(key), plain(item)] for key, item in value.items()]
        return {"\0map": sorted(pairs, key=lambda pair: json.dumps(pair[0], sort_keys=True))}
    if isinstance(value, (set, frozenset)):
        return {"\0set": sorted((plain(item) for item in value), key=json.dumps)}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return {"\0" + type(value).__name__: _ADDRESS.sub("", str(value))}


_encoded = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
_quoted = json.encoder.encode_basestring_ascii


class Mask:
    """Digests that tell equal from different and nothing else; `key` is secret."""

    __slots__ = ("_empty",)

    def __init__(self, key: bytes) -> None:
        self._empty = hashlib.blake2b(key=key, digest_size=16)

    def digest(self, value: Any) -> str:
        """The keyed digest of plain data."""
        made = self._empty.copy()
        made.update((_quoted(value) if type(value) is str else _encoded(value)).encode())
        return made.hexdigest()

    def pillar(self, data: Mapping[str, Any]) -> dict[str, str]:
        """Path of every leaf, joined by ``:``, to the digest of its value."""
        return {path: self.digest(value) for path, value in leaves(data)}

    def argument(
        self, value: Any, source: str, secrets: frozenset[str], shown: frozenset[str]
    ) -> Any:
        """`value` if it may be shown, else its digest. source: the text of its sls file."""
        if may_show(value, source, secrets, shown):
            return value
        return {"masked": self.digest(value)}


def leaves(data: Any, path: str = "") -> Iterable[tuple[str, Any]]:
    """Path and value of every leaf; a list is one leaf, for its order has a meaning."""
    if isinstance(data, dict) and data and not any(str(key).startswith("\0") for key in data):
        for key, value in data.items():
            yield from leaves(value, f"{path}:{key}" if path else str(key))
    elif path:
        yield path, data


def texts(value: Any) -> Iterable[str]:
    """Every text and number in plain data, keys aside."""
    if isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    elif isinstance(value, bool) or value is None:
        return
    else:
        yield str(value)


def keys(value: Any) -> Iterable[str]:
    """Every key in plain data."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from keys(item)
    elif isinstance(value, list):
        for item in value:
            yield from keys(item)


def secrets_of(pillar: Any) -> frozenset[str]:
    """The texts of a pillar that are long enough to be looked for in other texts."""
    found: set[str] = set()
    for text in texts(pillar):
        for part in (text, *text.splitlines()):
            if len(part.strip()) >= SHORTEST_SECRET:
                found.update((part, part.strip()))
    return frozenset(found)


SECRET_NAME = re.compile(r"pass|secret|token|key|credential|private|pw|salt", re.IGNORECASE)
_NOT_A_NAME = 20


def surely_secret(pillar: Any) -> frozenset[str]:
    """The values that are secrets by their key or by their look, not just any word of a pillar."""
    found = set()
    for path, value in leaves(pillar):
        for text in texts(value):
            looks_random = len(text) >= _NOT_A_NAME and not any(c in text for c in "/. @")
            if len(text) >= SHORTEST_SECRET and (looks_random or SECRET_NAME.search(path)):
                found.add(text)
    return frozenset(found)


def shown_of(pillar: Any, paths: Sequence[str]) -> frozenset[str]:
    """The texts at those paths of the pillar whose values may be shown. paths: globs, of which `*` stands for signs of
    one key and the key `**` for any number of keys.
    """
    if not paths:
        return frozenset()
    return frozenset(
        text
        for path, value in leaves(pillar)
        if any(is_at(path.split(":"), pattern.split(":")) for pattern in paths)
        for text in texts(value)
    )


def is_at(keys_: Sequence[str], globs: Sequence[str]) -> bool:
    """Whether a path of the pillar is one that `globs` stand for, key by key."""
    if not globs:
        return not keys_
    if globs[0] == "**":
        return any(is_at(keys_[n:], globs[1:]) for n in range(len(keys_) + 1))
    return bool(keys_) and fnmatch.fnmatchcase(keys_[0], globs[0]) and is_at(keys_[1:], globs[1:])


def may_show(
    value: Any, source: str, secrets: frozenset[str], shown: frozenset[str] = frozenset()
) -> bool:
    """Whether all of `value` stands literally in `source` or is `shown`, and none of it is in `secrets`."""
    for text in (*texts(value), *keys(value)):
        if text in shown:
            continue
        if text in secrets:
            return False
        if any(line.strip() not in source for line in text.splitlines()):
            return False
    return True


_WORD = 5


def redact(text: str, secrets: Iterable[str]) -> str:
    """`text` with ``***`` in the place of `secrets`, which stand there as they are.

    A short word ("fine") counts where it stands by itself, not within another one ("undefined").
    """
    text = text.replace("\0", "")
    for secret in sorted(secrets, key=len, reverse=True):
        if secret not in text:
            continue
        if len(secret) <= _WORD and secret.isalpha():
            text = re.sub(rf"(?<![^\W_]){secret}(?![^\W_])", "\0", text)
        else:
            text = text.replace(secret, "\0")
    return text.replace("\0", "***")
