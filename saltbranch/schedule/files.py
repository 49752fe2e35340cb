"""The files of timers on this machine: compared, written, removed, and what runs by them asked to read them.

Only files that carry our header are ever replaced or removed.
"""

from __future__ import annotations

import os
import pwd
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypedDict

import yaml

from saltbranch.base import files, proc
from saltbranch.base.errors import RefusedError, SaltbranchError, SaltError, os_error
from saltbranch.config.keys import FileModel
from saltbranch.git.program import indent
from saltbranch.salt_master import option_files, process
from saltbranch.salt_master import options as master_options
from saltbranch.salt_master.options import MasterOptions
from saltbranch.schedule import reactor, texts
from saltbranch.schedule.texts import Job, Names

# There while systemd is the init of this machine (sd_booted(3)).
SYSTEMD_RUNS = "/run/systemd/system"
State = Literal["written", "unchanged", "removed", "absent"]
WRITTEN: Final = "written"
UNCHANGED: Final = "unchanged"
REMOVED: Final = "removed"
ABSENT: Final = "absent"


class TimerFileData(TypedDict):
    """A file of a timer as `--json` has it."""

    path: str
    state: State
    text: str


@dataclass(frozen=True, slots=True)
class TimerFile:
    """A file and what happened to it."""

    path: str
    state: State
    text: str = ""

    @property
    def changed(self) -> bool:
        """Whether it is another one now, or with `plan` would be."""
        return self.state in (WRITTEN, REMOVED)

    def as_dict(self) -> TimerFileData:
        """Plain data."""
        return {"path": self.path, "state": self.state, "text": self.text}


def written_folders(machine: FileModel, master: MasterOptions) -> tuple[str, ...]:
    """The folders that a sync writes to: root, master configuration, the master's file lists."""
    folders = (
        machine.root,
        os.path.dirname(machine.master_config),
        f"{master.cachedir}/file_lists",
    )
    return tuple(texts.check_path(os.path.normpath(folder)) for folder in folders)


def search_path() -> str:
    """The usual PATH, and the folder of git where that is another one."""
    git = shutil.which("git")
    folder = os.path.dirname(os.path.abspath(git)) if git else ""
    if not folder or folder in texts.PATH.split(":") or ":" in folder:
        return texts.PATH
    return f"{texts.check_path(folder)}:{texts.PATH}"


def refuse_unstartable(job: Job) -> None:
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


def refuse_lost_jobs(salt_config: str, master: MasterOptions) -> None:
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
            hint="move it into a separate file in master.d, where they are merged, or use cron",
        )


def refuse_unread(salt_config: str, path: str, names: Names) -> None:
    """Say so when Salt does not find the job that was written. Raises SaltError."""
    master = master_options.read(salt_config)
    if master.exists and names.job not in master.opts["schedule"]:
        raise SaltError(
            f"{path} is written, but Salt does not see its job",
            hint=f"does `default_include:` of {salt_config} reach that file, and has no file under"
            " `include:` another `schedule:`?",
        )


def refuse_lost_reactors(master: MasterOptions, salt_config: str, path: str, text: str) -> None:
    """Refuse to displace the `reactor:` of the master's main file, as `text` in the file `path` would.

    Salt does the same with it as with `schedule:`, see `refuse_lost_jobs`. Raises RefusedError.
    """
    if not master.exists:
        return
    before = option_files.effective(salt_config, option_files.MASTER_INCLUDE, path)
    after = option_files.effective(salt_config, option_files.MASTER_INCLUDE, path, text)
    if isinstance(before.get("reactor"), str):
        raise RefusedError(
            f"reactor: of {salt_config} names the file {before['reactor']}, and Salt would forget it for a list",
            hint=f"move what is in that file into a list below reactor: in a file of master.d, beside {path}",
        )
    kept = reactor.reactors(after)
    lost = [tag for tag, sls in reactor.reactors(before) if (tag, sls) not in kept]
    if lost:
        raise RefusedError(
            f"{salt_config} has a `reactor:` ({', '.join(lost)}), which Salt forgets as soon as a file in master.d"
            " has one, too",
            hint="move it into a separate file in master.d, where they are joined, and try again",
        )


