"""The text of the salt-master's configuration file: where each saltenv's files are, and no leaks."""

from __future__ import annotations

import yaml

from saltbranch.config import Config

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


def file_roots(config: Config) -> dict[str, list[str]]:
    """saltenv to the folders of its states, the generated top file's first."""
    return _roots(config, "states", config.states_dir)


def pillar_roots(config: Config) -> dict[str, list[str]]:
    """saltenv to the folders of its pillar, the generated top file's first."""
    return _roots(config, "pillar", config.pillar_dir)


def _roots(config: Config, kind: str, folder: str) -> dict[str, list[str]]:
    return {
        s.name: [f"{config.root}/tops/{s.name}/{kind}", f"{config.checkout(s)}/{folder}"]
        for s in config.saltenvs
    }


def render(config: Config) -> str:
    """The whole file, as YAML; the same text for the same configuration."""
    options = {
        "file_roots": file_roots(config),
        "pillar_roots": pillar_roots(config),
        **OPTIONS,
    }
    return (
        f"{HEADER} from {config.path}: what is changed here is lost at the next sync.\n"
        "# The salt-master reads it at its start only: restart it after a change.\n"
        + yaml.safe_dump(options, sort_keys=False, default_flow_style=False)
    )


def is_ours(text: str) -> bool:
    """Whether `text` is a file that saltbranch wrote."""
    return text.startswith(HEADER)
