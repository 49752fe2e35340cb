"""Where a branch's code may run: bubblewrap (its own file system, network and processes), else a user
without rights of its own; never with saltbranch's rights.

In the sandbox the compiled tree stands at /srv/salt and /srv/pillar, where people write it down, and
at the folders that the master serves. Nothing else of the machine is there but the programs.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import pwd
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from saltbranch.base import proc
from saltbranch.base.errors import SaltbranchError
from saltbranch.compiler.interpreter import Interpreter, own

Kind = Literal["bubblewrap", "user"]

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_HOME = "/opt/saltbranch"
_CACHE = "/var/cache/salt/minion"
_SHM = "/dev/shm"
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/tmp",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
}
# Users that systemd hands out for a while (systemd.exec(5), DynamicUser); nobody owns files by them.
_FIRST_UID, _UIDS = 61184, 4000
_PROCESSES = 64
_SPARE = 256  # MiB for files that Salt and a branch's code write while compiling
_counter = itertools.count()


class SandboxError(SaltbranchError):
    """There is no place where a branch's code could run safely."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """How compiling processes are confined. warning: what is missing, None when nothing is.

    are_forks_apart: several forks of a worker can be at work at a time, see `drop_rights.enter`.
    """

    kind: Kind
    warning: str | None = None
    are_forks_apart: bool = False


INSTALL = "install bubblewrap: apt-get install bubblewrap, or dnf install bubblewrap"


@dataclass(frozen=True, slots=True)
class Folders:
    """Where things are as the compiling process sees them."""

    states: str
    pillar: str
    tops: str
    cache: str


@functools.cache
def find() -> Sandbox:
    """The best sandbox that works here. Raises SandboxError when there is none."""
    why, are_apart = _trouble()
    if why is None:
        return Sandbox("bubblewrap", None, are_apart)
    if not is_root():
        raise SandboxError(
            f"cannot compile: {why}, and only root can run code of the branches as another user instead",
            hint=INSTALL,
        )
    warning = (
        f"{why}: code of the branches runs as a user without rights, but with network, and reads what"
        " every user of this machine may read"
    )
    problem, are_apart = _tried(Sandbox("user", warning))
    if problem:
        raise SandboxError(
            f"cannot compile: {why}, and another user cannot run {own().executable}: {problem}",
            hint=INSTALL,
        )
    return Sandbox("user", warning, are_apart)


def _trouble() -> tuple[str | None, bool]:
    """What is wrong with bubblewrap here, and where nothing is whether forks are apart in it."""
    if shutil.which("bwrap") is None:
        return "bubblewrap is missing", False
    problem, are_apart = _tried(Sandbox("bubblewrap"))
    return (f"bubblewrap does not work here ({problem})" if problem else None), are_apart


def is_root() -> bool:
    """Whether rights must be given up, and can be."""
    return os.geteuid() == 0


@functools.cache
def check_other(python: Interpreter) -> None:
    """Raise SandboxError when `python`, another than our own, does not work in a sandbox here."""
    if find().kind != "bubblewrap":
        raise SandboxError(
            f"cannot compile with {python.executable}: only bubblewrap keeps its Salt apart from ours",
            hint=INSTALL,
        )
    if problem := _tried(Sandbox("bubblewrap"), python)[0]:
        raise SandboxError(
            f"cannot compile: {python.executable} does not run in a sandbox here: {problem}",
            hint="every user must be able to read its folders",
        )


def _tried(sandbox: Sandbox, python: Interpreter | None = None) -> tuple[str | None, bool]:
    """Why nothing can be run in `sandbox`, in the last words of what was tried, and whether forks are apart.

    One process answers both: each start costs whoever compiles a tenth of a second and more.
    """
    code = "drop_rights.find(['salt', 'yaml', 'jinja2']); print(drop_rights.are_forks_apart())"
    done = proc.run(_argv(sandbox, code, [], new_identity(), python), _ENVIRONMENT, timeout=60)
    if done.code == 0:
        return None, done.text.strip() == "True"
    return (done.complaint.splitlines() or [f"exit {done.code}"])[-1][:200], False


def folders(sandbox: Sandbox, scratch: str, tree: str, dirs: Mapping[str, str]) -> Folders:
    """The folders of a run. scratch: of this worker; tree: the checked out files."""
    if sandbox.kind == "bubblewrap":
        return Folders("/srv/salt", "/srv/pillar", "/srv/.tops", _CACHE)
    return Folders(
        f"{tree}/{dirs['states']}",
        f"{tree}/{dirs['pillar']}",
        f"{os.path.dirname(tree)}/tops",
        f"{scratch}/cache",
    )


def writable(sandbox: Sandbox, where: Folders) -> list[str]:
    """The folders that a fork may write to."""
    return [where.cache, "/tmp", _SHM] if sandbox.kind == "bubblewrap" else [where.cache]


def below_writable(
    sandbox: Sandbox, mapped: Sequence[tuple[str, str]], python: Interpreter | None
) -> list[str]:
    """What is mounted inside of the folders that a fork may write to: a Python below /tmp, for one."""
    if sandbox.kind != "bubblewrap":
        return []
    mounted = [*(python or own()).folders, *(outside for outside, _ in mapped)]
    return sorted(path for path in mounted if path.startswith(("/tmp/", f"{_CACHE}/")))


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a worker runs as: a user of its own, and the group of this run."""

    uid: int
    gid: int


