"""The texts for cron, systemd and Salt's schedule, read back by the rules of their readers."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

from saltbranch.base.errors import ConfigError, UsageError
from saltbranch.schedule import texts
from saltbranch.schedule.texts import Job

INTERVALS = [1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30, 60, 120, 180, 240, 360, 480, 720, 1440]
ODD_FOLDER = "/srv/50% of `x` & (all);~*"

JOB = Job(
    command=("/opt/salt stack/bin/python3", "-m", "saltbranch"),
    config_path=f"{ODD_FOLDER}/saltbranch.yaml",
    minutes=5,
    user="root",
    writes=(ODD_FOLDER, "/srv/saltbranch"),
    offset=7,
)

needs_systemd_analyze = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze is not here"
)


@dataclass(frozen=True, slots=True)
class CronTable:
    """A file of /etc/cron.d as cron understands it."""

    environment: dict[str, str]
    times: list[str]
    user: str
    command: str
    stdin: str | None


def parse_cron(text: str) -> CronTable:
    """One entry and its environment, as crontab(5) has them: a bare % ends the command."""
    assert text.endswith("\n")  # cron ignores a file without it
    environment, entries = {}, []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        found = re.fullmatch(r"([A-Za-z_]+) *= *(.*)", line)
        if found:
            environment[found[1]] = found[2]
        else:
            entries.append(line)
    (entry,) = entries
    *times, user, rest = entry.split(None, 6)
    command, percent, stdin = re.sub(r"\\(%)|(%)", _bare_percent, rest).partition("\0")
    return CronTable(environment, times, user, command, stdin if percent else None)


def _bare_percent(found: re.Match[str]) -> str:
    return "%" if found[1] else "\0"


def minutes_of_day(times: list[str]) -> list[int]:
    """When an entry runs, in minutes since midnight."""
    assert times[2:] == ["*", "*", "*"]
    return [h * 60 + m for h in field(times[1], 24) for m in field(times[0], 60)]


def field(text: str, size: int) -> list[int]:
    span, _, step = text.partition("/")
    first, _, last = ("0", "-", str(size - 1)) if span == "*" else span.partition("-")
    values = list(range(int(first), int(last or first) + 1, int(step or 1)))
    assert values and max(values) < size
    return values


def unit(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True, delimiters="=")
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text)
    return parser


def words(value: str) -> list[str]:
    """The words of a unit file's value, quotes and specifiers undone (systemd.syntax(7))."""
    return [word.replace("%%", "%") for word in shlex.split(value)]


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("5", 5), ("1m", 1), ("30 min", 30), ("1h", 60), ("60", 60), ("2h", 120), ("1d", 1440)],
)
def test_interval(text: str, minutes: int) -> None:
    assert texts.parse_interval(text) == minutes


@pytest.mark.parametrize(
    "text", ["", "0", "0m", "-5", "5s", "five", "7", "45", "90", "5h", "2d", "1e1", "99999", "5\n5"]
)
def test_interval_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--every"):
        texts.parse_interval(text)


def test_every_interval_that_the_message_names_is_taken() -> None:
    assert [texts.parse_interval(str(minutes)) for minutes in INTERVALS] == INTERVALS
    taken = []
    for minutes in range(1, 2000):
        try:
            taken.append(texts.parse_interval(str(minutes)))
        except UsageError:
            continue
    assert taken == INTERVALS


@pytest.mark.parametrize(
    "path", ["relative", "/a\nb", "/it's", '/a"b', "/a\\b", "/$a", "/a\udcff", ""]
)
def test_path_that_no_timer_can_hold_is_refused(path: str) -> None:
    with pytest.raises(ConfigError):
        texts.check_path(path)


# cron


@pytest.mark.parametrize("offset", [0, 1, 59, 4_294_967_295])
@pytest.mark.parametrize("minutes", INTERVALS)
def test_cron_runs_at_even_intervals(minutes: int, offset: int) -> None:
    table = parse_cron(texts.cron(replace(JOB, minutes=minutes, offset=offset)))
    runs = minutes_of_day(table.times)
    runs.append(runs[0] + 1440)
    assert {later - run for run, later in zip(runs, runs[1:], strict=False)} == {minutes}


