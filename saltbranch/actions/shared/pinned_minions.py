"""Minions that would not follow to a lab, since their own configuration says which saltenv they have."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from saltbranch.base.errors import SaltError
from saltbranch.repository.workplace import Workplace
from saltbranch.salt_master import options as master_options
from saltbranch.serve.lab_minions import OWN, PINS

_SECONDS = 5


def pinned(work: Workplace, minions: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Minion to the option of its own that keeps it where it is; and what is to be said of those that did not answer.

    They are asked where this machine's master runs, nobody otherwise.
    """
    if not minions or not work.serves:
        return {}, []
    try:
        master = master_options.read(work.config.salt_config)
        if not master.exists or not os.path.exists(master.event_socket):
            return {}, []
        return _asked(master, minions)
    except SaltError as err:
        return {}, [f"whether their saltenv is pinned is not known: {err.message}"]


def _asked(
    master: master_options.MasterOptions, minions: Sequence[str]
) -> tuple[dict[str, str], list[str]]:
    found: dict[str, str] = {}
    left: Mapping[str, object] = dict.fromkeys(minions)
    for option in PINS:
        left = master_options.ask(master, [*left], "config.get", [option], OWN, seconds=_SECONDS)
        for minion, value in left.items():
            if minion in minions and (isinstance(value, str) or value is True) and value:
                found.setdefault(minion, f"{option}: {str(value)[:100]}")
        if not left:
            break
    silent = [m for m in minions if m not in left and m not in found]
    said = f"whether its saltenv is pinned is not known: no answer from {', '.join(silent)}"
    return found, [said] if silent else []
