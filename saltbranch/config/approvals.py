"""The gate `approvals` as configured: how many people must sign a plan, and who may. promote/approvals.py judges."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from saltbranch.base.errors import ConfigError
from saltbranch.config.signers import DEFAULT, parse_signers

_EXAMPLE = "{approvals: {count: 2}}"
_MOST = 20


class ApprovalsRuleModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many people, and whose signatures count: a file of the repository, or its lines."""

    count: Annotated[int, msgspec.Meta(ge=1, le=_MOST)]
    from_: str | list[str] = msgspec.field(name="from", default=DEFAULT)
    not_author: bool | UnsetType = UNSET


class ApprovalsModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The gate `approvals`."""

    approvals: ApprovalsRuleModel


def parse_rule(value: Any, where: str) -> tuple[int, str, tuple[str, ...], bool]:
    """How many; the file of allowed signers or its lines; whether authors are left out. Raises ConfigError."""
    if not isinstance(value, dict) or "count" not in value:
        raise ConfigError(f"{where}: {value!r} does not have count", hint=_EXAMPLE)
    for key in value:
        if key not in ("count", "from", "not_author"):
            raise ConfigError(
                f"{where}: unknown key {key!r}", hint="known: count, from, not_author"
            )
    count, not_author = value["count"], value.get("not_author", True)
    if type(count) is not int or not 1 <= count <= _MOST:
        raise ConfigError(f"{where}: count: {count!r} is not from 1 to {_MOST}", hint="change it")
    if type(not_author) is not bool:
        raise ConfigError(
            f"{where}: not_author: {not_author!r} is not true or false", hint="fix it"
        )
    signers = parse_signers(value.get("from", DEFAULT), f"{where}: from")
    return count, signers.file, signers.lines, not_author