def command(
    sandbox: Sandbox,
    tree: str,
    dirs: Mapping[str, str],
    *,
    mapped: Sequence[tuple[str, str]],
    identity: Identity,
    python: Interpreter | None = None,
) -> list[str]:
    """The command that runs a worker; its job comes from the dispatcher.

    mapped: folders that the master serves, each with the folder inside the tree that stands for it.
    python: another one than our own.
    """
    binds = [
        (f"{tree}/{dirs['states']}", "/srv/salt"),
        (f"{tree}/{dirs['pillar']}", "/srv/pillar"),
        (f"{os.path.dirname(tree)}/tops", "/srv/.tops"),
        *((f"{tree}/{inside}", outside) for outside, inside in mapped),
    ]
    is_apart = sandbox.are_forks_apart
    code = f"from saltbranch.compiler.inside import worker; worker.main(is_apart={is_apart})"
    return _argv(sandbox, code, binds, identity, python, given=4)


def run(
    sandbox: Sandbox, argv: list[str], who: Identity, *, timeout: float, control: int
) -> proc.Finished:
    """Run a command of `command` to its end, at most `timeout` seconds; nothing of `who` goes on.

    control: the descriptor that it gets as `worker.CONTROL`.
    """
    environment = {**_ENVIRONMENT, "SALTBRANCH_ALONE": "1"}
    try:
        return proc.run(argv, environment, timeout=timeout, third=control)
    finally:
        if sandbox.kind == "user":
            _end_all(who)


def run_program(
    sandbox: Sandbox, code: str, binds: Sequence[tuple[str, str]], *, timeout: float, job: bytes
) -> proc.Finished:
    """Run `code` to its end, at most `timeout` seconds. binds: folders, each with where it is seen. job: its stdin."""
    argv = _argv(sandbox, code, binds, new_identity(), None)
    return proc.run(argv, _ENVIRONMENT, timeout=timeout, stdin=job)


def _end_all(who: Identity) -> None:
    """End every process of the user at once, as that user: none can fork away meanwhile (kill(2))."""
    code = f"import os; os.setresuid({who.uid}, {who.uid}, {who.uid}); os.kill(-1, 9)"
    proc.run([own().executable, "-I", "-S", "-c", code], _ENVIRONMENT, timeout=60)


def _argv(
    sandbox: Sandbox,
    code: str,
    binds: Sequence[tuple[str, str]],
    identity: Identity,
    python: Interpreter | None,
    *,
    given: int = 3,
) -> list[str]:
    """given: so many descriptors it has."""
    python = python or own()
    confined = sandbox.kind == "bubblewrap"
    home = _HOME if confined else os.path.dirname(_PACKAGE)
    who = f"{identity.uid}, {identity.gid}, {_PROCESSES}, {given}"
    boot = (
        "import sys; sys.path.insert(0, sys.argv.pop(1));"
        f" from saltbranch.compiler.inside import drop_rights; drop_rights.drop({who}); {code}"
    )
    # -I: nothing of the environment, nothing from the current folder.
    inner = [python.executable, "-I", "-B", "-c", boot, home]
    return [*_bubblewrap(binds, python), "--", *inner] if confined else inner


def new_identity() -> Identity:
    """A user id that is nobody's and that nothing runs as, another one for every worker."""
    gid = _FIRST_UID + os.getpid() % _UIDS
    taken = _running_users()
    for _ in range(_UIDS):
        uid = _FIRST_UID + (os.getpid() * 16 + next(_counter)) % _UIDS
        try:
            pwd.getpwuid(uid)
        except KeyError:
            if uid not in taken:
                return Identity(uid, gid)
    raise SandboxError(f"no user id is free from {_FIRST_UID} on")


def _running_users() -> set[int]:
    """The users that processes run as: another run of saltbranch may be under way."""
    found = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                found.add(os.stat(f"/proc/{name}").st_uid)
    return found


def _bubblewrap(binds: Sequence[tuple[str, str]], python: Interpreter) -> list[str]:
    program = shutil.which("bwrap") or "bwrap"
    argv = [
        # The worker is the first process in there: bubblewrap's own could be looked into by forks.
        program, *_namespaces(), "--as-pid-1", "--die-with-parent", "--new-session", "--hostname", "minion",
        "--dir", "/run",
        "--proc", "/proc", "--dev", "/dev",
        "--size", str(_SPARE << 20), "--perms", "1777", "--tmpfs", "/tmp",
        # For the semaphores of multiprocessing, which some modules make as they are imported.
        "--size", str(_SPARE << 20), "--perms", "1777", "--tmpfs", _SHM,
    ]  # fmt: skip
    mounts = [(path, path) for path in python.folders]
    mounts += [(_PACKAGE, f"{_HOME}/saltbranch"), *binds]
    for name in ("/etc/ld.so.cache", "/etc/localtime"):
        if os.path.exists(name):
            mounts.append((os.path.realpath(name), name))
    for parent in _parents([_CACHE, *(target for _, target in mounts)]):
        argv += ["--dir", parent]  # those that bubblewrap makes by itself only root can enter
    argv += ["--size", str(_SPARE << 20), "--perms", "1777", "--tmpfs", _CACHE]
    for name in ("lib", "lib64", "bin", "sbin"):
        if os.path.islink(f"/{name}"):
            argv += ["--symlink", os.readlink(f"/{name}"), f"/{name}"]
    for source, target in mounts:
        argv += ["--ro-bind", source, target]
    return [*argv, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp"]


def _namespaces() -> list[str]:
    """Root stays root inside until `drop_rights.drop`, for files that only root can reach are mounted, and
    because the limit on the number of processes does not hold for root under any name (setrlimit(2)).
    """
    if not is_root():
        return ["--unshare-all", "--uid", "65534", "--gid", "65534", "--cap-drop", "ALL"]
    return [
        "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try",
        "--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID",
    ]  # fmt: skip


def _parents(paths: Sequence[str]) -> list[str]:
    """Every folder above `paths`, outermost first."""
    found: set[str] = set()
    for path in paths:
        while (path := os.path.dirname(path)) != "/":
            found.add(path)
    return sorted(found)
