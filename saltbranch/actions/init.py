"""init: from a remote's URL to a working set-up, in one go and safe to repeat."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import yaml

from saltbranch.actions import init_ahead, propose
from saltbranch.actions.init_ahead import FIRST_FETCH, FirstLook
from saltbranch.actions.init_text import Answers, model_text, production_branch, render
from saltbranch.actions.sync import sync
from saltbranch.base import files
from saltbranch.base.errors import ConfigError, RefusedError, os_error
from saltbranch.config import locate
from saltbranch.config.check import build_config
from saltbranch.config.keys import MACHINE_KEYS, FileModel, model_branch
from saltbranch.config.model import Config
from saltbranch.config.read import parse_file
from saltbranch.config.values import check_remote
from saltbranch.git.mirror import Mirror
from saltbranch.git.program import mask, require_version
from saltbranch.journal import push
from saltbranch.repository import model
from saltbranch.repository.machine import read_machine_file
from saltbranch.repository.root import make_root, open_root, take_over
from saltbranch.salt_master import options as master_options
from saltbranch.salt_master.replacing import Replacing
from saltbranch.serve import bus_event
from saltbranch.serve.first_sync import remote_heads
from saltbranch.serve.run import SyncResult

_PROBE = 60  # seconds for asking the remote whether it takes what this master tells


@dataclass(frozen=True, slots=True)
class Ahead:
    """What init would come to. text: of the configuration file that would be written; None where it is there.

    config: with the model that counts; None where there is none yet. replacing: what of the salt-master's present
    configuration would end. proposes: the saltbranch.yaml that would be pushed for review; None where none would.
    """

    config_path: str
    text: str | None
    config: Config | None
    replacing: Replacing
    proposes: str | None = None

    def check(self) -> None:
        """Refuse to end what is served now. Raises RefusedError."""
        if self.config:
            init_ahead.refuse_ending(self.replacing, self.config)

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of ``--plan --json``."""
        return {
            "version": 1,
            "plan": True,
            "config": self.config_path,
            "text": self.text,
            "proposes": {"branch": propose.BRANCH, "text": self.proposes}
            if self.proposes
            else None,
            "replaces": self.replacing.as_dict(),
        }


@dataclass(frozen=True, slots=True)
class InitResult:
    """What was made. sync: None where there is no model to serve by yet. left: what a person has to do now."""

    config_path: str
    wrote_config: bool
    sync: SyncResult | None
    left: tuple[str, ...]
    replacing: Replacing = Replacing()

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
            "replaces": self.replacing.as_dict(),
        }


def init(
    config_path: str,
    answers: Answers | None,
    *,
    given: Mapping[str, object] | None = None,
    in_repository: bool | None = None,
    move_root: bool = False,
    replace_roots: bool = False,
    first: FirstLook | None = None,
    wait: float = 0,
    say: Callable[[str], None] | None = None,
) -> InitResult:
    """Write `config_path` unless it is there, and do the first sync.

    answers: needed only where the file is not there yet. given: the flags that somebody has typed, as
    init_ahead.refuse_without_effect takes them. in_repository: the saltenvs are to stand in the repository;
    where it has none, they are committed to a branch for review. move_root: take over a root that another
    configuration file had. replace_roots: what the salt-master serves now may end. first: the remote, where it was
    read already.

    Raises what sync raises, and RefusedError, before anything is written, when the file is there and says something
    else than `given`, or part of what the salt-master serves would end.
    """
    require_version()
    with first or FirstLook(say) as look:
        ahead = look_ahead(config_path, answers, given or {}, look, in_repository=in_repository)
        if not replace_roots:
            ahead.check()
        return _carry_out(
            ahead,
            answers,
            look,
            in_repository=bool(in_repository),
            move_root=move_root,
            wait=wait,
            say=say,
        )


def look_ahead(
    config_path: str,
    answers: Answers | None,
    given: Mapping[str, object],
    first: FirstLook,
    *,
    in_repository: bool | None = None,
) -> Ahead:
    """What init would come to; nothing is written. Parameters and errors are those of `init`."""
    if os.path.exists(config_path):
        _refuse_other_remote(config_path, answers)
        machine = read_machine_file(config_path)
        config, text = _kept(machine, config_path, first), None
        if in_repository is False and machine.saltenvs is None:
            _refuse_in_this_file(config_path, "names no saltenvs: those of the repository count")
    elif answers is None:
        raise ConfigError(f"there is no {config_path} yet", hint="name the remote: --remote URL")
    else:
        text, machine, config = _fresh(config_path, answers, first, in_repository=in_repository)
    init_ahead.refuse_without_effect(given, machine, config, config_path)
    found = init_ahead.look_at_master(config) if config else Replacing()
    proposes = None
    if in_repository and config and config.source.branch is None:  # the repository has no model yet
        own = machine.saltenvs is not None or answers is None
        proposes = own_model(config_path) if own else model_text(answers) if answers else None
    return Ahead(config_path, text, config, found, proposes)


def _kept(machine: FileModel, config_path: str, first: FirstLook) -> Config | None:
    """The configuration by the file that is there; None where there is no model yet, which the sync will say."""
    here = Mirror(os.path.normpath(machine.root))
    try:
        branch = model_branch(machine)
        is_read = here.exists() and (
            machine.saltenvs is not None or _is_current(here, machine, branch)
        )
        mirror = here if is_read else first.mirror(machine.remote or "")
        found = init_ahead.config_ahead(machine, config_path, branch, mirror)
        return model.serving(found, machine, config_path)
    except ConfigError:
        return None


