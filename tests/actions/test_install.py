"""install writes what lets something run the sync, and what it writes really runs it."""

from __future__ import annotations

import datetime
import json
import logging
import os
import pwd
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import salt._logging
import salt.config
import salt.loader
import salt.utils.schedule
import yaml

from saltbranch.actions import install as installing
from saltbranch.actions.install import install, uninstall
from saltbranch.base import files, proc
from saltbranch.base.errors import (
    ConfigError,
    RefusedError,
    SaltbranchError,
    SaltError,
    UsageError,
)
from saltbranch.schedule import files as schedule_files
from saltbranch.schedule import texts as timer
from saltbranch.schedule.texts import Kind
from tests.support.site import Ran, Site

PROJECT = Path(__file__).parents[2]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture(scope="module", autouse=True)
def _quiet_salt() -> Iterator[None]:
    """Salt sets the root logger to its lowest level at import, and keeps its lines for the exit."""
    salt._logging.shutdown_temp_handler()
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    yield
    logging.root.setLevel(level)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The folder that stands for / in these tests."""
    return tmp_path / "image"


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """saltbranch as an installed program, which needs nothing of the environment."""
    program = tmp_path / "bin 100%" / "saltbranch"
    program.parent.mkdir()
    argv = shlex.join(["env", f"PYTHONPATH={PROJECT}", sys.executable, "-m", "saltbranch"])
    program.write_text(f'#!/bin/sh\nexec {argv} "$@"\n')
    program.chmod(0o755)
    return [str(program)]


def below(image: Path, path: str | Path) -> Path:
    return Path(f"{image}{path}")


def schedule_file(site: Site) -> Path:
    return site.master_config.parent / "saltbranch-schedule.conf"


def paths_of(kind: Kind, site: Site) -> list[str]:
    return {
        Kind.CRON: [timer.SYNC.cron_file],
        Kind.SYSTEMD: [timer.SYNC.service_file, timer.SYNC.timer_file],
        Kind.SCHEDULE: [str(schedule_file(site))],
    }[kind]


def installed(image: Path) -> dict[str, str]:
    found = [path for path in image.rglob("*") if path.is_file()]
    return {f"/{path.relative_to(image)}": path.read_text() for path in found}


def nightly_paths(kind: Kind, site: Site) -> list[str]:
    return {
        Kind.CRON: [timer.CHECK.cron_file],
        Kind.SYSTEMD: [timer.CHECK.service_file, timer.CHECK.timer_file],
        Kind.SCHEDULE: [str(site.master_config.parent / timer.CHECK.schedule_file)],
    }[kind]


def unread(path: Path) -> tuple[int, ...]:
    """What changes of a file when it is written, and not when it is read."""
    found = path.lstat()
    return found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns


# What is written, and what is not


@pytest.mark.parametrize("kind", Kind)
def test_writes_its_files_and_no_others(site: Site, image: Path, kind: Kind) -> None:
    result = install(kind, str(site.config), directory=str(image))
    assert {f.path: (f.state, f.text) for f in result.files} == {
        f"{image}{path}": ("written", text) for path, text in installed(image).items()
    }
    assert sorted(installed(image)) == sorted(paths_of(kind, site))
    modes = {path.stat().st_mode & 0o777 for path in image.rglob("*") if path.is_file()}
    assert modes == {0o644}
    assert not site.root.exists()


@pytest.mark.parametrize("kind", Kind)
def test_a_second_time_changes_nothing(site: Site, image: Path, kind: Kind) -> None:
    install(kind, str(site.config), directory=str(image))
    written = {path: path.stat().st_mtime_ns for path in image.rglob("*")}
    again = install(kind, str(site.config), directory=str(image))
    assert (again.changed, {f.state for f in again.files}) == (False, {"unchanged"})
    assert {path: path.stat().st_mtime_ns for path in image.rglob("*")} == written


@pytest.mark.parametrize("kind", Kind)
def test_uninstall_takes_away_what_install_wrote(site: Site, image: Path, kind: Kind) -> None:
    install(kind, str(site.config), directory=str(image))
    neighbours = [below(image, path).parent / "neighbour" for path in paths_of(kind, site)]
    for path in neighbours:
        path.write_text("somebody's\n")
    result = uninstall(kind, str(site.config), directory=str(image))
    assert {f.state for f in result.files} == {"removed"}
    assert set(installed(image).values()) == {"somebody's\n"}
    again = uninstall(kind, str(site.config), directory=str(image))
    assert (again.changed, {f.state for f in again.files}) == (False, {"absent"})


@pytest.mark.parametrize("kind", Kind)
def test_another_interval_replaces_the_file(site: Site, image: Path, kind: Kind) -> None:
    install(kind, str(site.config), directory=str(image))
    before = installed(image)
    install(kind, str(site.config), directory=str(image), minutes=20)
    assert installed(image) != before
    install(kind, str(site.config), directory=str(image))
    assert installed(image) == before


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("foreign", ["text", "empty", "masked", "dangling"])
def test_file_of_somebody_else_is_refused(
    site: Site, image: Path, kind: Kind, foreign: str
) -> None:
    path = below(image, paths_of(kind, site)[-1])
    path.parent.mkdir(parents=True)
    if foreign == "masked":
        path.symlink_to("/dev/null")  # as `systemctl mask` does it
    elif foreign == "dangling":
        path.symlink_to(site.folder / "nowhere")
    else:
        path.write_text("# mine\n" if foreign == "text" else "")
    before = unread(path)
    with pytest.raises(RefusedError, match="not written by saltbranch") as refused:
        install(kind, str(site.config), directory=str(image))
    assert str(path) in refused.value.message
    with pytest.raises(RefusedError):
        uninstall(kind, str(site.config), directory=str(image))
    assert unread(path) == before
    assert [p for p in image.rglob("*") if not p.is_dir()] == [path]
    assert not (site.folder / "nowhere").exists()


@pytest.mark.parametrize("text", ["remote: [\n", "remote: x\nrooot: /srv\n", "root: srv\n"])
def test_broken_configuration_installs_nothing(site: Site, image: Path, text: str) -> None:
    site.config.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(str(site.config))):
        install(Kind.CRON, str(site.config), directory=str(image))
    with pytest.raises(ConfigError, match="cannot read"):
        install(Kind.CRON, f"{site.config}.missing", directory=str(image))
    assert not image.exists()


def test_relative_configuration_is_written_in_full(
    site: Site, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(site.folder)
    install(Kind.SCHEDULE, site.config.name, directory=str(image))
    (text,) = installed(image).values()
    assert yaml.safe_load(text)["saltbranch_config"] == str(site.config)


def test_command_that_needs_this_environment_is_refused(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = site.folder / "cron.d" / "saltbranch"
    monkeypatch.setattr(timer, "SYNC", replace(timer.SYNC, cron_file=str(path)))
    monkeypatch.setenv("SALTBRANCH_TEST", "here")
    argv = ["/bin/sh", "-c", 'test "$SALTBRANCH_TEST" || { echo lost >&2; exit 9; }']
    with pytest.raises(SaltbranchError, match="does not start in a plain environment:\n  lost"):
        install(Kind.CRON, str(site.config), command=argv)
    assert not path.parent.exists()


def test_command_is_the_script_beside_python_or_the_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python3"
    monkeypatch.setattr(sys, "executable", str(python))
    assert installing.own_command() == (str(python), "-m", "saltbranch")
    script = tmp_path / "saltbranch"
    script.write_text("#!/bin/sh\n")
    assert installing.own_command() == (str(python), "-m", "saltbranch")
    script.chmod(0o755)
    assert installing.own_command() == (str(script),)


# Who runs it


def test_owner_of_the_root_runs_the_sync(served: Site, image: Path) -> None:
    install(Kind.SYSTEMD, str(served.config), directory=str(image))
    owner = pwd.getpwuid(served.root.stat().st_uid).pw_name
    assert f"\nUser={owner}\n" in installed(image)[timer.SYNC.service_file]
    install(Kind.SYSTEMD, str(served.config), directory=str(image), user="deploy")
    assert "\nUser=deploy\n" in installed(image)[timer.SYNC.service_file]


@pytest.mark.parametrize("user", ["no such user", "-x", "", "a\nb", "root:root"])
def test_name_that_is_no_user_is_refused(site: Site, image: Path, user: str) -> None:
    if user:
        with pytest.raises(UsageError):
            install(Kind.CRON, str(site.config), user=user, directory=str(image))
    with pytest.raises(UsageError):
        install(Kind.CRON, str(site.config), user="saltbranch-nobody", plan=True)
    assert not image.exists()


@as_root
@pytest.mark.parametrize("kind", Kind)
def test_user_who_does_not_own_the_root_is_refused(served: Site, kind: Kind) -> None:
    """Every sync would fail, quietly from then on."""
    nobody = pwd.getpwnam("nobody")
    os.chown(served.root, nobody.pw_uid, nobody.pw_gid)
    user = None if kind is Kind.SCHEDULE else "root"
    with pytest.raises(RefusedError, match="belongs to 'nobody'"):
        install(kind, str(served.config), user=user, plan=True)


# The nightly check


@pytest.mark.parametrize("kind", Kind)
def test_the_nightly_check_stands_beside_the_sync(site: Site, image: Path, kind: Kind) -> None:
    options = {"directory": str(image)}
    install(kind, str(site.config), **options)
    before = installed(image)
    result = install(kind, str(site.config), **options, night=True)
    more = [f"{image}{path}" for path in nightly_paths(kind, site)]
    assert [f.path for f in result.files] == more and result.changed
    assert {p: t for p, t in installed(image).items() if p in before} == before
    assert not install(kind, str(site.config), **options, night=True).changed
    gone = uninstall(kind, str(site.config), directory=str(image))
    assert [f.path for f in gone.files if f.state == "removed"] == [
        f"{image}{path}" for path in (*paths_of(kind, site), *nightly_paths(kind, site))
    ]
    assert installed(image) == {}


def test_the_nightly_line_of_cron_speaks_only_of_findings(
    served: Site, image: Path, command: list[str]
) -> None:
    install(Kind.CRON, str(served.config), directory=str(image), command=command, night=True)
    assert run_cron_line(image, timer.CHECK.cron_file) == Ran(0, "", "")
    served.remote.commit("develop", {"salt/app/init.sls": "app:\n  test.nix: []\n"})
    served.sync_well()
    ran = run_cron_line(image, timer.CHECK.cron_file)
    assert (ran.code, ran.err) == (3, "")
    assert "salt/app/init.sls:2: error unknown-state-function" in ran.out


@as_root
@pytest.mark.skipif(not shutil.which("bwrap"), reason="bubblewrap is not here")
def test_the_nightly_check_compiles_in_the_sandbox_of_its_service(
    served: Site, image: Path, command: list[str]
) -> None:
    """The unit's words, file system and network, without systemd, which takes no rights from it."""
    fleet = served.folder / "fleet"
    fleet.mkdir()
    (fleet / "test1.yaml").write_text("grains: {os_family: Debian, kernel: Linux}\n")
    served.configure(fleet="fleet")
    served.remote.commit("develop", {"salt/app/init.sls": "{{ raise('compiled') }}\n"})
    served.sync_well()
    install(Kind.SYSTEMD, str(served.config), directory=str(image), command=command, night=True)
    service = installed(image)[timer.CHECK.service_file]
    sandbox = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--unshare-net"]
    sandbox += ["--cap-add", "ALL", "--tmpfs", "/run", "--tmpfs", "/var/cache"]
    kept = served.folder.parents[-2]  # all of this test lies in /tmp
    sandbox += ["--tmpfs", str(kept), "--ro-bind", str(served.folder), str(served.folder)]
    if not PROJECT.is_relative_to(served.folder) and PROJECT.is_relative_to(kept):
        sandbox += ["--ro-bind", str(PROJECT), str(PROJECT)]
    for word in unit_values(service, "ReadWritePaths"):
        path = word.removeprefix("-")
        if path != "/tmp":
            sandbox += ["--bind", path, path]
    environment = dict(word.split("=", 1) for word in unit_values(service, "Environment"))
    done = subprocess.run(
        [*sandbox, *unit_values(service, "ExecStart")],
        env={"HOME": "/root", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (3, "")
    assert "error compile test1: Jinja error: compiled" in done.stdout
    assert (served.root / "state" / "compiled" / "key").exists()


def test_systemd_is_told_of_the_nightly_check(
    served: Site, systemd: Systemd, command: list[str]
) -> None:
    done = install(Kind.SYSTEMD, str(served.config), command=command, night=True)
    assert done.commands[1:] == (
        "systemctl enable saltbranch-check.timer",
        "systemctl restart saltbranch-check.timer",
    )
    systemd.told()
    uninstall(Kind.SYSTEMD, None)
    assert systemd.told() == ["disable --now saltbranch-check.timer", "daemon-reload"]


def test_two_nightly_checks_are_one_too_many(site: Site, image: Path) -> None:
    install(Kind.SCHEDULE, str(site.config), directory=str(image), night=True)
    schedule = Path(nightly_paths(Kind.SCHEDULE, site)[0])
    schedule.parent.mkdir(parents=True)
    schedule.write_text(below(image, schedule).read_text())
    left = install(Kind.CRON, str(site.config), night=True, plan=True).left
    assert (
        "schedule runs the nightly check, too; one is enough: saltbranch uninstall schedule" in left
    )


def test_salts_scheduler_takes_the_nightly_job(master: Site) -> None:
    install(Kind.SCHEDULE, str(master.config), night=True)
    opts = dict(salt.config.master_config(str(master.salt_config)))
    opts["schedule"] = {name: dict(job) for name, job in opts["schedule"].items()}
    job = opts["schedule"]["saltbranch-check"]
    assert opts["saltbranch_config"] == str(master.config) and "kwargs" not in job
    job["dry_run"] = True
    scheduler = salt.utils.schedule.Schedule(
        opts, salt.loader.runner(opts), returners={}, new_instance=True
    )
    day = datetime.datetime.now().replace(hour=0, minute=0, second=30, microsecond=0)
    day += datetime.timedelta(days=1)
    minutes = [day + datetime.timedelta(minutes=n) for n in range(24 * 60)]
    runs = [f"{when:%H:%M}" for when in minutes if scheduler.eval(now=when)]
    assert "_error" not in job and len(runs) <= 1


def test_every_is_no_option_of_the_nightly_check(site: Site) -> None:
    words = ["install", "cron", "--config", str(site.config), "--nightly", "--print"]
    assert site.run_here(*words, "--every", "10").code == 2
    ran = site.run_here(*words)
    assert ran.code == 0 and " check --all --quiet --config " in ran.out


# cron


def run_cron_line(image: Path, name: str = timer.SYNC.cron_file) -> Ran:
    """Do what cron does with the file: its environment, its rules for %."""
    lines = installed(image)[name].splitlines()
    entry = next(line for line in lines if " * * * " in line)
    text = entry.split(None, 6)[6]
    assert not re.search(r"(?<!\\)%", text)
    environment = dict(line.split("=", 1) for line in lines if re.match("[A-Z]+=", line))
    done = subprocess.run(
        [environment.pop("SHELL"), "-c", text.replace(r"\%", "%")],
        env={"HOME": str(image / "home"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def test_cron_line_syncs(served: Site, image: Path, command: list[str]) -> None:
    odd = served.folder / "50% odd & quiet"
    odd.mkdir()
    served.config = served.config.rename(odd / "saltbranch.yaml")
    assert served.run_here("init", "--move-root", "--config", str(served.config)).code == 0
    served.sync_well()
    install(Kind.CRON, str(served.config), directory=str(image), command=command)
    assert run_cron_line(image) == Ran(0, "", "")

    new = served.remote.commit("develop", {"salt/new.sls": "new:\n  test.nop: []\n"})
    ran = run_cron_line(image)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("test: develop switched, ")
    served.assert_serves("develop", new)

    with files.Lock(f"{served.root}/lock"):
        assert run_cron_line(image) == Ran(75, "", "")
    shutil.rmtree(served.remote.path)
    ran = run_cron_line(image)
    assert (ran.code, ran.err) == (1, "")
    assert "cannot read the remote" in ran.out


# systemd


def unit_values(text: str, key: str) -> list[str]:
    (value,) = re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)
    return [word.replace("%%", "%") for word in shlex.split(value)]


@as_root
@pytest.mark.skipif(not shutil.which("bwrap"), reason="bubblewrap is not here")
def test_sync_works_in_the_sandbox_of_the_service(
    served: Site, image: Path, command: list[str]
) -> None:
    """The unit's words, file system and rights, without systemd: a sync that does all it can."""
    cache = served.folder / "cache" / "file_lists" / "roots"
    cache.mkdir(parents=True)
    served.salt_config.write_text(f"root_dir: {served.folder}\ncachedir: cache\n")
    served.sync_well()
    install(Kind.SYSTEMD, str(served.config), directory=str(image), command=command)
    service = installed(image)[timer.SYNC.service_file]
    # It keeps its rights: the sandbox that verifies a commit is started with them.
    assert "CapabilityBoundingSet=" not in service
    sandbox = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--cap-add", "ALL"]
    for word in unit_values(service, "ReadWritePaths"):
        path = word.removeprefix("-")
        if path != "/tmp":  # all of this test lies there
            sandbox += ["--bind", path, path]
    environment = dict(word.split("=", 1) for word in unit_values(service, "Environment"))
    ran = subprocess.run(
        [*sandbox, "touch", str(served.folder / "elsewhere")], capture_output=True, check=False
    )
    assert b"Read-only file system" in ran.stderr

    (cache / "test.p").write_text("old")
    saltenvs = served.settings["saltenvs"]
    saltenvs["prod"]["minions"] = ["web*"]
    served.remote.set_branch("hotfix/x", served.remote.head("master"))
    saltenvs["hot"] = {"branch": "hotfix/x", "minions": ["hot*"]}
    served.configure(saltenvs=saltenvs, group="daemon")
    new = served.remote.commit("develop", {"salt/new.sls": "new:\n  test.nop: []\n"})
    done = subprocess.run(
        [*sandbox, *unit_values(service, "ExecStart")],
        env={"HOME": "/root", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    served.assert_serves("develop", new)
    assert (served.root / "checkouts" / "hotfix_x").exists()
    assert f"wrote {served.master_config}" in done.stdout
    assert not (cache / "test.p").exists()
    assert (served.root / "slots").stat().st_mode & 0o2000


class Systemd:
    """Stands in for systemd: keeps what systemctl was told, and answers as told."""

    def __init__(self, folder: Path) -> None:
        self.runs = folder / "run"
        self.runs.mkdir()
        self.log = folder / "systemctl.log"
        self.fails = folder / "systemctl.fails"
        program = folder / "path" / "systemctl"
        program.parent.mkdir()
        program.write_text(
            f'#!/bin/sh\necho "$@" >> {shlex.quote(str(self.log))}\n'
            f'grep -qxF -- "$1" {shlex.quote(str(self.fails))} || exit 0\necho no $1 >&2\nexit 1\n'
        )
        program.chmod(0o755)
        self.path = f"{program.parent}:{os.environ['PATH']}"
        self.fail()

    def fail(self, *verbs: str) -> None:
        self.fails.write_text("".join(f"{verb}\n" for verb in verbs))

    def told(self) -> list[str]:
        """What it was told since it was asked last."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return lines


@pytest.fixture
def systemd(tmp_path: Path, image: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    """A systemd that reads its units below `image`, and is said to run here."""
    fake = Systemd(tmp_path)
    monkeypatch.setattr(schedule_files, "SYSTEMD_RUNS", str(fake.runs))
    monkeypatch.setenv("PATH", fake.path)
    monkeypatch.setattr(proc, "_paths", {})  # where programs were found with the other PATH
    for name in ("SYNC", "CHECK"):
        names: timer.Names = getattr(timer, name)
        service, clock = f"{image}{names.service_file}", f"{image}{names.timer_file}"
        moved = replace(names, service_file=service, timer_file=clock)
        monkeypatch.setattr(timer, name, moved)
    return fake


def test_systemd_is_told_what_is_new(served: Site, systemd: Systemd, command: list[str]) -> None:
    config = str(served.config)
    planned = install(Kind.SYSTEMD, config, command=command, plan=True)
    assert planned.exit_code == 3
    assert (systemd.told(), Path(timer.SYNC.timer_file).exists()) == ([], False)

    done = install(Kind.SYSTEMD, config, command=command)
    assert done.commands == planned.commands
    assert [f"systemctl {line}" for line in systemd.told()] == list(done.commands)
    assert done.commands == (
        "systemctl daemon-reload",
        "systemctl enable saltbranch-sync.timer",
        "systemctl restart saltbranch-sync.timer",
    )
    assert done.left == ()

    again = install(Kind.SYSTEMD, config, command=command, plan=True)
    assert (again.exit_code, again.commands) == (0, ())
    assert {line.split()[0] for line in systemd.told()} == {"is-enabled", "is-active"}


@pytest.mark.parametrize("question", ["is-enabled", "is-active"])
def test_timer_that_stands_still_is_started(
    served: Site, systemd: Systemd, command: list[str], question: str
) -> None:
    install(Kind.SYSTEMD, str(served.config), command=command)
    systemd.fail(question)
    assert install(Kind.SYSTEMD, str(served.config), command=command, plan=True).exit_code == 3
    systemd.told()
    result = install(Kind.SYSTEMD, str(served.config), command=command)
    assert result.commands == ("systemctl enable --now saltbranch-sync.timer",)
    assert systemd.told()[-1] == "enable --now saltbranch-sync.timer"


def test_systemctl_that_fails_is_told(served: Site, systemd: Systemd, command: list[str]) -> None:
    systemd.fail("enable")
    with pytest.raises(SaltbranchError, match="systemctl enable .* failed:\n  no enable"):
        install(Kind.SYSTEMD, str(served.config), command=command)


def test_uninstall_stops_the_timer_first(
    served: Site, systemd: Systemd, command: list[str]
) -> None:
    install(Kind.SYSTEMD, str(served.config), command=command)
    systemd.told()
    uninstall(Kind.SYSTEMD, None)
    assert systemd.told() == ["disable --now saltbranch-sync.timer", "daemon-reload"]
    assert not Path(timer.SYNC.service_file).exists()
    assert not Path(timer.SYNC.timer_file).exists()
    uninstall(Kind.SYSTEMD, None)
    assert systemd.told() == []


def test_without_systemd_the_commands_are_said(
    served: Site, systemd: Systemd, command: list[str]
) -> None:
    systemd.runs.rmdir()
    result = install(Kind.SYSTEMD, str(served.config), command=command)
    assert (systemd.told(), result.commands) == ([], ())
    (sentence,) = result.left
    assert "systemctl daemon-reload && systemctl enable --now saltbranch-sync.timer" in sentence


def test_two_timers_are_one_too_many(
    site: Site, systemd: Systemd, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cron = site.folder / "cron.d" / "saltbranch"
    monkeypatch.setattr(timer, "SYNC", replace(timer.SYNC, cron_file=str(cron)))
    install(Kind.CRON, str(site.config), command=command)
    left = install(Kind.SYSTEMD, str(site.config), command=command).left
    assert left == (
        f"Do the first sync by hand, as {pwd.getpwuid(os.geteuid()).pw_name}:"
        f" saltbranch sync --config {site.config}",
        "cron runs the sync, too; one is enough: saltbranch uninstall cron",
    )


# Salt's own schedule


@pytest.fixture
def master(served: Site) -> Site:
    """A master whose configuration Salt reads."""
    served.salt_config.write_text(f"root_dir: {served.folder}\nid: master\n")
    return served


def schedule_of(site: Site) -> dict[str, Any]:
    """The jobs that Salt finds in the master's configuration."""
    return dict(salt.config.master_config(str(site.salt_config))["schedule"])


JOB = {"function": "test.sleep", "minutes": 30}


def test_salt_reads_the_job_beside_those_of_others(master: Site) -> None:
    other = master.master_config.parent / "zz.conf"
    other.write_text(yaml.safe_dump({"schedule": {"other": JOB}}))
    result = install(Kind.SCHEDULE, str(master.config), minutes=10)
    assert [f.path for f in result.files] == [str(schedule_file(master))]
    jobs = schedule_of(master)
    assert set(jobs) == {"saltbranch-sync", "other"}
    assert dict(jobs["saltbranch-sync"]) == {
        "function": "saltbranch.sync",
        "minutes": 10,
        "maxrunning": 1,
        "return_job": False,
    }
    uninstall(Kind.SCHEDULE, str(master.config))
    assert set(schedule_of(master)) == {"other"}


def test_job_in_the_main_file_would_be_lost_so_it_is_refused(master: Site) -> None:
    with master.salt_config.open("a") as file:
        file.write(yaml.safe_dump({"schedule": {"other": JOB}}))
    with pytest.raises(RefusedError, match=r"has a `schedule:` \(other\), which Salt forgets"):
        install(Kind.SCHEDULE, str(master.config))
    assert not schedule_file(master).exists()
    assert set(schedule_of(master)) == {"other"}

    # The reason: what is in master.d takes the place of what is in the main file.
    text = timer.schedule(timer.Job(("x",), str(master.config), 5, "root"))
    schedule_file(master).write_text(text)
    assert set(schedule_of(master)) == {"saltbranch-sync"}


def test_job_that_salt_does_not_see_is_an_error(master: Site) -> None:
    with master.salt_config.open("a") as file:
        file.write("default_include: other.d/*.conf\n")
    with pytest.raises(SaltError, match="Salt does not see its job"):
        install(Kind.SCHEDULE, str(master.config))


def test_salts_scheduler_takes_the_job(master: Site) -> None:
    install(Kind.SCHEDULE, str(master.config), minutes=5)
    opts = dict(salt.config.master_config(str(master.salt_config)))
    opts["schedule"] = {name: dict(job) for name, job in opts["schedule"].items()}
    job = opts["schedule"]["saltbranch-sync"]
    job["dry_run"] = True  # everything but the call itself
    scheduler = salt.utils.schedule.Schedule(
        opts, salt.loader.runner(opts), returners={}, new_instance=True
    )
    start = datetime.datetime(2026, 1, 1, 12, 0, 0)
    runs = [
        minute
        for minute in range(12)
        if scheduler.eval(now=start + datetime.timedelta(minutes=minute))
    ]
    assert runs == [0, 5, 10]
    assert "_error" not in job
    assert job["maxrunning"] == 1


def test_schedule_is_run_by_the_master_alone(master: Site, image: Path) -> None:
    with pytest.raises(UsageError, match="--user"):
        install(Kind.SCHEDULE, str(master.config), user="root", directory=str(image))
    assert not image.exists()


def test_running_master_must_be_restarted(master: Site) -> None:
    pidfile = master.folder / "master.pid"
    with master.salt_config.open("a") as file:
        file.write(f"pidfile: {pidfile}\n")
    assert install(Kind.SCHEDULE, str(master.config)).left == ()
    pidfile.write_text(str(os.getpid()))
    restart = "Restart the salt-master, it reads its schedule at its start only:"
    for _ in range(
        2
    ):  # also when it was written before and the master has not been restarted since
        (sentence,) = install(Kind.SCHEDULE, str(master.config)).left
        assert sentence.startswith(restart)
    (sentence,) = uninstall(Kind.SCHEDULE, str(master.config)).left
    assert sentence.startswith(restart)
    assert uninstall(Kind.SCHEDULE, str(master.config)).left == ()


# The command line


def test_print_writes_the_file_and_nothing_else(site: Site, image: Path) -> None:
    ran = site.run("install", "cron", "--print", "--every", "1h")
    install(Kind.CRON, str(site.config), minutes=60, directory=str(image))
    assert (ran.code, ran.out) == (0, installed(image)[timer.SYNC.cron_file])

    ran = site.run("install", "systemd", "--print")
    install(Kind.SYSTEMD, str(site.config), directory=str(image))
    texts = installed(image)
    service, timer_file = timer.SYNC.service_file, timer.SYNC.timer_file
    assert ran.out == f"# {service}\n{texts[service]}\n# {timer_file}\n{texts[timer_file]}"


def test_command_line_says_what_it_did(site: Site, image: Path) -> None:
    path = f"{image}{timer.SYNC.cron_file}"
    below_image = ("cron", "--directory", str(image))
    assert site.run("install", *below_image, "--plan") == Ran(3, f"would write {path}\n", "")
    assert not image.exists()
    assert site.run("install", *below_image) == Ran(0, f"wrote {path}\n", "")
    assert site.run("install", *below_image, "--plan") == Ran(0, f"{path}: unchanged\n", "")
    assert site.run("uninstall", *below_image, "--plan") == Ran(3, f"would remove {path}\n", "")
    assert site.run("uninstall", *below_image) == Ran(0, f"removed {path}\n", "")
    assert site.run("uninstall", *below_image) == Ran(0, f"{path}: absent\n", "")
    Path(path).write_text("mine\n")
    refused = site.run("install", *below_image)
    assert (refused.code, refused.out) == (4, "")
    assert site.run("install", "cron", "--every", "7").code == 2
    assert site.run("install", "at").code == 2


def test_json(site: Site, image: Path) -> None:
    ran = site.run("install", "schedule", "--directory", str(image), "--json")
    text = installed(image)[str(schedule_file(site))]
    assert json.loads(ran.out) == {
        "version": 1,
        "kind": "schedule",
        "plan": False,
        "files": [{"path": f"{image}{schedule_file(site)}", "state": "written", "text": text}],
        "commands": [],
        "left": [],
        "notes": [],
    }
    schema = json.loads((PROJECT / "docs" / "reference" / "schemas" / "install.json").read_text())
    jsonschema.validate(json.loads(ran.out), schema)
    with pytest.raises(jsonschema.ValidationError, match="'broken' is not one of"):
        jsonschema.validate(json.loads(ran.out.replace('"written"', '"broken"')), schema)
