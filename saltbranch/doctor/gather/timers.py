"""What on this machine calls ``saltbranch sync`` by itself."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping
from typing import Any

from saltbranch.base import files
from saltbranch.schedule.texts import CHECK

_UNITS = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
_CRON = ("/etc/crontab", "/etc/cron.d/*", "/var/spool/cron/*", "/var/spool/cron/crontabs/*")


def find(opts: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Paths of systemd timers and cron files, and jobs of the master's schedule.

    opts: the master's options. prefix: a folder that stands for /. What this user may not read is
    passed over.
    """
    return [*_timers(prefix), *_cron_files(prefix), *_jobs(opts)]


def _timers(prefix: str) -> list[str]:
    found = [path for unit in _UNITS for path in glob.glob(f"{prefix}{unit}/*saltbranch*.timer")]
    return [path for path in found if not path.endswith(f"/{CHECK.unit}.timer")]


def _cron_files(prefix: str) -> Iterator[str]:
    for pattern in _CRON:
        for path in glob.glob(f"{prefix}{pattern}"):
            try:
                lines = (files.read_or_none(path) or b"").splitlines()
            except OSError:
                continue
            if any(
                b"saltbranch" in li and b"sync" in li and not li.startswith(b"#") for li in lines
            ):
                yield path


def _jobs(opts: Mapping[str, Any]) -> list[str]:
    schedule = opts.get("schedule") or {}
    return [
        f"schedule {name}"
        for name, job in schedule.items()
        if isinstance(job, Mapping) and job.get("function") == "saltbranch.sync"
    ]