def test_machines_do_not_all_sync_in_the_same_minute() -> None:
    starts = {parse_cron(texts.cron(replace(JOB, offset=n))).times[0] for n in range(100)}
    assert len(starts) == JOB.minutes


def test_machines_that_sync_every_minute_start_at_seconds_of_their_own() -> None:
    """cron starts everything at the full minute; the second is always the same, so intervals stay even."""
    seconds = set()
    for number in range(300):
        job = replace(JOB, minutes=1, offset=number)
        assert texts.cron(job) == texts.cron(job)
        found = re.match(
            r"cd / && (?:sleep ([0-9]+) && )?out=", parse_cron(texts.cron(job)).command
        )
        assert found
        seconds.add(int(found[1] or 0))
    assert seconds == set(range(60))


def test_cron_waits_before_the_sync(tmp_path: Path) -> None:
    text = texts.cron(replace(JOB, command=("/bin/date",), minutes=1, offset=1))
    begun = time.monotonic()
    subprocess.run(["sh", "-c", parse_cron(text).command], capture_output=True, check=False)
    assert time.monotonic() - begun >= 1


def test_cron_knows_shell_path_and_user() -> None:
    table = parse_cron(texts.cron(replace(JOB, user="salt")))
    assert table.environment == {"SHELL": "/bin/sh", "PATH": texts.PATH}
    assert table.user == "salt"
    assert table.stdin is None


@dataclass(frozen=True, slots=True)
class Mail:
    """What cron would mail, and the exit code it would log."""

    text: str
    code: int


