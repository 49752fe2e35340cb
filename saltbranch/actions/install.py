"""install: let cron, systemd or the salt-master itself run the sync; uninstall: take that away.

Only files that carry our header are ever replaced or removed.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import yaml

from saltbranch import files, masterprocess, nightly, proc, saltmaster, timer
from saltbranch.actions.sync import os_error
from saltbranch.compiler import interpreter
from saltbranch.config.keys import FileModel
from saltbranch.errors import (
    EXIT_PENDING,
    ConfigError,
    RefusedError,
    SaltbranchError,
    SaltError,
    UsageError,
)
from saltbranch.git import indent
from saltbranch.repository.place import read_machine_file
from saltbranch.saltmaster import MasterOptions
from saltbranch.timer import Job, Kind, Names

# There while systemd is the init of this machine (sd_booted(3)).
SYSTEMD_RUNS = "/run/systemd/system"
WRITTEN, UNCHANGED, REMOVED, ABSENT = "written", "unchanged", "removed", "absent"


@dataclass(frozen=True, slots=True)
class TimerFile:
    """A file and what happened to it: `state` is written, unchanged, removed or absent."""

    path: str
    state: str
    text: str = ""

    @property
    def changed(self) -> bool:
        """Whether it is another one now, or with `plan` would be."""
        return self.state in (WRITTEN, REMOVED)


@dataclass(frozen=True, slots=True)
class InstallResult:
    """What install or uninstall did, or with `plan` would do.

    commands: what was run, each as one line. left: what a person has to do now, one sentence each.
    """

    kind: Kind
    plan: bool
    files: tuple[TimerFile, ...]
    commands: tuple[str, ...]
    left: tuple[str, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything was, or with `plan` would be, changed."""
        return bool(self.commands) or any(file.changed for file in self.files)

    @property
    def exit_code(self) -> int:
        """3 for a plan with something in it."""
        return EXIT_PENDING if self.plan and self.changed else 0

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        return {
            "version": 1,
            "kind": self.kind.value,
            "plan": self.plan,
            "files": [{"path": f.path, "state": f.state, "text": f.text} for f in self.files],
            "commands": list(self.commands),
            "left": list(self.left),
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
    machine = _read(config_path)
    master = saltmaster.read(machine.salt_config)
    names = timer.CHECK if night else timer.SYNC
    if python:
        timer.check_path(python)
        if not directory:
            interpreter.ask(python)
    if kind is Kind.SCHEDULE:
        if user:
            raise UsageError("--user does not go with schedule: the salt-master runs it itself")
        if not directory:
            _refuse_lost_jobs(machine.salt_config, master)
    job = Job(
        command=_checked(command or own_command()),
        config_path=timer.check_path(os.path.abspath(config_path)),
        minutes=minutes,
        user=_user(kind, machine.root, user, master, elsewhere=bool(directory)),
        writes=(f"{machine.root}/state",) if night else _writes(machine, master),
        patience=3600 + machine.fetch_timeout,
        search=_search_path(),
        offset=zlib.crc32(os.uname().nodename.encode()),
    )
    texts = _night_texts(kind, job, python) if night else _texts(kind, job)
    paths = _paths(kind, machine, names)
    done = [_compare(directory + path, text) for path, text in zip(paths, texts, strict=True)]
    commands = _start_commands(done, names) if kind is Kind.SYSTEMD and not directory else []
    if not plan:
        if kind is not Kind.SCHEDULE and not directory:
            _try(job)
        _write(done)
        _run_all(commands)
        if kind is Kind.SCHEDULE and not directory:
            _refuse_unread(machine.salt_config, done[0].path, names)
    result = InstallResult(kind, plan, tuple(done), tuple(map(" ".join, commands)))
    return replace(result, left=tuple(_left(result, job, machine, master, directory, names)))


def uninstall(
    kind: Kind, config_path: str | None, *, directory: str = "", plan: bool = False
) -> InstallResult:
    """Take away what install wrote, the nightly check included, and nothing else.

    config_path: says where the master's configuration is; the usual place when None.
    Raises ConfigError, SaltbranchError; RefusedError for a file of others.
    """
    machine = _read(config_path) if config_path and kind is Kind.SCHEDULE else FileModel()
    done = [_removal(directory + path) for path in _paths(kind, machine, timer.SYNC)]
    checks = [_removal(directory + path) for path in _paths(kind, machine, timer.CHECK)]
    stop, reload = [], []
    if kind is Kind.SYSTEMD and not directory and _is_systemd():
        stop = [
            ["systemctl", "disable", "--now", f"{names.unit}.timer"]
            for names, found in ((timer.SYNC, done), (timer.CHECK, checks))
            if any(f.changed for f in found)
        ]
        reload = [["systemctl", "daemon-reload"]] if stop else []
    done += [f for f in checks if f.changed]
    if not plan:
        _run_all(stop)
        _remove(done)
        _run_all(reload)
    commands = tuple(map(" ".join, stop + reload))
    result = InstallResult(kind, plan, tuple(done), commands)
    if kind is Kind.SCHEDULE and not directory:
        left = _left_in_master(result, saltmaster.read(machine.salt_config))
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


def _read(config_path: str) -> FileModel:
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


def _user(
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


def _writes(machine: FileModel, master: MasterOptions) -> tuple[str, ...]:
    """The folders that a sync writes to: root, master configuration, the master's file lists."""
    folders = (
        machine.root,
        os.path.dirname(machine.master_config),
        f"{master.cachedir}/file_lists",
    )
    return tuple(timer.check_path(os.path.normpath(folder)) for folder in folders)


def _search_path() -> str:
    """The usual PATH, and the folder of git where that is another one."""
    git = shutil.which("git")
    folder = os.path.dirname(os.path.abspath(git)) if git else ""
    if not folder or folder in timer.PATH.split(":") or ":" in folder:
        return timer.PATH
    return f"{timer.check_path(folder)}:{timer.PATH}"


def _try(job: Job) -> None:
    """Refuse a command that only works here and now, by PYTHONPATH or this folder.

    Raises SaltbranchError.
    """
    home = pwd.getpwuid(os.geteuid()).pw_dir
    argv = ["sh", "-c", 'cd / && exec "$@"', "sh", *job.command, "--version"]
    done = proc.run(argv, {"PATH": job.search, "HOME": home}, timeout=60)
    if done.code != 0:
        raise SaltbranchError(
            f"{' '.join(job.command)} does not start in a plain environment:\n"
            + indent(done.complaint),
            hint=f"install saltbranch for {sys.executable}: pip install saltbranch",
        )


def _refuse_lost_jobs(salt_config: str, master: MasterOptions) -> None:
    """Refuse to displace the `schedule:` of the master's main file.

    Salt merges the files of master.d with one another, and then puts the result in the place of
    what the main file says (salt/config/__init__.py, master_config and include_config).
    """
    if not master.exists:
        return
    try:
        main = yaml.safe_load(files.read_or_none(salt_config) or b"")
    except yaml.YAMLError as err:
        raise SaltError(f"{salt_config} is not valid YAML", hint="fix that file") from err
    jobs = main.get("schedule") if isinstance(main, dict) else None
    if isinstance(jobs, dict) and jobs and set(jobs) == set(master.opts["schedule"]):
        raise RefusedError(
            f"{salt_config} has a `schedule:` ({', '.join(map(str, jobs))}), which Salt forgets as"
            " soon as a file in master.d has one, too",
            hint="move it into a file of its own in master.d, where they are merged, or use cron",
        )


def _refuse_unread(salt_config: str, path: str, names: Names) -> None:
    """Say so when Salt does not find the job that was written. Raises SaltError."""
    master = saltmaster.read(salt_config)
    if master.exists and names.job not in master.opts["schedule"]:
        raise SaltError(
            f"{path} is written, but Salt does not see its job",
            hint=f"does `default_include:` of {salt_config} reach that file, and has no file under"
            " `include:` another `schedule:`?",
        )


def _refuse_foreign(path: str) -> bytes | None:
    """What the file `path` of ours holds, None when there is none. Raises RefusedError."""
    try:
        data = files.read_or_none(path)
    except OSError as err:
        raise os_error(err) from err
    ours = data is not None and timer.is_ours(data.decode("utf-8", "replace"))
    if os.path.islink(path) or (data is not None and not ours):
        raise RefusedError(
            f"{path} was not written by saltbranch and is left alone",
            hint="look at it; when it may go, remove it and try again",
        )
    return data


def _compare(path: str, text: str) -> TimerFile:
    same = _refuse_foreign(path) == text.encode()
    return TimerFile(path, UNCHANGED if same else WRITTEN, text)


def _removal(path: str) -> TimerFile:
    data = _refuse_foreign(path)
    return TimerFile(path, ABSENT if data is None else REMOVED)


def _write(wanted: Sequence[TimerFile]) -> None:
    try:
        for file in wanted:
            os.makedirs(os.path.dirname(file.path), exist_ok=True)
            files.write_atomic(file.path, file.text, mode=0o644)
    except OSError as err:
        raise _needs_root(err) from err


def _remove(ours: Sequence[TimerFile]) -> None:
    try:
        for file in ours:
            files.unlink(file.path)
    except OSError as err:
        raise _needs_root(err) from err


def _needs_root(err: OSError) -> SaltbranchError:
    error = os_error(err)
    if isinstance(err, PermissionError):
        error.hint = "run it as root"
    return error


def _is_systemd() -> bool:
    return os.path.isdir(SYSTEMD_RUNS)


def _start_commands(wanted: Sequence[TimerFile], names: Names) -> list[list[str]]:
    """What is needed so that the running systemd works by these files."""
    name = f"{names.unit}.timer"
    if not _is_systemd():
        return []
    if any(file.changed for file in wanted):
        enable = ["systemctl", "enable", name]
        return [["systemctl", "daemon-reload"], enable, ["systemctl", "restart", name]]
    questions = ("is-enabled", "is-active")
    asked = [proc.run(["systemctl", q, "--quiet", name], os.environ) for q in questions]
    return [["systemctl", "enable", "--now", name]] if any(a.code for a in asked) else []


def _run_all(commands: Sequence[Sequence[str]]) -> None:
    for argv in commands:
        done = proc.run(argv, os.environ, timeout=120)
        if done.code != 0:
            raise SaltbranchError(
                f"{' '.join(argv)} failed:\n{indent(done.complaint)}",
                hint="the files are as they should be; try that command by hand",
            )


def _left(
    result: InstallResult,
    job: Job,
    machine: FileModel,
    master: MasterOptions,
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
    if result.kind is Kind.SYSTEMD and not _is_systemd():
        start = f"systemctl daemon-reload && systemctl enable --now {names.unit}.timer"
        left.append(f"systemd does not run here. When it does: {start}")
    if result.kind is Kind.CRON and not any(_which(name) for name in ("cron", "crond")):
        left.append("There is no cron on this machine yet: install one (cron, cronie)")
    if result.kind is Kind.SCHEDULE:
        left += _left_in_master(result, master)
    what = "nightly check" if names == timer.CHECK else "sync"
    for kind in Kind:
        if kind is not result.kind and any(map(_is_installed, _paths(kind, machine, names))):
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
    if result.files[0].state == REMOVED and not result.plan and _has_job(master, timer.SYNC):
        left.append(f"Another file has the job {timer.SYNC.job}, too (master.d/_schedule.conf?)")
    begun = masterprocess.started(master.pidfile)
    written = os.stat(path).st_mtime if os.path.exists(path) else None
    stale = result.changed or (begun is not None and written is not None and written >= begun)
    if begun is not None and stale:
        left.append(
            "Restart the salt-master, it reads its schedule at its start only:"
            " systemctl restart salt-master"
        )
    return left


def _has_job(master: MasterOptions, names: Names) -> bool:
    return names.job in master.opts["schedule"]


def _is_installed(path: str) -> bool:
    return timer.is_ours((files.read_or_none(path) or b"").decode("utf-8", "replace"))


def _which(program: str) -> str | None:
    return shutil.which(program, path=timer.PATH)
