"""PGP messages as they stand in files and in values: found, and told apart whatever their indentation. And files
that are encrypted as a whole.

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
"""Characters of one message; a larger one is not a pillar value."""


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


GIT_CRYPT = "git-crypt"
# How files begin that git-crypt (its commands.cpp) and transcrypt (openssl's Salted__ in base64) wrote, and PGP's own
# binary and text forms (blackbox and others).
_SEALED = (
    (b"\0GITCRYPT\0", GIT_CRYPT),
    (b"U2FsdGVkX1", "transcrypt"),
    (b"age-encryption.org/v1", "age"),
    (b"-----BEGIN AGE ENCRYPTED FILE-----", "age"),
    (b"$ANSIBLE_VAULT;", "ansible-vault"),
)
_SOPS_VALUE = b"ENC[AES256_GCM,"
_SOPS = re.compile(rb"^[ \t]*[\"']?sops[\"']?[ \t]*:", re.MULTILINE)


def sealed_by(data: bytes) -> str | None:
    """The program without whose key nobody can read a file with this content; None for other files.

    sops leaves the keys of a file readable, and none of its values.
    """
    for begin, program in _SEALED:
        if data.startswith(begin):
            return program
    return "sops" if _SOPS_VALUE in data and _SOPS.search(data) else None
