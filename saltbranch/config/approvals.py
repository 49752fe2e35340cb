"""The gate `approvals` as configured: how many people must sign a plan, and who may. promote/approvals.py judges."""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from saltbranch.base.errors import ConfigError

_EXAMPLE = "{approvals: {count: 2, from: allowed_signers}}"
_MOST = 20
# ssh-keygen(1), ALLOWED SIGNERS: principals, options perhaps, type and key.
_LINE = (
    r'("[^"]+"|[^\s"#-][^\s"]*)\s+(.*\s)?(ssh|ecdsa|sk)-[a-z0-9@.-]+\s+[A-Za-z0-9+/]{40,}=*(\s.*)?'
)


class ApprovalsRuleModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many people, and whose signatures count: a file of the repository, or its lines."""

    count: Annotated[int, msgspec.Meta(ge=1, le=_MOST)]
    from_: str | list[str] = msgspec.field(name="from")
    not_author: bool | UnsetType = UNSET


class ApprovalsModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The gate `approvals`."""

    approvals: ApprovalsRuleModel


def parse_rule(value: Any, where: str) -> tuple[int, str, tuple[str, ...], bool]:
    """How many; the file of allowed signers or its lines; whether authors are left out. Raises ConfigError."""
    if not isinstance(value, dict) or not {"count", "from"} <= set(value):
        raise ConfigError(f"{where}: {value!r} does not have count and from", hint=_EXAMPLE)
    for key in value:
        if key not in ("count", "from", "not_author"):
            raise ConfigError(
                f"{where}: unknown key {key!r}", hint="known: count, from, not_author"
            )
    count, source, not_author = value["count"], value["from"], value.get("not_author", True)
    if type(count) is not int or not 1 <= count <= _MOST:
        raise ConfigError(f"{where}: count: {count!r} is not from 1 to {_MOST}", hint="change it")
    if type(not_author) is not bool:
        raise ConfigError(
            f"{where}: not_author: {not_author!r} is not true or false", hint="fix it"
        )
    if isinstance(source, str):
        return count, _path(source, where), (), not_author
    lines = source if isinstance(source, list) else []
    for line in lines:
        if not isinstance(line, str) or "\n" in line or not re.fullmatch(_LINE, line):
            raise ConfigError(
                f"{where}: from: {line!r} is not a line of allowed signers (ssh-keygen(1))",
                hint="ann@example.com ssh-ed25519 AAAA...",
            )
    if not lines:
        raise ConfigError(f"{where}: from: {source!r} names nobody", hint=_EXAMPLE)
    return count, "", tuple(lines), not_author


def _path(text: str, where: str) -> str:
    parts = text.split("/")
    if not text.isprintable() or any(p in ("", ".", "..", ".git") for p in parts):
        raise ConfigError(
            f"{where}: from: {text!r} is not the path of a file in the repository",
            hint="from its root on, without ./ and ../",
        )
    return text
