"""Where the labs of a master are, as saltenvs of its Salt and on its disk.

    labs/lent               which minions have a lab; read by all generated top files (labs/lent.py)
    labs/<lab>/pillar       a link to the pillar that the lab has: of a saltenv, or its own branch's
    checkouts/<lab>+        as of any saltenv (serve/slots.py), but there only while the lab is in use

The names never change, so a master is told of them once, at its start.
"""

from __future__ import annotations

import msgspec

from saltbranch.config import labs
from saltbranch.config.model import Config, Saltenv
from saltbranch.config.roots import PILLAR

FOLDER = "labs"
LENT_FILE = f"{FOLDER}/lent"


def dirname(name: str) -> str:
    """The folder of a lab in checkouts and slots: no branch's folder has a ``+`` in its name."""
    return f"{name}+"


def lab_saltenvs(config: Config) -> tuple[Saltenv, ...]:
    """The labs as saltenvs that nobody belongs to and that serve no branch yet."""
    names = [labs.name_of(number) for number in range(1, config.labs + 1)]
    return tuple(
        Saltenv(
            name=name,
            branch="",
            dirname=dirname(name),
            minions=(),
            promote_from=None,
            protected=False,
        )
        for name in names
    )


def with_labs(config: Config, count: int) -> Config:
    """`config` with another number of labs."""
    return config if count == config.labs else msgspec.structs.replace(config, labs=count)


def pillar_link(root: str, name: str) -> str:
    """The folder that Salt is told for the pillar of a lab."""
    return f"{root}/{FOLDER}/{name}/{PILLAR}"


def pillar_target(config: Config, saltenv: Saltenv) -> str:
    """Where such a link leads for the pillar of `saltenv`, a lab for its own branch's."""
    return f"../..{config.salt_root(saltenv, PILLAR)[len(config.root) :]}"
