"""Start the process that promotes what is due by itself; nobody waits for it."""

from __future__ import annotations

import os

from saltbranch.base import proc
from saltbranch.base.errors import SaltbranchError


def start(root: str, config_path: str) -> None:
    """Start it for `root`; where that fails, or another one is at work, the next sync tries again."""
    argv = proc.python(
        "from saltbranch.actions import auto_promote; auto_promote.main()", root, config_path
    )
    try:
        proc.leave(argv, os.environ)
    except SaltbranchError:
        pass
