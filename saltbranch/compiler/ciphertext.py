"""PGP messages as they stand in files and in values: found, and told apart whatever their indentation.

Pure. The side that has the keys looks for them in the tree's files, the side that runs a branch's code
asks for what it is given by Salt's renderer; both mean the same message by the same `name_of`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

MARK = "-----BEGIN PGP MESSAGE-----"
_MESSAGE = re.compile(rf"{MARK}.*?-----END PGP MESSAGE-----", re.DOTALL)
LARGEST = 1 << 20
"""Characters of one message; a larger one is no value of a pillar."""


def messages(text: str) -> Iterator[str]:
    """Every PGP message in `text`, normalised."""
    for match in _MESSAGE.finditer(text):
        if len(match.group()) <= LARGEST:
            yield normalised(match.group())


def normalised(message: str) -> str:
    """Without indentation, and with real line ends where a quoted YAML text has ``\\n``.

    An empty line stays: it parts the headers of a message from its body (RFC 4880, 6.2).
    """
    return "\n".join(line.strip() for line in message.replace("\\n", "\n").splitlines())


def name_of(message: str) -> str:
    """What a message goes by; it says nothing about the content."""
    return hashlib.sha256(normalised(message).encode("utf-8", "replace")).hexdigest()
