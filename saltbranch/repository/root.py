"""The root on disk, and which configuration file it belongs to: its mark says so."""

from __future__ import annotations

import os

from saltbranch import files
from saltbranch.errors import RefusedError
from saltbranch.git import quoted


def owner_of(root: str) -> str:
    """The configuration file that `root` belongs to; empty where none is recorded yet."""
    return os.fsdecode(files.read_or_none(files.mark_of(root)) or b"").strip("\n")


def check_owner(root: str, config_path: str) -> None:
    """Refuse a root that another configuration file has: two would undo each other's work. Raises RefusedError."""
    owner = owner_of(root)
    if owner and os.path.realpath(owner) != os.path.realpath(config_path):
        raise RefusedError(
            f"the root {root} belongs to the configuration {owner}, and this is {config_path}",
            hint="name that file, or if the root was moved or restored: saltbranch init --move-root --config"
            f" {quoted(config_path)}",
        )


def take_over(root: str, config_path: str) -> None:
    """Record that `root` belongs to the configuration file `config_path`. Raises OSError."""
    files.write_atomic(files.mark_of(root), f"{os.path.abspath(config_path)}\n", mode=0o600)
