"""Start the process that sends what is in the outbox; nobody waits for it."""

from __future__ import annotations

import os

from saltbranch.base import proc
from saltbranch.base.errors import SaltbranchError
from saltbranch.notify import outbox


def start(root: str, config_path: str) -> None:
    """Start it for `root`, whose machine's file is `config_path`; where that fails the next sync tries again.

    Where one is at work already the new one waits for it, and where one waits it ends at once.
    """
    argv = proc.python("from saltbranch.notify import send; send.main()", root, config_path)
    try:
        proc.leave(argv, os.environ)
    except SaltbranchError:
        pass


def start_if_wanted(root: str, config_path: str) -> None:
    """The same, where anybody wants to be told of anything."""
    if outbox.wanted(root):
        start(root, config_path)
