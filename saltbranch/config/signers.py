"""Whose signatures count: a file of allowed signers in the repository, or its lines in the model (ssh-keygen(1))."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from saltbranch.base.errors import ConfigError

DEFAULT = "allowed_signers"
"""The file that counts where none is named, beside saltbranch.yaml."""

# ssh-keygen(1), ALLOWED SIGNERS: principals, options perhaps, type and key.
_LINE = re.compile(
    r'("[^"]+"|[^\s"#-][^\s"]*)\s+(.*\s)?(ssh|ecdsa|sk)-[a-z0-9@.-]+\s+[A-Za-z0-9+/]{40,}=*(\s.*)?'
)

KEY = msgspec.Meta(
    description="every commit must be signed by an allowed signer, or be a clean merge of such: `true` (those of the"
    f" file `{DEFAULT}`), another file, or a list of its lines: [signed commits](../how-to/signed-commits.md)",
    extra={"default": "`false`"},
    extra_json_schema={
        "anyOf": [
            {"type": ["boolean", "string", "null"]},
            {"type": "array", "items": {"type": "string"}},
        ]
    },
)
"""That of `require_signed:`."""


class Signers(msgspec.Struct, frozen=True):
    """file: from the root of the repository on; lines: of it, where there is none."""

    file: str = ""
    lines: tuple[str, ...] = ()


def as_text(signers: Signers, keeps: tuple[tuple[str, ...], ...]) -> str:
    """Both in one line, for `of_text`. keeps: as `kept_together`."""
    return json.dumps([signers.file, signers.lines, keeps])


def of_text(text: str) -> tuple[Signers, tuple[tuple[str, ...], ...]]:
    """What `as_text` was given."""
    file, lines, keeps = json.loads(text)
    return Signers(file, tuple(lines)), tuple(tuple(keep) for keep in keeps)


def kept_together(owned: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Paths that a merge from one saltenv into another may leave as they are. owned: of each saltenv."""
    pairs = (tuple(dict.fromkeys((*ours, *theirs))) for ours in owned for theirs in owned)
    return tuple(dict.fromkeys(pair for pair in pairs if pair))


def parse_signers(value: Any, where: str) -> Signers:
    """A file or lines. Raises ConfigError."""
    if isinstance(value, str):
        return Signers(_path(value, where))
    lines = value if isinstance(value, list) else []
    for line in lines:
        if not isinstance(line, str) or "\n" in line or not _LINE.fullmatch(line):
            raise ConfigError(
                f"{where}: {line!r} is not a line of allowed signers (ssh-keygen(1))",
                hint="ann@example.com ssh-ed25519 AAAA...",
            )
    if not lines:
        raise ConfigError(f"{where}: {value!r} names nobody", hint=f"for example {DEFAULT}")
    return Signers(lines=tuple(lines))


def parse_required(value: Any, where: str) -> Signers | None:
    """What `require_signed:` means; None where nothing has to be signed. Raises ConfigError."""
    if value is None or value is False:
        return None
    return Signers(DEFAULT) if value is True else parse_signers(value, where)


def _path(text: str, where: str) -> str:
    parts = text.split("/")
    if not text.isprintable() or any(p in ("", ".", "..", ".git") for p in parts):
        raise ConfigError(
            f"{where}: {text!r} is not the path of a file in the repository",
            hint="from its root on, without ./ and ../",
        )
    return text
