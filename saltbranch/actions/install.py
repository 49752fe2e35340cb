"""install: let cron, systemd or the salt-master itself run the sync; uninstall: take that away."""

from __future__ import annotations

import os
import pwd
import re
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypedDict

from saltbranch.base.errors import EXIT_PENDING, ConfigError, RefusedError, UsageError
from saltbranch.compiler import interpreter
from saltbranch.config.keys import FileModel
from saltbranch.repository.machine import read_machine_file
from saltbranch.salt_master import options as master_options
from saltbranch.salt_master.options import MasterOptions
from saltbranch.schedule import files as timer_files
from saltbranch.schedule import nightly
from saltbranch.schedule import texts as timer
from saltbranch.schedule.files import REMOVED, TimerFile, TimerFileData
from saltbranch.schedule.reactor import Reaction
from saltbranch.schedule.texts import Job, Kind, Names


class InstallData(TypedDict):
    """What `install --json` and `uninstall --json` write."""

    version: Literal[1]
    kind: Literal["cron", "systemd", "schedule", "reactor"]
    plan: bool
    files: list[TimerFileData]
    commands: list[str]
    left: list[str]
    notes: list[str]


@dataclass(frozen=True, slots=True)
class InstallResult:
    """What install or uninstall did, or with `plan` would do.

    kind: who runs it, or that it is a reactor. commands: what was run, each as one line. left: what a person has to
    do now, notes: what else there is to know, one sentence each.
    """

    kind: Kind | Reaction
    plan: bool
    files: tuple[TimerFile, ...]
    commands: tuple[str, ...]
    left: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything was, or with `plan` would be, changed."""
        return bool(self.commands) or any(file.changed for file in self.files)

    @property
    def exit_code(self) -> int:
        """3 for a plan with something in it."""
        return EXIT_PENDING if self.plan and self.changed else 0

    def as_dict(self) -> InstallData:
        """Plain data, the shape of `--json`."""
        return {
            "version": 1,
            "kind": self.kind.value,
            "plan": self.plan,
            "files": [file.as_dict() for file in self.files],
            "commands": list(self.commands),
            "left": list(self.left),
            "notes": list(self.notes),
        }


def install(
    kind: Kind,
    config_path: str,
    *,
    minutes: int = timer.EVERY,
    user: str | None = None,
    directory: str = "",
    command: Sequence[str] | None = None,
    plan: bool = False,
    night: bool = False,
    python: str | None = None,
) -> InstallResult:
    """Have the sync run every `minutes` (an interval that timer.parse_interval allows).

    night: instead of the sync, a check of all branches each night; python: with that interpreter, too.
    user: who runs it; the owner of the root, or this user where there is no root yet. directory: a
    folder to write below, for images: nothing is started then. command: what starts saltbranch;
    found beside the running Python when None.

    Raises ConfigError, UsageError, SaltError, SaltbranchError; RefusedError for a file of others.
    """
    machine = read_machine(config_path)
    master = master_options.read(machine.salt_config)
    names = timer.CHECK if night else timer.SYNC
    if python:
        timer.check_path(python)
        if not directory:
            interpreter.ask(python)
    if kind is Kind.SCHEDULE and user:
        raise UsageError("--user does not go with schedule: the salt-master runs it itself")
    if kind is Kind.SCHEDULE and not directory:
        timer_files.refuse_lost_jobs(machine.salt_config, master)
    job = Job(
        command=_checked(command or own_command()),
        config_path=timer.check_path(os.path.abspath(config_path)),
        minutes=minutes,
        user=run_by(kind, machine.root, user, master, elsewhere=bool(directory)),
        writes=(f"{machine.root}/state",)
        if night
        else timer_files.written_folders(machine, master),
        patience=3600 + machine.fetch_timeout,
        search=timer_files.search_path(),
        offset=zlib.crc32(os.uname().nodename.encode()),
    )
    texts = _night_texts(kind, job, python) if night else _texts(kind, job)
    paths = _paths(kind, machine, names)
    done = [
        timer_files.compare(directory + path, text) for path, text in zip(paths, texts, strict=True)
    ]
    commands = (
        timer_files.start_commands(done, names) if kind is Kind.SYSTEMD and not directory else []
    )
    if not plan:
        _write(kind, job, done, commands, elsewhere=bool(directory))
    if not plan and kind is Kind.SCHEDULE and not directory:
        timer_files.refuse_unread(machine.salt_config, done[0].path, names)
    result = InstallResult(kind, plan, tuple(done), tuple(map(" ".join, commands)))
    return replace(
        result, left=tuple(_left(result, job, machine, master, directory=directory, names=names))
    )


def _write(
    kind: Kind,
    job: Job,
    wanted: Sequence[TimerFile],
    commands: Sequence[Sequence[str]],
    *,
    elsewhere: bool,
) -> None:
    """Write the files, after a try of what they run, and tell systemd. elsewhere: for another machine."""
    if kind is not Kind.SCHEDULE and not elsewhere:
        timer_files.refuse_unstartable(job)
    timer_files.write(wanted)
    timer_files.run_all(commands)


def uninstall(
    kind: Kind, config_path: str | None, *, directory: str = "", plan: bool = False
) -> InstallResult:
    """Take away what install wrote, the nightly check included, and nothing else.

    config_path: says where the master's configuration is; the usual place when None.
    Raises ConfigError, SaltbranchError; RefusedError for a file of others.
    """
    machine = read_machine(config_path) if config_path and kind is Kind.SCHEDULE else FileModel()
    done = [timer_files.removal(directory + path) for path in _paths(kind, machine, timer.SYNC)]
    checks = [timer_files.removal(directory + path) for path in _paths(kind, machine, timer.CHECK)]
    stop, reload = [], []
    if kind is Kind.SYSTEMD and not directory and timer_files.is_systemd():
        stop = [
            ["systemctl", "disable", "--now", f"{names.unit}.timer"]
            for names, found in ((timer.SYNC, done), (timer.CHECK, checks))
            if any(f.changed for f in found)
        ]
        reload = [["systemctl", "daemon-reload"]] if stop else []
    done += [f for f in checks if f.changed]
    if not plan:
        timer_files.run_all(stop)
        timer_files.remove(done)
        timer_files.run_all(reload)
    commands = tuple(map(" ".join, stop + reload))
    result = InstallResult(kind, plan, tuple(done), commands)
    if kind is Kind.SCHEDULE and not directory:
        left = _left_in_master(result, master_options.read(machine.salt_config))
        return replace(result, left=tuple(left))
    return result


def own_command() -> tuple[str, ...]:
    """What starts this very saltbranch from anywhere, without what the environment adds to it."""
    script = f"{os.path.dirname(sys.executable)}/saltbranch"
    if os.path.isfile(script) and os.access(script, os.X_OK):
        return (script,)
    return (sys.executable, "-m", "saltbranch")


def _checked(command: Sequence[str]) -> tuple[str, ...]:
    timer.check_path(command[0])
    return tuple(command)


def read_machine(config_path: str) -> FileModel:
    """The machine's part of the configuration. Raises ConfigError."""
    machine = read_machine_file(config_path)
    for key in ("root", "master_config", "salt_config"):
        try:
            timer.check_path(getattr(machine, key))
        except ConfigError as err:
            raise ConfigError(f"{config_path}: {key}: {err.message}", hint=err.hint) from err
    return machine


