"""Gather a minion's own configuration."""

from __future__ import annotations

import os
from collections.abc import Iterator

from saltbranch.base import files
from saltbranch.base.errors import SaltError
from saltbranch.config import minions as targets
from saltbranch.config.model import Config
from saltbranch.doctor.finding import Finding
from saltbranch.doctor.rules import minion as rules
from saltbranch.salt_master import option_files
from saltbranch.salt_master.options import MasterOptions


def look(
    config: Config | None, master: MasterOptions, known: frozenset[str], explicit: str | None
) -> Iterator[Finding]:
    """The minion of this machine, or the one that the main file `explicit` belongs to.

    Raises SaltError when `explicit` cannot be read.
    """
    path = explicit or default_path(master)
    if os.path.isfile(path) or explicit:
        yield from rules.check(described(path, config, master, known))


def default_path(master: MasterOptions) -> str:
    """The configuration of the minion on the master's machine: beside the master's."""
    return f"{os.path.dirname(master.path)}/minion"


def described(
    path: str, config: Config | None, master: MasterOptions, known: frozenset[str]
) -> rules.Minion:
    """The minion's options with all that the rules need to judge them. Raises SaltError."""
    found = option_files.read(path, "minion.d/*.conf")
    for file in found:
        if file.problem:
            raise SaltError(f"{file.path}: {file.problem}", hint="fix that file")
    options = option_files.merged(found)
    minion_id = _id_or_none(path, options.get("id"))
    groups = {s.name: s.minions for s in config.saltenvs} if config else {}
    claims = targets.claimed_by(minion_id, groups, master.nodegroups) if minion_id else []
    return rules.Minion(
        path=path,
        options=options,
        id=minion_id,
        own=claims[0][0] if len(claims) == 1 else None,
        saltenvs=tuple(groups),
        places=option_files.places(found),
        known=known,
    )


def _id_or_none(path: str, value: object) -> str | None:
    """The id as configured, or as the minion remembers it (salt/config/__init__.py, get_id)."""
    if value:
        return str(value)
    text = files.read_or_none(f"{os.path.dirname(path)}/minion_id")
    return text.decode("utf-8", "replace").strip() or None if text else None
