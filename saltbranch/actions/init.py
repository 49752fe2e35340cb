"""init: from a remote's URL to a working set-up, in one go and safe to repeat."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import yaml

from saltbranch import config as configuration
from saltbranch import files, journalpush, locate, notify, saltmaster
from saltbranch.actions import prepare
from saltbranch.actions.outcome import SyncResult
from saltbranch.actions.sync import os_error, sync
from saltbranch.errors import ConfigError, RefusedError
from saltbranch.git import mask, require_version
from saltbranch.history import printable
from saltbranch.mirror import Mirror

DEFAULT_BRANCHES = {"test": "develop", "stage": "stage", "prod": "master"}
FIRST_FETCH = 3600  # seconds
_PROBE = 60  # seconds for asking the remote whether it takes what this master tells


@dataclass(frozen=True, slots=True)
class Answers:
    """What init has to be told. branches and minions go by saltenv; the first one of `branches` is
    where code is tried, each other one is promoted to from the one before it.
    """

    remote: str
    root: str
    master_config: str
    salt_config: str
    states_dir: str
    pillar_dir: str
    group: str | None
    branches: Mapping[str, str]
    minions: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class InitResult:
    """What was made. `left`: what a person has to do now, one sentence each."""

    config_path: str
    wrote_config: bool
    sync: SyncResult
    left: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        return {
            "version": 1,
            "config": self.config_path,
            "wrote_config": self.wrote_config,
            "sync": self.sync.as_dict(),
            "left": list(self.left),
        }


def init(
    config_path: str,
    answers: Answers | None,
    *,
    wait: float = 0,
    say: Callable[[str], None] | None = None,
) -> InitResult:
    """Write `config_path` unless it is there, and do the first sync.

    answers: needed only where the file is not there yet. Raises what sync raises, and RefusedError when
    the file is there and says something else than `answers`.
    """
    require_version()
    wrote = not os.path.exists(config_path)
    if not wrote:
        _refuse_other_remote(config_path, answers)
    elif answers is None:
        raise ConfigError(f"there is no {config_path} yet", hint="name the remote: --remote URL")
    else:
        text = new_config(config_path, answers, say=say)
        try:
            os.makedirs(os.path.dirname(config_path), exist_ok=True)
            files.write_atomic(config_path, text, mode=0o640)
        except OSError as err:
            raise os_error(err) from err
    result = sync(config_path, wait=wait, say=say, notify=notify.tell)
    return InitResult(config_path, wrote, result, tuple(_left(config_path, result)))


def _refuse_other_remote(config_path: str, answers: Answers | None) -> None:
    have = configuration.read_file(config_path).remote
    if answers and have and answers.remote != have:
        raise RefusedError(
            f"{config_path} is there already, with the remote {mask(have)}",
            hint="edit that file, or name another one with --config",
        )


def new_config(
    config_path: str, answers: Answers, *, say: Callable[[str], None] | None = None
) -> str:
    """The text of the configuration file, checked against the remote. Raises ConfigError, RemoteError."""
    configuration.check_remote(answers.remote, config_path)
    check_branches(answers, prepare.remote_heads(answers.remote, FIRST_FETCH))
    text = render(answers, with_model=True)
    configuration.build(configuration.parse(text, config_path), config_path)
    prepare.make_root(answers.root)
    with files.Lock(f"{answers.root}/lock"):
        mirror = Mirror(answers.root)
        mirror.fetch(answers.remote, timeout=FIRST_FETCH, progress=say)
        production = mirror.branches().get(production_branch(answers))
        if production is None:
            return text  # it went away this moment; the sync will say so
        refusal = journalpush.may_push(mirror, answers.remote, production, timeout=_PROBE)
        has_model = mirror.git.blob_or_none(production, locate.FILE_NAME) is not None
    return render(answers, with_model=not has_model, refusal=refusal)


def production_branch(answers: Answers) -> str:
    """The branch of the last saltenv, where a saltbranch.yaml in the repository would count."""
    return list(answers.branches.values())[-1]


def check_branches(answers: Answers, heads: Mapping[str, str]) -> None:
    """Refuse a remote that lacks a branch. Raises ConfigError naming those it has."""
    missing = [branch for branch in answers.branches.values() if branch not in heads]
    if missing:
        has = ", ".join(map(repr, sorted(heads)[:20])) or "none at all"
        raise ConfigError(
            f"the remote {mask(answers.remote)} has no branch {' and no '.join(map(repr, missing))}",
            hint=f"it has {has}; name yours with --branch SALTENV=BRANCH",
        )


def render(answers: Answers, *, with_model: bool, refusal: str | None = None) -> str:
    """saltbranch.yaml with a comment on every key; the saltenvs left out without `with_model`.

    refusal: why the remote does not take from this user what a master tells; empty when it does, None when it was
    not asked.
    """
    machine = f"""\
# saltbranch: which branch of the control repository is which saltenv, and whose.
# Every key is explained in the README; after a change: saltbranch sync --plan

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
    if not with_model:
        branch = _scalar(production_branch(answers))
        return machine + (
            "\n# The saltenvs stand in saltbranch.yaml in the control repository, on this branch.\n"
            f"model_branch: {branch}\n"
        )
    model = f"""
# Folders of states and pillar inside the repository.
states_dir: {_scalar(answers.states_dir)}
pillar_dir: {_scalar(answers.pillar_dir)}

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
    return machine + model


def _record_syncs(refusal: str | None) -> str:
    what = "\n# Tell the journal in the repository what this master serves since when (soak times, `where`)."
    if refusal is None:
        return f"{what} init sets it where the remote takes it.\n# record_syncs: true\n"
    if not refusal:
        return f"{what}\nrecord_syncs: true\n"
    reason = printable(refusal)[:300]
    return f"{what}\n# This user may not push there: {reason}\n# record_syncs: true\n"


def _scalar(text: str) -> str:
    return yaml.safe_dump(text, width=10_000).removesuffix("\n").removesuffix("\n...")


def _left(config_path: str, result: SyncResult) -> list[str]:
    machine = configuration.read_file(config_path)
    master = saltmaster.read(machine.salt_config)
    left = []
    if result.restart_needed:
        left.append(
            "Restart the salt-master, it does not know these saltenvs yet: systemctl restart salt-master"
        )
    elif not master.exists:
        left.append(
            f"There is no {machine.salt_config} here: install the salt-master, or name its file as salt_config:"
        )
    if not shutil.which("systemctl"):
        left.append("Let a timer run the sync: saltbranch install cron")
    else:
        left.append("Let a timer run the sync: saltbranch install systemd")
    left.append("See that nothing else stands in the way: saltbranch doctor")
    return left
