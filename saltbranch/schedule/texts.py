"""The texts by which cron, systemd or the salt-master itself runs the sync again and again.

Pure: it knows how each of the three wants to be written to, and nothing about what is installed.
"""

from __future__ import annotations

import enum
import re
import shlex
from dataclasses import dataclass

import yaml

from saltbranch.base.errors import ConfigError, LockedError, UsageError

EVERY = 1
"""Minutes between two syncs unless somebody says otherwise: one that finds nothing new costs next to nothing."""


class Kind(enum.Enum):
    """Who runs the sync."""

    CRON = "cron"
    SYSTEMD = "systemd"
    SCHEDULE = "schedule"


@dataclass(frozen=True, slots=True)
class Names:
    """The names under which something is installed.

    unit: of systemd. cron_file: has no dot, or Debian's cron skips it (cron(8)). schedule_file: in
    ``master.d``. job: of Salt's schedule.
    """

    unit: str
    cron_file: str
    service_file: str
    timer_file: str
    schedule_file: str
    job: str


def _names(unit: str, cron_name: str, schedule_file: str) -> Names:
    path = f"/etc/systemd/system/{unit}"
    cron_file = f"/etc/cron.d/{cron_name}"
    return Names(
        unit=unit,
        cron_file=cron_file,
        service_file=f"{path}.service",
        timer_file=f"{path}.timer",
        schedule_file=schedule_file,
        job=unit,
    )


HEADER = "# Written by saltbranch"
REACTION_HEADER = "#!jinja|json\n{# Written by saltbranch"
PYTHON_LINE = "#!py\n"
"""The first line of a file of Salt's that is Python; our header follows it."""
SYNC = _names("saltbranch-sync", "saltbranch", "saltbranch-schedule.conf")
CHECK = _names("saltbranch-check", "saltbranch-check", "saltbranch-check.conf")
RUNNER = "saltbranch.sync"
CONFIG_OPTION = "saltbranch_config"
"""The master's option that names the configuration; no argument of the runners, whose callers are many."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_DAY = 24 * 60
_UNITS = {"": 1, "m": 1, "min": 1, "h": 60, "d": _DAY}
_CRON_LIMIT = 990  # characters of a command; Vixie's cron drops a longer one (MAX_COMMAND)


@dataclass(frozen=True, slots=True)
class Job:
    """One sync, to be repeated. Paths are absolute.

    command: what starts saltbranch. minutes: between two syncs. user: who it runs as. writes:
    folders that a sync writes to. patience: seconds that it may take. search: the PATH it runs
    with. offset: a number of this machine's own, so that not all masters ask the remote at once.
    """

    command: tuple[str, ...]
    config_path: str
    minutes: int
    user: str
    writes: tuple[str, ...] = ()
    patience: int = 3600
    search: str = PATH
    offset: int = 0

    @property
    def argv(self) -> tuple[str, ...]:
        """The whole command line of the sync."""
        return (*self.command, "sync", "--quiet", "--config", self.config_path)

    @property
    def spread(self) -> int:
        """Seconds over which machines are spread: the whole interval, 5 minutes at most."""
        return min(self.minutes * 60 - 1, 300)


def parse_interval(text: str) -> int:
    """Minutes, from ``5``, ``5m``, ``2h`` or ``1d``. Raises UsageError.

    Only what divides the hour or the day is taken: cron and calendar timers begin anew with each
    hour, and would run unevenly otherwise (crontab(5), systemd.time(7)).
    """
    found = re.fullmatch(r"([0-9]{1,4}) ?(|m|min|h|d)", text.strip())
    minutes = int(found[1]) * _UNITS[found[2]] if found else 0
    if not minutes:
        raise UsageError(
            f"--every {text!r} is not an interval", hint="minutes, or 5m, 2h, 1d: --every 5"
        )
    hour = 60
    if hour % minutes and (minutes % hour or _DAY % minutes):
        raise UsageError(
            f"--every {text!r} does not divide the hour or the day into equal parts",
            hint="1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30 minutes or 1, 2, 3, 4, 6, 8, 12, 24 hours",
        )
    return minutes


def check_path(path: str) -> str:
    """`path`, when cron, systemd and sh read it in the same way. Raises ConfigError otherwise."""
    odd = [c for c in path if not c.isprintable() or c in "\"'\\$"]
    if odd or not path.startswith("/"):
        what = f"holds {odd[0]!r}" if odd else "is not absolute"
        raise ConfigError(
            f"{path!r} cannot be written into a timer: it {what}", hint="use another path"
        )
    return path


def head(kind: Kind) -> str:
    """The first line of every file of ours."""
    return f"{HEADER} (install); to take it away: saltbranch uninstall {kind.value}\n"


def cron(job: Job) -> str:
    """The file for /etc/cron.d (crontab(5)). Raises UsageError for a command too long for cron.

    cron mails what a command says. That another saltbranch is at work is not news: it is not mailed. cron starts
    everything at the full minute, so each machine waits for a second of its own.
    """
    sync = " ".join(map(shlex.quote, job.argv))
    second = job.offset // job.minutes % 60
    wait = f"sleep {second} && " if second else ""
    command = (
        f"cd / && {wait}out=$({sync} 2>&1); code=$?; [ $code -eq {LockedError.exit_code} ]"
        ' || [ -z "$out" ] || printf "%s\\n" "$out"; exit $code'
    ).replace("%", r"\%")  # a bare one ends the command
    refuse_long(command)
    return (
        f"{head(Kind.CRON)}SHELL=/bin/sh\nPATH={job.search}\n"
        f"{_cron_times(job.minutes, job.offset)} {job.user} {command}\n"
    )


def refuse_long(command: str) -> None:
    """Raise UsageError for a command of which cron would drop the end."""
    if len(command) > _CRON_LIMIT:
        raise UsageError(
            f"the command for cron has {len(command)} characters, it takes {_CRON_LIMIT}",
            hint="use shorter paths, or: saltbranch install systemd",
        )


def _cron_times(minutes: int, offset: int) -> str:
    if minutes == 1:
        return "* * * * *"
    if minutes < 60:
        return f"{offset % minutes}-59/{minutes} * * * *"
    hours = {1: "*", 24: "0"}.get(minutes // 60, f"*/{minutes // 60}")
    return f"{offset % 60} {hours} * * *"


def systemd_service(job: Job) -> str:
    """The service that does one sync (systemd.service(5), systemd.exec(5)).

    It may write where a sync writes and nowhere else. /tmp stays shared and writable: a bug report
    must outlive the run. RestrictSUIDSGID= is left out, because folders for Salt's group are
    set-gid. The sandbox in which top files are rendered before a switch needs namespaces, mounts, the rights
    for these and a /proc that is whole (bwrap(1)), so what systemd could forbid of that stays allowed.
    """
    writes = " ".join(unit_word(f"-{path}") for path in (*job.writes, "/tmp"))
    return f"""\
{head(Kind.SYSTEMD)}
[Unit]
Description=saltbranch: serve what the branches of the control repository hold
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
User={job.user}
UMask=0027
Environment={unit_word(f"PATH={job.search}")}
ExecStart={" ".join(unit_word(word) for word in job.argv)}
# Another saltbranch is at work and does it.
SuccessExitStatus={LockedError.exit_code}
TimeoutStartSec={job.patience}
# Who sends notifications goes on after the sync.
KillMode=process
# Not three lines for each run that found nothing to do; what the sync says, and failures, are kept.
SyslogLevel=notice
LogLevelMax=notice
Nice=10
IOSchedulingClass=best-effort
IOSchedulingPriority=7

NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths={writes}
ProtectHome=read-only
ProtectClock=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
"""


def systemd_timer(job: Job) -> str:
    """The timer of that service (systemd.timer(5))."""
    return f"""\
{head(Kind.SYSTEMD)}
[Unit]
Description=saltbranch: sync every {_spoken(job.minutes)}

[Timer]
OnCalendar={_calendar(job.minutes)}
AccuracySec=1s
# Each machine at a second of its own, always the same, so the interval stays even.
RandomizedDelaySec={job.spread}
FixedRandomDelay=yes
# A run that was missed while the machine was off is made up for.
Persistent=yes

[Install]
WantedBy=timers.target
"""


def _calendar(minutes: int) -> str:
    if minutes < 60:
        return f"*:0/{minutes}"
    return "daily" if minutes == _DAY else f"0/{minutes // 60}:00"


def _spoken(minutes: int) -> str:
    number, unit = (minutes, "minute") if minutes < 60 else (minutes // 60, "hour")
    return unit if number == 1 else f"{number} {unit}s"


def unit_word(text: str) -> str:
    """`text` as one word of a unit file: specifiers doubled, quoted where it is not plain."""
    text = text.replace("%", "%%")
    return text if re.fullmatch(r"[A-Za-z0-9/._+:@,=%-]+", text) else f'"{text}"'


def schedule(job: Job) -> str:
    """The file for ``master.d``: a job of the master's own scheduler (salt/utils/schedule.py).

    That scheduler calls runners. It looks at its jobs each `loop_interval` (60 s) and runs one with
    an interval also at its start, so masters are spread by themselves. No `splay`: it is added before
    each run, and the job then waits for the next look, which makes two minutes of one. Without
    `return_job` the result is not stored as a job of a minion.
    """
    entry = {
        "function": RUNNER,
        "minutes": job.minutes,
        "maxrunning": 1,
        "return_job": False,
    }
    data = {CONFIG_OPTION: job.config_path, "schedule": {SYNC.job: entry}}
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    return (
        f"{head(Kind.SCHEDULE)}"
        "# The salt-master reads it at its start only: restart it after a change.\n" + text
    )


def is_ours(text: str) -> bool:
    """Whether `text` is a file that saltbranch wrote."""
    return text.removeprefix(PYTHON_LINE).startswith((HEADER, REACTION_HEADER))
