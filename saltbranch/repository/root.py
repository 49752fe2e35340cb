"""The root on disk: made, found, and which configuration file it belongs to, as its mark says."""

from __future__ import annotations

import fcntl
import os

from saltbranch.base import files
from saltbranch.base.errors import ConfigError, RefusedError, os_error
from saltbranch.git.program import let_go, quoted, require_version
from saltbranch.repository.machine import read_machine_file


def owner_of(root: str) -> str:
    """The configuration file that `root` belongs to; empty where none is recorded yet."""
    return os.fsdecode(files.read_or_none(files.mark_of(root)) or b"").strip("\n")


def check_owner(root: str, config_path: str) -> bool:
    """Whether `root` belongs to the configuration; False where it is nobody's yet.

    Raises RefusedError for one that another configuration has: two would undo each other's work.
    """
    owner = owner_of(root)
    if owner and os.path.realpath(owner) != os.path.realpath(config_path):
        raise RefusedError(
            f"the root {root} belongs to the configuration {owner}, and this is {config_path}",
            hint="name that file, or if the root was moved or restored: saltbranch init --move-root --config"
            f" {quoted(config_path)}",
        )
    return bool(owner)


def take_over(root: str, config_path: str) -> None:
    """Record that `root` belongs to the configuration file `config_path`. Raises OSError."""
    files.write_atomic(files.mark_of(root), f"{os.path.abspath(config_path)}\n", mode=0o600)


def open_root(config_path: str, *, write: bool) -> str | None:
    """The root that the configuration names, made ready to be locked; None when it is not there
    and `write` forbids to make it.

    Raises ConfigError, RootError.
    """
    let_go()
    require_version()
    machine = read_machine_file(config_path)
    root = os.path.normpath(machine.root)
    if not files.check_root(root):
        if not write:
            return None
        make_root(root)
    if not check_owner(root, config_path) and write:
        _own(root, config_path)
    return root


def _own(root: str, config_path: str) -> None:
    """Record the first owner; of two that start together, one. Raises RefusedError, SaltbranchError."""
    try:
        # The root's own lock is taken later; flock(2) works on a folder, and ends with this process.
        folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            if not check_owner(root, config_path):
                take_over(root, config_path)
        finally:
            os.close(folder)
    except OSError as err:
        raise os_error(err) from err


def make_root(root: str) -> None:
    """Make the folder `root`, with our mark in it, for its owner only. Raises RootError."""
    if files.check_root(root):
        return
    try:
        os.makedirs(root, mode=0o700, exist_ok=True)
        os.chmod(root, 0o700)
        # Before anything else and in one call: whoever is killed here leaves an empty folder or a marked one.
        os.close(os.open(f"{root}/{files.MARKER}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        os.makedirs(f"{root}/state", mode=0o750, exist_ok=True)
    except OSError as err:
        raise os_error(err) from err


def root_of(config_path: str) -> str:
    """The root that the configuration names, which an earlier sync must have made. Raises ConfigError."""
    root = open_root(config_path, write=False)
    if root is None:
        raise ConfigError(
            f"there is nothing at the root that {config_path} names yet",
            hint="make it with: saltbranch sync",
        )
    return root
