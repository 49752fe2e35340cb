"""Start the process that sends what is in the outbox; nobody waits for it."""

from __future__ import annotations

import os

from saltbranch.base import proc
from saltbranch.base.errors import SaltbranchError


def start(root: str, config_path: str) -> None:
    """Start it for `root`, whose machine's file is `config_path`; where that fails the next sync tries again.

    Where one is at work already the new one ends at once.
    """
    argv = proc.python("from saltbranch.notify import send; send.main()", root, config_path)
    try:
        proc.leave(argv, os.environ)
    except SaltbranchError:
        pass
