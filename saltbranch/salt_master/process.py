"""The running salt-master, seen from outside: does it know the configuration that is on disk, and its restart.

Imported by every sync on a machine where a master runs, so it imports next to nothing.
"""

from __future__ import annotations

import os
import time

from saltbranch.base import files, proc
from saltbranch.base.errors import SaltError
from saltbranch.git.program import indent

UNIT = "salt-master.service"
ASIDE = "/adopt/saltbranch.conf"
"""Where in the root the option file waits for `adopt --switch`: no master reads it there."""


def started(pidfile: str) -> float | None:
    """When the master that `pidfile` names was started (seconds since 1970); None when none runs."""
    pid = (files.read_or_none(pidfile) or b"").strip()
    if not pid.isdigit():
        return None
    stat = files.read_or_none(f"/proc/{pid.decode()}/stat")
    if not stat:
        return None
    # proc(5): field 22, counted after the command name, which may hold spaces and parentheses.
    ticks = int(stat.rpartition(b")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    uptime = float((files.read_or_none("/proc/uptime") or b"0").split()[0])
    return time.time() - uptime + ticks


def restart_reason(pidfile: str, master_config: str) -> str | None:
    """Why the running master must be restarted; None when it need not.

    A master reads its configuration only at its start: until then it ignores changed roots, while
    salt-run and this program already see them.
    """
    if master_config.endswith(ASIDE):
        return None
    begun = started(pidfile)
    try:
        changed = os.stat(master_config).st_mtime
    except OSError:
        return None
    if begun is None or changed < begun:
        return None
    return (
        f"{master_config} is newer than the running salt-master, which therefore does not know it"
    )


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
