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
from saltbranch.actions import prepare, propose
from saltbranch.actions.outcome import SyncResult
from saltbranch.actions.sync import os_error, sync
from saltbranch.errors import ConfigError, RefusedError
from saltbranch.git import mask, require_version
from saltbranch.history import printable
from saltbranch.mirror import Mirror
from saltbranch.repository.place import read_machine_file
from saltbranch.repository.root import take_over

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
    """What was made. sync: None where there is no model to serve by yet. left: what a person has to do now."""

    config_path: str
    wrote_config: bool
    sync: SyncResult | None
    left: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """That of the sync; 0 where the model waits for its review first."""
        return self.sync.exit_code if self.sync else 0

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        return {
            "version": 1,
            "config": self.config_path,
            "wrote_config": self.wrote_config,
            "sync": self.sync.as_dict() if self.sync else None,
            "left": list(self.left),
        }


def init(
    config_path: str,
    answers: Answers | None,
    *,
    in_repository: bool = False,
    move_root: bool = False,
    wait: float = 0,
    say: Callable[[str], None] | None = None,
) -> InitResult:
    """Write `config_path` unless it is there, and do the first sync.

    answers: needed only where the file is not there yet. in_repository: the saltenvs are to stand in the repository;
    where it has none, they are committed to a branch for review. move_root: take over a root that another
    configuration file had. Raises what sync raises, and RefusedError when the file is there and says something else
    than `answers`.
    """
    require_version()
    wrote = not os.path.exists(config_path)
    if not wrote:
        _refuse_other_remote(config_path, answers)
    elif answers is None:
        raise ConfigError(f"there is no {config_path} yet", hint="name the remote: --remote URL")
    else:
        text = new_config(config_path, answers, in_repository=in_repository, say=say)
        try:
            os.makedirs(os.path.dirname(config_path), exist_ok=True)
            files.write_atomic(config_path, text, mode=0o640)
        except OSError as err:
            raise os_error(err) from err
    if move_root:
        _move_root(config_path)
    left = _proposed(config_path, answers, say=say) if in_repository else []
    result = None
    if not left or read_machine_file(config_path).saltenvs is not None:
        result = sync(config_path, wait=wait, say=say, notify=notify.tell)
    return InitResult(config_path, wrote, result, (*left, *_left(config_path, result)))


def _move_root(config_path: str) -> None:
    """Let the root that the file names belong to it from now on. Raises RootError, RefusedError."""
    root = os.path.normpath(read_machine_file(config_path).root)
    if not files.check_root(root):
        raise RefusedError(
            f"there is nothing at the root {root} that could be taken over",
            hint="mend root: in that file, or leave --move-root out",
        )
    try:
        take_over(root, config_path)
    except OSError as err:
        raise os_error(err) from err


def _proposed(
    config_path: str, answers: Answers | None, *, say: Callable[[str], None] | None
) -> list[str]:
    """Commit the model to a branch of its own where the repository has none; what is left to do about it.

    Raises RemoteError, GitError, ConfigError.
    """
    machine = read_machine_file(config_path)
    root = prepare.open_root(config_path, write=True) or machine.root
    with files.Lock(f"{root}/lock"):
        mirror = Mirror(root)
        mirror.fetch(machine.remote or "", timeout=FIRST_FETCH, progress=say)
        branch = configuration.model_branch(machine)
        production = mirror.branches().get(branch)
        if production is None or mirror.git.blob_or_none(production, locate.FILE_NAME):
            return []
        text = (
            model_text(answers) if machine.saltenvs is None and answers else own_model(config_path)
        )
        return propose.commit(mirror, machine.remote or "", production, branch, text, config_path)


def _refuse_other_remote(config_path: str, answers: Answers | None) -> None:
    have = read_machine_file(config_path).remote
    if answers and have and answers.remote != have:
        raise RefusedError(
            f"{config_path} is there already, with the remote {mask(have)}",
            hint="edit that file, or name another one with --config",
        )


def new_config(
    config_path: str,
    answers: Answers,
    *,
    in_repository: bool = False,
    say: Callable[[str], None] | None = None,
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
    return render(answers, with_model=not has_model and not in_repository, refusal=refusal)


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
    return f"{machine}\n{model_text(answers)}"


def own_model(config_path: str) -> str:
    """The part of the file that is a model. Raises ConfigError."""
    data = yaml.safe_load((files.read_or_none(config_path) or b"").decode("utf-8")) or {}
    kept = {key: value for key, value in data.items() if key not in configuration.MACHINE_KEYS}
    return yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, default_flow_style=False)


def model_text(answers: Answers) -> str:
    """The saltenvs with their folders, with a comment on every key."""
    model = f"""\
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
    return model


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


def _left(config_path: str, result: SyncResult | None) -> list[str]:
    machine = read_machine_file(config_path)
    master = saltmaster.read(machine.salt_config)
    left = []
    if result and result.restart_needed:
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
