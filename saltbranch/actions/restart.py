"""Restart the salt-master, where a person asked for it."""

from __future__ import annotations

import os

from saltbranch import proc
from saltbranch.errors import SaltError
from saltbranch.git import indent

UNIT = "salt-master.service"


def restart_master() -> None:
    """Restart the master through systemd and wait for the end of it. Raises SaltError."""
    if not os.path.isdir("/run/systemd/system"):
        raise SaltError(
            "the salt-master was not restarted: systemd does not run here",
            hint="restart it in the way it was started",
        )
    done = proc.run(["systemctl", "restart", "--", UNIT], os.environ, timeout=180)
    if done.code != 0:
        raise SaltError(
            f"systemctl could not restart {UNIT}:\n{indent(done.complaint)}",
            hint=f"look at: journalctl -u {UNIT}",
        )
