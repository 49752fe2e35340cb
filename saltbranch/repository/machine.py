"""A machine's own file and, with the mirror of its root, the configuration that it serves by."""

from __future__ import annotations

import os

from saltbranch.base.errors import ConfigError, RefusedError
from saltbranch.config import locate
from saltbranch.config.keys import FileModel, model_branch
from saltbranch.config.locate import FILE_NAME
from saltbranch.config.model import Config
from saltbranch.config.read import read_file
from saltbranch.git.mirror import Mirror
from saltbranch.journal.accepted import believed
from saltbranch.repository import accepted, model


def read_machine_file(path: str) -> FileModel:
    """The keys of the machine's file `path`. Raises ConfigError, RefusedError."""
    real = os.path.realpath(path)
    in_clone = os.path.lexists(f"{os.path.dirname(real)}/.git") and real != locate.SYSTEM_FILE
    if os.path.basename(real) == FILE_NAME and in_clone:
        raise RefusedError(
            f"{path} is the file of a clone{'' if real == path else f', {real}'}: what is checked out there must not"
            " decide about this machine",
            hint=f"name the machine's own: saltbranch init --config {locate.SYSTEM_FILE} --remote URL writes one",
        )
    return read_file(path)


def remote_of(config_path: str) -> tuple[str, int, bool]:
    """URL of the remote, how many seconds a fetch may take, and whether it has to bring tags.

    Where the saltenvs stand in the repository, the last is not known yet, so it is false. Raises ConfigError.
    """
    machine = read_machine_file(config_path)
    if not machine.remote:
        raise ConfigError(
            f"{config_path}: no remote", hint="add `remote: <URL of the control repository>`"
        )
    return (
        machine.remote,
        machine.fetch_timeout,
        any(s.follow for s in (machine.saltenvs or {}).values()),
    )


def load_config(
    config_path: str, mirror: Mirror, branches: dict[str, str], *, write: bool = False
) -> Config:
    """The checked configuration, with the saltenvs that this machine serves. write: remember what was accepted.

    Raises ConfigError, GitError.
    """
    machine = read_machine_file(config_path)
    git = mirror.git
    journal = believed(git, mirror.refs()).head if mirror.exists() else None
    where = accepted.ModelRefs(git, branches, accepted.IN_MIRROR, journal, write=write)
    branch = model_branch(machine)
    found = model.load(where, machine, config_path, branch=branch, remote=machine.remote or "")
    return model.serving(found, machine, config_path)
