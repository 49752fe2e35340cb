"""The texts by which the salt-master's reactor calls us: of any file for ``master.d``, and of minions that start."""

from __future__ import annotations

import enum
import glob
import json
from collections.abc import Mapping
from typing import Any

import yaml

from saltbranch.schedule.texts import CONFIG_OPTION, HEADER, REACTION_HEADER

CONFIG_FILE = "saltbranch-reactor.conf"
"""In ``master.d``."""
REACTION_FILE = "saltbranch-new-minion.sls"
"""Beside it: the master includes only ``*.conf``."""
EVENT = "salt/minion/*/start"
RUNNER = "saltbranch.new_minions"
_LONGEST_ID = 256


class Reaction(enum.Enum):
    """What is installed, beside timers."""

    REACTOR = "reactor"


def entry(tag: str, path: str) -> dict[str, list[str]]:
    """What the list ``reactor:`` has of ours, where the file `path` is called for events `tag`."""
    return {tag: [glob.escape(path)]}  # Salt takes it for a glob


def reactors(opts: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Each reactor of the master's options: the glob of tags that it listens to, and its files."""
    listed = opts.get("reactor")
    found = []
    for item in listed if isinstance(listed, list) else ():
        for tag, sls in item.items() if isinstance(item, Mapping) else ():
            names = sls if isinstance(sls, list) else [sls]
            found.append((str(tag), [str(name) for name in names]))
    return found


def options(what: str, config_path: str, own: Mapping[str, list[str]]) -> str:
    """The file for ``master.d``. what: is installed; own: its `entry`."""
    data = {CONFIG_OPTION: config_path, "reactor": [dict(own)]}
    return (
        f"{HEADER} (install); to take it away: saltbranch uninstall {what}\n"
        "# The salt-master reads it at its start only: restart it after a change.\n"
        + yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    )


def reaction() -> str:
    """The reaction. Of the event, whose sender may be any minion, it hands over the id alone, as a text."""
    minion = f"{{{{ ((data.get('id') or '') | string)[:{_LONGEST_ID}] | json }}}}"
    words = json.dumps(
        {"saltbranch_new_minion": {f"runner.{RUNNER}": [{"args": [{"minion": "@"}]}]}}
    )
    return (
        f"{REACTION_HEADER} (saltbranch install reactor); it overwrites this file. #}}\n"
        + words.replace('"@"', f"{minion} ")
        + "\n"
    )
