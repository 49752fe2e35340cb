"""The configuration file and the model as init writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from saltbranch.base.text import printable
from saltbranch.config.keys import FileModel

DEFAULT_BRANCHES = {"test": "develop", "stage": "stage", "prod": "master"}
ROOT, MASTER_CONFIG, SALT_CONFIG = (
    FileModel().root,
    FileModel().master_config,
    FileModel().salt_config,
)


@dataclass(frozen=True, slots=True)
class Answers:
    """What init has to be told. branches and minions go by saltenv; the first one of `branches` is
    where code is tried, each other one is promoted to from the one before it. states_dir, pillar_dir: a folder, or
    a list as in the file. submodules: URLs that they may come from.
    """

    remote: str
    root: str
    master_config: str
    salt_config: str
    states_dir: object
    pillar_dir: object
    group: str | None
    branches: Mapping[str, str]
    minions: Mapping[str, tuple[str, ...]]
    extra_roots: tuple[str, ...] = ()
    submodules: tuple[str, ...] = ()


def production_branch(answers: Answers) -> str:
    """The branch of the last saltenv, where a saltbranch.yaml in the repository would count."""
    return list(answers.branches.values())[-1]


def render(answers: Answers, *, with_model: bool, refusal: str | None = None) -> str:
    """saltbranch.yaml with a comment on every key; the saltenvs left out without `with_model`.

    refusal: why the remote does not take from this user what a master tells; empty when it does, None when it was
    not asked.
    """
    machine = f"""\
# saltbranch: which branch of the control repository is which saltenv, and whose.
# Every key is explained in docs/reference/configuration.md; after a change: saltbranch sync --plan

# The control repository. This user must be able to read it without a question asked.
remote: {_scalar(answers.remote)}

# Mirror, worktrees and checkouts: written by saltbranch alone.
root: {_scalar(answers.root)}

# What saltbranch writes for the salt-master, and the master's own file, which it only reads.
master_config: {_scalar(answers.master_config)}
salt_config: {_scalar(answers.salt_config)}
"""
    machine += _record_syncs(refusal)
    if answers.group:
        machine += f"\n# The group that may read the checkouts.\ngroup: {_scalar(answers.group)}\n"
    if answers.extra_roots:
        machine += "\n# Folders outside of the repository that Salt looks for states in last.\n"
        machine += _value("extra_roots", list(answers.extra_roots))
    if answers.submodules:
        machine += "\n# Where submodules may come from.\n"
        machine += _value("submodules", list(answers.submodules))
    if not with_model:
        branch = _scalar(production_branch(answers))
        return machine + (
            "\n# The saltenvs are in saltbranch.yaml in the control repository, on this branch.\n"
            f"model_branch: {branch}\n"
        )
    return f"{machine}\n{model_text(answers)}"


def model_text(answers: Answers) -> str:
    """The saltenvs with their folders, with a comment on every key."""
    model = f"""\
# Folders of states and pillar inside the repository.
{_value("states_dir", answers.states_dir)}{_value("pillar_dir", answers.pillar_dir)}
# One saltenv for each branch. `minions:` takes ids: globs, {{list: [...]}}, {{pcre: ...}}, {{nodegroup: ...}}.
# A minion belongs to one saltenv; what no saltenv claims gets neither states nor pillar.
saltenvs:
"""
    before = ""
    for name, branch in answers.branches.items():
        model += f"  {name}:\n    branch: {_scalar(branch)}\n"
        model += f"    promote_from: {before}\n" if before else ""
        if branch == production_branch(answers):
            model += "    protected: true  # a rewritten branch is not followed\n"
        model += f"    minions: {json.dumps(list(answers.minions[name]))}\n"
        before = name
    return model


def _record_syncs(refusal: str | None) -> str:
    what = "\n# Tell the journal in the repository what this master serves since when (soak times, `where`)."
    if refusal is None:
        return f"{what} init sets it where the remote takes it.\n# record_syncs: true\n"
    if not refusal:
        return f"{what}\nrecord_syncs: true\n"
    reason = printable(refusal)[:300]
    return f"{what}\n# This user may not push there: {reason}\n# record_syncs: true\n"


def _value(key: str, value: object) -> str:
    text: str = yaml.safe_dump({key: value}, width=10_000, sort_keys=False)
    return text


def _scalar(text: str) -> str:
    return yaml.safe_dump(text, width=10_000).removesuffix("\n").removesuffix("\n...")