def refuse_unread_reactor(salt_config: str, path: str, own: Mapping[str, list[str]]) -> None:
    """Say so when Salt does not find the reactor `own` that was written to `path`. Raises SaltError."""
    master = master_options.read(salt_config)
    if master.exists and own not in list(master.opts.get("reactor") or []):
        raise SaltError(
            f"{path} is written, but Salt does not see its reactor",
            hint=f"does `default_include:` of {salt_config} reach that file, and has no file under"
            " `include:` another `reactor:`?",
        )


def restart(master: MasterOptions, path: str, *, changed: bool, what: str) -> list[str]:
    """What is left to do where the master that runs has not read its file `path`: a sentence, or nothing.

    changed: the file was, or would be. what: the master has in it.
    """
    begun = process.started(master.pidfile)
    written = os.stat(path).st_mtime if os.path.exists(path) else None
    if begun is None or not (changed or (written is not None and written >= begun)):
        return []
    return [
        f"Restart the salt-master, it reads its {what} at its start only: systemctl restart salt-master"
    ]


def _refuse_foreign(path: str) -> bytes | None:
    """What the file `path` of ours holds, None when there is none. Raises RefusedError."""
    try:
        data = files.read_or_none(path)
    except OSError as err:
        raise os_error(err) from err
    ours = data is not None and texts.is_ours(data.decode("utf-8", "replace"))
    if os.path.islink(path) or (data is not None and not ours):
        raise RefusedError(
            f"{path} was not written by saltbranch and is left alone",
            hint="look at it; when it may go, remove it and try again",
        )
    return data


def compare(path: str, text: str) -> TimerFile:
    """What writing `text` to `path` would do. Raises RefusedError for a file of others."""
    same = _refuse_foreign(path) == text.encode()
    return TimerFile(path, UNCHANGED if same else WRITTEN, text)


def removal(path: str) -> TimerFile:
    """What removing `path` would do. Raises RefusedError for a file of others."""
    data = _refuse_foreign(path)
    return TimerFile(path, ABSENT if data is None else REMOVED)


def write(wanted: Sequence[TimerFile]) -> None:
    """Write the files, readable for all. Raises SaltbranchError."""
    try:
        for file in wanted:
            os.makedirs(os.path.dirname(file.path), exist_ok=True)
            files.write_atomic(file.path, file.text, mode=0o644)
    except OSError as err:
        raise _needs_root(err) from err


def remove(ours: Sequence[TimerFile]) -> None:
    """Remove the files that are there. Raises SaltbranchError."""
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


def is_systemd() -> bool:
    """Whether systemd runs this machine."""
    return os.path.isdir(SYSTEMD_RUNS)


def start_commands(wanted: Sequence[TimerFile], names: Names) -> list[list[str]]:
    """What is needed so that the running systemd works by these files."""
    name = f"{names.unit}.timer"
    if not is_systemd():
        return []
    if any(file.changed for file in wanted):
        enable = ["systemctl", "enable", name]
        return [["systemctl", "daemon-reload"], enable, ["systemctl", "restart", name]]
    questions = ("is-enabled", "is-active")
    asked = [proc.run(["systemctl", q, "--quiet", name], os.environ) for q in questions]
    return [["systemctl", "enable", "--now", name]] if any(a.code for a in asked) else []


def run_all(commands: Sequence[Sequence[str]]) -> None:
    """Run one after the other. Raises SaltbranchError at the first that fails."""
    for argv in commands:
        done = proc.run(argv, os.environ, timeout=120)
        if done.code != 0:
            raise SaltbranchError(
                f"{' '.join(argv)} failed:\n{indent(done.complaint)}",
                hint="the files are as they should be; try that command by hand",
            )


def has_job(master: MasterOptions, names: Names) -> bool:
    """Whether the master's own schedule has the job."""
    return names.job in master.opts["schedule"]


def is_installed(path: str) -> bool:
    """Whether a file of ours is there."""
    return texts.is_ours((files.read_or_none(path) or b"").decode("utf-8", "replace"))


def which(program: str) -> str | None:
    """Where the program is in the PATH that timers run with."""
    return shutil.which(program, path=texts.PATH)
