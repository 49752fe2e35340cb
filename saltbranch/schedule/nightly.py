"""The texts by which cron, systemd or the salt-master itself runs a check of all branches each night.

Pure, as timer.py, which has the sync. A check says nothing unless it has found something.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

import yaml

from saltbranch.schedule.texts import (
    CHECK,
    CONFIG_OPTION,
    Job,
    Kind,
    head,
    refuse_long,
    unit_word,
)

RUNNER = "saltbranch.check"
PYTHON_OPTION = "saltbranch_check_python"
"""The master's option that names another Python; no argument of the runner, whose callers are many."""
_FIRST_HOUR, _HOURS = 1, 4


@dataclass(frozen=True, slots=True)
class Night:
    """When a machine does it: not when all the others do."""

    hour: int
    minute: int


def night_of(offset: int) -> Night:
    """The time between 1:00 and 4:59 that `offset`, a number of the machine's own, stands for."""
    minutes = offset % (_HOURS * 60)
    return Night(_FIRST_HOUR + minutes // 60, minutes % 60)


def argv(job: Job, python: str | None) -> tuple[str, ...]:
    """The command line of the check. python: also compile with the Salt of that interpreter."""
    more = ("--python", python) if python else ()
    return (*job.command, "check", "--all", "--quiet", "--config", job.config_path, *more)


def cron(job: Job, python: str | None) -> str:
    """The file for /etc/cron.d; cron mails what the check says. Raises UsageError when it is too long."""
    night = night_of(job.offset)
    command = f"cd / && {' '.join(map(shlex.quote, argv(job, python)))}".replace("%", r"\%")
    refuse_long(command)
    return (
        f"{head(Kind.CRON)}SHELL=/bin/sh\nPATH={job.search}\n"
        f"{night.minute} {night.hour} * * * {job.user} {command}\n"
    )


def systemd_service(job: Job, python: str | None) -> str:
    """The service that does one check; it fails when there are findings, which the journal holds.

    The sandbox in which branches are compiled needs namespaces, mounts and a /proc that is whole
    (bwrap(1)), so what systemd could forbid of these stays allowed. The network is not among them.
    """
    cache = f"/var/cache/{CHECK.unit}"
    writes = " ".join(unit_word(f"-{path}") for path in (*job.writes, "/tmp"))
    return f"""\
{head(Kind.SYSTEMD)}
[Unit]
Description=saltbranch: check what the branches of the control repository hold

[Service]
Type=oneshot
User={job.user}
UMask=0027
CacheDirectory={CHECK.unit}
CacheDirectoryMode=0700
Environment={unit_word(f"PATH={job.search}")} XDG_CACHE_HOME={cache}
ExecStart={" ".join(unit_word(word) for word in argv(job, python))}
TimeoutStartSec={job.patience}
Nice=19
IOSchedulingClass=idle

NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths={writes}
ProtectHome=read-only
PrivateNetwork=yes
ProtectClock=yes
LockPersonality=yes
RestrictRealtime=yes
SystemCallArchitectures=native
"""


def systemd_timer(job: Job) -> str:
    """The timer of that service."""
    night = night_of(job.offset)
    return f"""\
{head(Kind.SYSTEMD)}
[Unit]
Description=saltbranch: check each night

[Timer]
OnCalendar=*-*-* {night.hour:02}:{night.minute:02}:00
# A night in which the machine was off is made up for.
Persistent=yes

[Install]
WantedBy=timers.target
"""


def schedule(job: Job, python: str | None) -> str:
    """The file for ``master.d``: a job of the master's own scheduler, which calls the runner."""
    night = night_of(job.offset)
    entry = {
        "function": RUNNER,
        "when": f"{night.hour:02}:{night.minute:02}",
        "maxrunning": 1,
        "return_job": False,
    }
    data: dict[str, object] = {CONFIG_OPTION: job.config_path, "schedule": {CHECK.job: entry}}
    if python:
        data[PYTHON_OPTION] = python
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    return (
        f"{head(Kind.SCHEDULE)}"
        "# The salt-master reads it at its start only: restart it after a change.\n" + text
    )
