"""The texts for a nightly check, read back by the rules of their readers."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from saltbranch.base.errors import UsageError
from saltbranch.schedule import nightly
from saltbranch.schedule import texts as timer
from tests.schedule.test_texts import JOB, parse_cron, unit

PYTHON = "/opt/next salt/bin/python3"
WORDS = ("check", "--all", "--quiet", "--config", JOB.config_path)


@pytest.mark.parametrize(("python", "more"), [(None, ()), (PYTHON, ("--python", PYTHON))])
def test_all_of_them_run_the_same_command(python: str | None, more: tuple[str, ...]) -> None:
    table = parse_cron(nightly.cron(JOB, python))
    assert tuple(shlex.split(table.command)) == ("cd", "/", "&&", *JOB.command, *WORDS, *more)
    assert table.user == JOB.user and table.environment["PATH"] == JOB.search
    service = unit(nightly.systemd_service(JOB, python))["Service"]
    words = tuple(word.replace("%%", "%") for word in shlex.split(service["ExecStart"]))
    assert words == (*JOB.command, *WORDS, *more)
    options = yaml.safe_load(nightly.schedule(JOB, python))
    (entry,) = options.pop("schedule").values()
    assert entry["function"] == "saltbranch.check" and "kwargs" not in entry
    other = {"saltbranch_check_python": python} if python else {}
    assert options == {"saltbranch_config": JOB.config_path, **other}


@pytest.mark.parametrize("offset", [0, 59, 60, 239, 240, 2**32 - 1])
def test_it_is_night_and_the_same_time_everywhere(offset: int) -> None:
    job = replace(JOB, offset=offset)
    minute, hour = parse_cron(nightly.cron(job, None)).times[:2]
    assert 1 <= int(hour) <= 4 and 0 <= int(minute) < 60
    clock = f"{int(hour):02}:{int(minute):02}"
    assert unit(nightly.systemd_timer(job))["Timer"]["OnCalendar"] == f"*-*-* {clock}:00"
    (entry,) = yaml.safe_load(nightly.schedule(job, None))["schedule"].values()
    assert entry["when"] == clock


def test_machines_do_not_all_check_in_the_same_minute() -> None:
    assert len({nightly.night_of(offset) for offset in range(240)}) == 240


def test_cron_refuses_a_command_that_cron_would_cut() -> None:
    with pytest.raises(UsageError, match="characters, it takes"):
        nightly.cron(replace(JOB, config_path="/x" * 500), None)


def test_the_service_leaves_the_sandbox_of_branches_what_it_needs() -> None:
    service = unit(nightly.systemd_service(JOB, None))["Service"]
    assert service["PrivateNetwork"] == "yes" and service["ProtectSystem"] == "strict"
    forbidden = {"RestrictNamespaces", "SystemCallFilter", "CapabilityBoundingSet",
                 "ProtectKernelTunables", "ProtectKernelLogs", "ProtectHostname"}  # fmt: skip
    assert not forbidden & set(service)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not here")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    program = tmp_path / "saltbranch"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    job = replace(JOB, command=(str(program),))
    (tmp_path / "saltbranch-check.service").write_text(nightly.systemd_service(job, None))
    (tmp_path / "saltbranch-check.timer").write_text(nightly.systemd_timer(job))
    units = [str(tmp_path / f"saltbranch-check.{kind}") for kind in ("service", "timer")]
    argv = ["systemd-analyze", "verify", "--man=no", *units]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_text_is_known_as_ours() -> None:
    texts = [
        nightly.cron(JOB, None),
        nightly.systemd_service(JOB, None),
        nightly.systemd_timer(JOB),
    ]
    assert all(map(timer.is_ours, [*texts, nightly.schedule(JOB, None)]))
