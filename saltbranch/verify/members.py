"""Which minions a saltenv has at the moment."""

from __future__ import annotations

from collections.abc import Iterable

from saltbranch.base.errors import RefusedError
from saltbranch.config import minions as targets
from saltbranch.config.model import Config, Saltenv
from saltbranch.labs.look import given_here
from saltbranch.repository import prepared
from saltbranch.salt_master import options as master_options


def members(
    config: Config, saltenv: Saltenv, accepted: Iterable[str]
) -> tuple[list[str], dict[str, str]]:
    """Those of the minions `accepted` that the saltenv has, by id; and those that it lacks now, with the reason.

    Raises SaltError.
    """
    grouped = any(m.kind == "nodegroup" for ms in config.groups.values() for m in ms)
    nodegroups = master_options.read(config.salt_config).nodegroups if grouped else {}
    given = given_here(config.root)
    own, others = [], {}
    for minion in sorted(accepted):
        names = [name for name, _ in targets.claimed_by(minion, config.groups, nodegroups)]
        if saltenv.name not in names:
            continue
        if len(names) > 1:
            others[minion] = f"{' and '.join(sorted(names))} claim it"
        elif minion in given.lent:
            others[minion] = f"lent to {given.lent[minion]}"
        elif minion in given.moving:
            others[minion] = "on its way to or from a lab"
        else:
            own.append(minion)
    return own, others


def served_commit(config: Config, saltenv: Saltenv) -> str:
    """The commit that this master serves as `saltenv`. Raises RefusedError."""
    record = prepared.load_served(config.root).get(saltenv.dirname)
    if record is None:
        raise RefusedError(
            f"{saltenv.name} serves nothing here", hint=f"saltbranch sync {saltenv.name}"
        )
    return record.commit
