"""Start the process that promotes what is due by itself; nobody waits for it."""

from __future__ import annotations

import fcntl
import os

from saltbranch.base import proc
from saltbranch.base.errors import SaltbranchError


def start(root: str, config_path: str) -> None:
    """Start it for `root`; where that fails, or another one is at work, the next sync tries again.

    The one at work may be this process itself, in the sync that follows its push.
    """
    if _is_at_work(f"{root}/state/promotions.lock"):
        return
    argv = proc.python(
        "from saltbranch.actions import auto_promote; auto_promote.main()", root, config_path
    )
    try:
        proc.leave(argv, os.environ)
    except SaltbranchError:
        pass


def _is_at_work(lock: str) -> bool:
    try:
        with open(lock, "a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass  # whoever is started finds out
    return False