def _is_current(mirror: Mirror, machine: FileModel, branch: str) -> bool:
    """Whether the sync that follows will find the model that `mirror` has. Raises RemoteError."""
    heads = remote_heads(machine.remote or "", FIRST_FETCH)
    return mirror.branches().get(branch) == heads.get(branch)


def _fresh(
    config_path: str, answers: Answers, first: FirstLook, *, in_repository: bool | None
) -> tuple[str, FileModel, Config]:
    """The file that would be written, as text and as read, and the configuration that would count then."""
    check_remote(answers.remote, config_path)
    branch = production_branch(answers)
    if branch not in remote_heads(answers.remote, FIRST_FETCH):
        check_branches(answers, first.mirror(answers.remote).branches())
    has_model = first.has_model(answers.remote, branch)
    if not has_model:
        check_branches(answers, first.mirror(answers.remote).branches())
    elif in_repository is False:
        why = f"has a {locate.FILE_NAME} on branch {branch!r}, which counts"
        _refuse_in_this_file("the repository", why)
    whole = parse_file(render(answers, with_model=not has_model), config_path)
    config = init_ahead.config_ahead(whole, config_path, branch, first.mirror(answers.remote))
    text = render(answers, with_model=not has_model and not in_repository)
    return text, parse_file(text, config_path), config


def _refuse_in_this_file(who: str, why: str) -> None:
    raise RefusedError(
        f"--in-this-file would have no effect: {who} {why}",
        hint="leave it out; a saltenvs: that you write into that file yourself serves this machine alone",
    )


def _carry_out(
    ahead: Ahead,
    answers: Answers | None,
    first: FirstLook,
    *,
    in_repository: bool,
    move_root: bool,
    wait: float,
    say: Callable[[str], None] | None,
) -> InitResult:
    config_path, wrote = ahead.config_path, ahead.text is not None
    if wrote and answers:
        text = new_config(config_path, answers, first, in_repository=in_repository, say=say)
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
        result = sync(config_path, wait=wait, say=say, notify=bus_event.tell)
    left += _left(config_path, result)
    return InitResult(config_path, wrote, result, tuple(left), ahead.replacing)


def _move_root(config_path: str) -> None:
    """Let the root that the file names belong to it from now on. Raises RootError, RefusedError."""
    root = os.path.normpath(read_machine_file(config_path).root)
    if not files.check_root(root):
        raise RefusedError(
            f"there is nothing at the root {root} that could be taken over",
            hint="fix root: in that file, or leave --move-root out",
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
    root = open_root(config_path, write=True) or machine.root
    with files.Lock(f"{root}/lock"):
        mirror = Mirror(root)
        mirror.fetch(machine.remote or "", timeout=FIRST_FETCH, progress=say)
        branch = model_branch(machine)
        production = mirror.branches().get(branch)
        if production is None or mirror.git.blob_or_none(production, locate.FILE_NAME):
            return []
        text = (
            model_text(answers) if machine.saltenvs is None and answers else own_model(config_path)
        )
        return propose.commit(
            mirror,
            text,
            remote=machine.remote or "",
            production=production,
            branch=branch,
            config_path=config_path,
        )


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
    first: FirstLook,
    *,
    in_repository: bool = False,
    say: Callable[[str], None] | None = None,
) -> str:
    """The text of the configuration file, checked against the remote. Raises ConfigError, RemoteError."""
    text = render(answers, with_model=True)
    build_config(parse_file(text, config_path), config_path)
    make_root(answers.root)
    with files.Lock(f"{answers.root}/lock"):
        first.hand_over(answers.root)
        mirror = Mirror(answers.root)
        mirror.fetch(answers.remote, timeout=FIRST_FETCH, progress=say)
        production = mirror.branches().get(production_branch(answers))
        if production is None:
            return text  # it went away this moment; the sync will say so
        refusal = push.may_push(mirror, answers.remote, production, timeout=_PROBE)
        has_model = mirror.git.blob_or_none(production, locate.FILE_NAME) is not None
    return render(answers, with_model=not has_model and not in_repository, refusal=refusal)


def check_branches(answers: Answers, heads: Mapping[str, str]) -> None:
    """Refuse a remote that lacks a branch. Raises ConfigError naming those it has."""
    missing = [branch for branch in answers.branches.values() if branch not in heads]
    if missing:
        has = ", ".join(map(repr, sorted(heads)[:20])) or "none at all"
        raise ConfigError(
            f"the remote {mask(answers.remote)} has no branch {' and no '.join(map(repr, missing))}",
            hint=f"it has {has}; name yours with --branch SALTENV=BRANCH",
        )


def own_model(config_path: str) -> str:
    """The part of the file that is a model. Raises ConfigError."""
    data = yaml.safe_load((files.read_or_none(config_path) or b"").decode("utf-8")) or {}
    kept = {key: value for key, value in data.items() if key not in MACHINE_KEYS}
    return yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, default_flow_style=False)


def _left(config_path: str, result: SyncResult | None) -> list[str]:
    machine = read_machine_file(config_path)
    master = master_options.read(machine.salt_config)
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
    left.append("Check for anything else in the way: saltbranch doctor")
    return left
