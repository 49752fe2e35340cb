"""The first step of a process in the sandbox: give up what rights are left, before anything is loaded."""

from __future__ import annotations

import os
import resource


def drop(uid: int, gid: int, processes: int) -> None:
    """Become the user `uid`, which owns nothing; at most `processes` of them may run."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))