def _paths(kind: Kind, machine: FileModel, names: Names) -> list[str]:
    if kind is Kind.CRON:
        return [names.cron_file]
    if kind is Kind.SYSTEMD:
        return [names.service_file, names.timer_file]
    return [f"{os.path.dirname(machine.master_config)}/{names.schedule_file}"]


def _texts(kind: Kind, job: Job) -> list[str]:
    """The texts of the files to write, in the order of their paths."""
    if kind is Kind.CRON:
        return [timer.cron(job)]
    if kind is Kind.SYSTEMD:
        return [timer.systemd_service(job), timer.systemd_timer(job)]
    return [timer.schedule(job)]


def _night_texts(kind: Kind, job: Job, python: str | None) -> list[str]:
    if kind is Kind.CRON:
        return [nightly.cron(job, python)]
    if kind is Kind.SYSTEMD:
        return [nightly.systemd_service(job, python), nightly.systemd_timer(job)]
    return [nightly.schedule(job, python)]


def run_by(
    kind: Kind, root: str, wanted: str | None, master: MasterOptions, *, elsewhere: bool
) -> str:
    """Who runs the sync: it must own the root, or every sync would fail (files.check_root).

    elsewhere: the sync will run on another machine. Raises UsageError, RefusedError.
    """
    try:
        owner: int | None = os.stat(root).st_uid
    except OSError:
        owner = None
    name = master.user if kind is Kind.SCHEDULE else wanted or _name(owner)
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}", name):
        raise UsageError(f"{name!r} is not a name of a user")
    if elsewhere:
        return name
    try:
        uid = pwd.getpwnam(name).pw_uid
    except KeyError as err:
        raise UsageError(f"there is no user {name!r} on this machine") from err
    if owner not in (None, uid):
        whose = "the salt-master's user" if kind is Kind.SCHEDULE else "user"
        raise RefusedError(
            f"the root {root} belongs to {_name(owner)!r}: syncs of {whose} {name!r} would fail",
            hint=f"let {_name(owner)!r} run it (install systemd or cron), or chown -R the root",
        )
    return name