def run_cron(folder: Path, script: str, *, config_path: str = JOB.config_path) -> Mail:
    """Run the line with `script` in the place of saltbranch, in cron's bare environment."""
    program = folder / "salt branch"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    job = replace(JOB, command=(str(program),), config_path=config_path, offset=0)
    table = parse_cron(texts.cron(job))
    argv = [table.environment["SHELL"], "-c", table.command]
    done = subprocess.run(
        argv,
        env={"PATH": table.environment["PATH"]},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return Mail(done.stdout, done.returncode)


def test_cron_passes_odd_paths_on(tmp_path: Path) -> None:
    mail = run_cron(tmp_path, 'pwd; printf "%s\\n" "$@"')
    assert mail.text.splitlines() == ["/", "sync", "--quiet", "--config", JOB.config_path]
    assert mail.code == 0


def test_cron_mails_nothing_when_all_is_quiet(tmp_path: Path) -> None:
    assert run_cron(tmp_path, "exit 0") == Mail("", 0)


def test_cron_mails_nothing_when_another_saltbranch_is_at_work(tmp_path: Path) -> None:
    assert run_cron(tmp_path, "echo locked >&2; exit 75") == Mail("", 75)


@pytest.mark.parametrize("code", [0, 1, 4, 20, 70])
def test_cron_mails_what_was_said(tmp_path: Path, code: int) -> None:
    script = f"printf '%s\\n' '100% \\n $x'; echo oh >&2; exit {code}"
    assert run_cron(tmp_path, script) == Mail("100% \\n $x\noh\n", code)


def test_cron_refuses_a_command_that_cron_would_cut() -> None:
    with pytest.raises(UsageError, match="characters"):
        texts.cron(replace(JOB, config_path="/" + "x" * 900))


# systemd


def test_service_runs_the_sync_and_takes_a_held_lock_for_success() -> None:
    service = unit(texts.systemd_service(replace(JOB, user="salt", patience=4000)))["Service"]
    assert words(service["ExecStart"]) == list(JOB.argv)
    assert service["Type"] == "oneshot"
    assert service["User"] == "salt"
    assert service["SuccessExitStatus"] == "75"
    assert service["TimeoutStartSec"] == "4000"
    assert int(service["Nice"]) > 0


def test_a_run_that_has_nothing_to_say_leaves_no_line_in_the_journal() -> None:
    """systemd's own lines about it are of level info, failures of warning (systemd.exec(5), LogLevelMax=)."""
    service = unit(texts.systemd_service(JOB))["Service"]
    assert service["LogLevelMax"] == service["SyslogLevel"] == "notice"


def test_service_may_write_where_a_sync_writes() -> None:
    service = unit(texts.systemd_service(JOB))["Service"]
    assert service["ProtectSystem"] == "strict"
    writable = words(service["ReadWritePaths"])
    assert writable == [f"-{ODD_FOLDER}", "-/srv/saltbranch", "-/tmp"]
    # A sync gives set-gid folders to Salt's group.
    assert "RestrictSUIDSGID" not in service


def test_service_forbids_nothing_that_the_sandbox_needs() -> None:
    """bwrap(1) makes namespaces and mounts, sets a host name, and mounts a /proc of its own."""
    service = unit(texts.systemd_service(JOB))["Service"]
    forbidding = {
        "RestrictNamespaces", "SystemCallFilter", "CapabilityBoundingSet", "ProtectHostname", "PrivateDevices",
        "ProtectKernelTunables", "ProtectKernelLogs", "ProtectControlGroups", "PrivateUsers",
    }  # fmt: skip
    assert not forbidding & {*service}


def test_timer_makes_up_for_a_missed_run_and_spreads() -> None:
    section = unit(texts.systemd_timer(JOB))["Timer"]
    assert section["Persistent"] == "yes"
    assert (
        section["FixedRandomDelay"] == "yes"
    )  # else two runs of every minute may be two minutes apart
    for minutes in INTERVALS:
        section = unit(texts.systemd_timer(replace(JOB, minutes=minutes)))["Timer"]
        assert min(minutes * 60 - 1, 299) <= int(section["RandomizedDelaySec"]) < minutes * 60
    assert unit(texts.systemd_timer(JOB))["Install"]["WantedBy"] == "timers.target"


@needs_systemd_analyze
@pytest.mark.parametrize("minutes", INTERVALS)
def test_systemd_runs_at_even_intervals(minutes: int) -> None:
    calendar = unit(texts.systemd_timer(replace(JOB, minutes=minutes)))["Timer"]["OnCalendar"]
    runs = 1440 // minutes + 1
    argv = ["systemd-analyze", "calendar", "--base-time=2026-01-01 00:00:30 UTC"]
    said = subprocess.run(
        [*argv, f"--iterations={runs}", calendar],
        env={"TZ": "UTC", "PATH": texts.PATH, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    clocks = re.findall(r"(?:elapse|#\d+): \w+ 2026-01-(\d+) (\d+):(\d+):00 UTC", said)
    times = [int(day) * 1440 + int(hour) * 60 + int(minute) for day, hour, minute in clocks]
    assert len(times) == runs
    assert {later - run for run, later in zip(times, times[1:], strict=False)} == {minutes}


@needs_systemd_analyze
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    program = tmp_path / "50% salt branch"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    job = replace(JOB, command=(str(program),))
    (tmp_path / "saltbranch-sync.service").write_text(texts.systemd_service(job))
    (tmp_path / "saltbranch-sync.timer").write_text(texts.systemd_timer(job))
    units = [str(tmp_path / f"saltbranch-sync.{kind}") for kind in ("service", "timer")]
    argv = ["systemd-analyze", "verify", "--man=no", *units]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# Salt's schedule


def test_schedule_is_one_job_that_calls_the_runner() -> None:
    assert yaml.safe_load(texts.schedule(JOB)) == {
        "saltbranch_config": JOB.config_path,
        "schedule": {
            "saltbranch-sync": {
                "function": "saltbranch.sync",
                "minutes": 5,
                "maxrunning": 1,
                "return_job": False,
            }
        },
    }


def test_every_text_is_known_as_ours() -> None:
    makers = (texts.cron, texts.systemd_service, texts.systemd_timer, texts.schedule)
    assert all(texts.is_ours(make(JOB)) for make in makers)
    assert not texts.is_ours("* * * * * root saltbranch sync\n")
