"""The text of the salt-master's configuration file: where each saltenv's files are, and no leaks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from saltbranch.config.lab_places import lab_saltenvs, pillar_link
from saltbranch.config.model import Config
from saltbranch.config.roots import PILLAR, STATES

HEADER = "# Written by saltbranch"

# Without these, saltenvs reach into one another (salt/state.py, get_tops; salt/pillar/__init__.py).
# `merge` lets each saltenv's top file speak for its own section only. `pillarenv_from_saltenv` acts only in
# the master's configuration. The rest are Salt's defaults, written down because we rely on them: links are
# followed (checkouts are links), and no single saltenv's top file speaks for the others.
OPTIONS: dict[str, object] = {
    "top_file_merging_strategy": "merge",
    "pillarenv_from_saltenv": True,
    "pillarenv": None,
    "state_top": "top.sls",
    "state_top_saltenv": None,
    "fileserver_followsymlinks": True,
    "fileserver_ignoresymlinks": False,
}


# The file server backend whose saltenvs are those of file_roots (salt/fileserver/roots.py, envs), by both its names.
_BY_FILE_ROOTS = {"roots", "file_roots"}


def file_roots(config: Config) -> dict[str, list[str]]:
    """saltenv to the folders of its states, the generated top file's first, those of the machine last."""
    return {name: [*own, *config.extra_roots] for name, own in _roots(config, STATES).items()}


def pillar_roots(config: Config) -> dict[str, list[str]]:
    """saltenv to the folders of its pillar, the generated top file's first."""
    return _roots(config, PILLAR)


def _roots(config: Config, kind: str) -> dict[str, list[str]]:
    found = {
        s.name: [f"{config.root}/tops/{s.name}/{kind}", config.salt_root(s, kind)]
        for s in (*config.saltenvs, *lab_saltenvs(config))
    }
    if kind == PILLAR:
        for lab in lab_saltenvs(config):
            found[lab.name][1] = pillar_link(config.root, lab.name)
    return found


def env_order(saltenvs: Iterable[str], beside: Mapping[str, Any]) -> list[str]:
    """The saltenvs in the order in which Salt reads their top files; empty where it is better not said.

    Without the option Salt warns in every highstate of every minion that the order is not deterministic
    (salt/state.py, BaseHighState.get_tops); it does not matter here, each top file speaks for its own saltenv only.
    With it, the top file of a saltenv that is not in the list is not read (_get_envs). So the list holds all that
    others have, `base` too, and nothing is written where their saltenvs come and go without being configured.

    saltenvs: ours. beside: the master's options without those of this file. A list in there says what its author
    wants to be read.
    """
    theirs = _names(beside.get("env_order"))
    roots = beside.get("file_roots")
    if not theirs:
        backends = _names(beside.get("fileserver_backend")) or ["roots"]
        if set(backends) - _BY_FILE_ROOTS or (isinstance(roots, Mapping) and "__env__" in roots):
            return []
        theirs = ["base", *map(str, roots if isinstance(roots, Mapping) else ())]
    return list(dict.fromkeys([*theirs, *saltenvs]))


def _names(value: object) -> list[str]:
    return [str(name) for name in (value if isinstance(value, list) else [value] if value else [])]


def render(config: Config, beside: Mapping[str, Any]) -> str:
    """The whole file, as YAML; the same text for the same configuration.

    beside: the master's options without those of this file.
    """
    order = env_order([s.name for s in (*config.saltenvs, *lab_saltenvs(config))], beside)
    options = {
        "file_roots": file_roots(config),
        "pillar_roots": pillar_roots(config),
        **OPTIONS,
        **({"env_order": order} if order else {}),
    }
    return (
        f"{HEADER} from {config.path}: what is changed here is lost at the next sync.\n"
        "# The salt-master reads it at its start only: restart it after a change.\n"
        + yaml.safe_dump(options, sort_keys=False, default_flow_style=False)
    )


def is_ours(text: str) -> bool:
    """Whether `text` is a file that saltbranch wrote."""
    return text.startswith(HEADER)
