"""What the first sync of a machine would do, told without making anything that stays."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence

from saltbranch.base import proc
from saltbranch.config.check import build_config
from saltbranch.config.keys import model_branch
from saltbranch.config.model import Config
from saltbranch.git.mirror import JOURNAL_REF, Mirror, Refs, remote_error
from saltbranch.git.program import environment
from saltbranch.repository.decision import OF_BRANCH, Choice, Choices
from saltbranch.repository.machine import load_config, read_machine_file, remote_of
from saltbranch.repository.prepared import ServedSaltenv
from saltbranch.salt_master import options as master_options
from saltbranch.serve import decide as choosing
from saltbranch.serve import prepare, salt_files
from saltbranch.serve.reconcile import Now, decide, select
from saltbranch.serve.run import SaltenvResult, SyncResult


def plan_first(config_path: str, only: Sequence[str]) -> SyncResult:
    """What the first sync would do, without making anything that stays.

    The remote is only asked for its refs where these tell; else it is fetched into a temporary folder.
    """
    remote, timeout, tags = remote_of(config_path)
    refs, unread = _remote_refs(remote, timeout), {}
    if not _is_known(refs, config_path) or tags or refs.journal:
        with tempfile.TemporaryDirectory(prefix="saltbranch-plan-") as folder:
            mirror = Mirror(folder)
            unread = mirror.fetch(remote, timeout=timeout, tags=True)
            config = load_config(config_path, mirror, mirror.branches())
            found = _first_choices(folder, mirror, config)
            refs = mirror.refs(tags=True)
    else:
        config = build_config(read_machine_file(config_path), config_path)
        found = Choices()
    master = master_options.read(config.salt_config)
    prepare.check_minions(config, master)
    prepare.check_jinja(master)
    salt_files.refuse_foreign(config.master_config)
    results = [
        _result(saltenv, found.by_saltenv.get(saltenv.name, OF_BRANCH), refs, unread)
        for saltenv in select(prepare.served_saltenvs(config), only)
    ]
    problems = [found.problem] if found.problem else []
    return SyncResult(
        results,
        plan=True,
        restart_needed=None,
        notes=salt_files.outdated(config),
        problems=problems,
        model_problem=config.source.problem,
        unread=unread,
    )


def _is_known(refs: Refs, config_path: str) -> bool:
    """Whether the model can be told without fetching: the machine's own, and no branch that could have one."""
    machine = read_machine_file(config_path)
    return machine.saltenvs is not None and model_branch(machine) not in refs.branches


def _first_choices(folder: str, mirror: Mirror, config: Config) -> Choices:
    refs, saltenvs = mirror.refs(tags=True), prepare.served_saltenvs(config)
    return choosing.choose(
        choosing.Facts(
            root=folder,
            mirror=mirror,
            refs=refs,
            saltenvs=saltenvs,
            served={},
            now=time.time(),
            production=config.source.branch,
        )
    )


def _result(
    saltenv: ServedSaltenv, choice: Choice, refs: Refs, unread: dict[str, str]
) -> SaltenvResult:
    """What the sync decides, with what it would say of a commit that it switches to."""
    result = decide(saltenv, choice, refs.branches, unread, Now())
    if result.changed:
        result.message = choice.message
    return result


def remote_heads(remote: str, timeout: float) -> dict[str, str]:
    """Branch to commit, asked from the remote without keeping anything. Raises RemoteError."""
    return _remote_refs(remote, timeout).branches


def _remote_refs(remote: str, timeout: float) -> Refs:
    argv = ["git", "ls-remote", "--", remote, "refs/heads/*", JOURNAL_REF]
    done = proc.run(argv, environment(os.environ), timeout=timeout)
    if done.code != 0:
        raise remote_error(remote, done, timeout)
    return Refs(done.text.replace("\t", " "))
