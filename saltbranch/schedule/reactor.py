"""The texts by which the salt-master's reactor tells of minions that start."""

from __future__ import annotations

import enum
import glob
import json

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


def entry(reaction_path: str) -> dict[str, list[str]]:
    """What the list ``reactor:`` has of ours."""
    return {EVENT: [glob.escape(reaction_path)]}  # Salt takes it for a glob


def config(config_path: str, reaction_path: str) -> str:
    """The file for ``master.d``."""
    data = {CONFIG_OPTION: config_path, "reactor": [entry(reaction_path)]}
    return (
        f"{HEADER} (saltbranch install reactor); it overwrites this file.\n"
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