def _name(uid: int | None) -> str:
    uid = os.geteuid() if uid is None else uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError as err:
        raise UsageError(f"user id {uid} has no name", hint="name one with --user") from err


def _left(
    result: InstallResult,
    job: Job,
    machine: FileModel,
    master: MasterOptions,
    *,
    directory: str,
    names: Names,
) -> list[str]:
    """What a person has to do after an install."""
    if directory:
        enable = f"systemctl --root={directory} enable {names.unit}.timer"
        return [f"Enable it in the image: {enable}"] if result.kind is Kind.SYSTEMD else []
    left = []
    if not os.path.isdir(f"{machine.root}/checkouts"):
        left.append(
            f"Do the first sync by hand, as {job.user}: saltbranch sync --config {job.config_path}"
        )
    if result.kind is Kind.SYSTEMD and not timer_files.is_systemd():
        start = f"systemctl daemon-reload && systemctl enable --now {names.unit}.timer"
        left.append(f"systemd does not run here. When it does: {start}")
    if result.kind is Kind.CRON and not any(timer_files.which(name) for name in ("cron", "crond")):
        left.append("There is no cron on this machine yet: install one (cron, cronie)")
    if result.kind is Kind.SCHEDULE:
        left += _left_in_master(result, master)
    what = "nightly check" if names == timer.CHECK else "sync"
    for kind in Kind:
        if kind is not result.kind and any(
            map(timer_files.is_installed, _paths(kind, machine, names))
        ):
            left.append(
                f"{kind.value} runs the {what}, too; one is enough: saltbranch uninstall {kind.value}"
            )
    return left


def _left_in_master(result: InstallResult, master: MasterOptions) -> list[str]:
    """What is left to do where the salt-master's own schedule was, or would be, changed."""
    path = result.files[0].path
    if not master.exists:
        return [f"There is no {master.path} here: install the salt-master first"]
    left = []
    if (
        result.files[0].state == REMOVED
        and not result.plan
        and timer_files.has_job(master, timer.SYNC)
    ):
        left.append(f"Another file has the job {timer.SYNC.job}, too (master.d/_schedule.conf?)")
    return left + timer_files.restart(master, path, changed=result.changed, what="schedule")
