"""The process in the sandbox: loads Salt once, then forks for every minion that it is handed, some at a time.

A fork starts from a Salt that has compiled nothing yet, so nothing of one minion can reach another,
and what a branch's code does to the process ends with it. This process knows no minion: what a fork is to
compile it reads itself, and it answers to the `dispatcher` outside. So nothing of others can be found in it.
"""

from __future__ import annotations

import array
import contextlib
import gc
import json
import os
import resource
import select
import shutil
import signal
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from saltbranch.compiler.inside import drop_rights

_MIB = 1 << 20
_FORESEEING = 10  # seconds of CPU
CONTROL = 3
"""The descriptor of the socket to the dispatcher."""


def main(*, is_apart: bool) -> None:
    """Compile what comes through the socket `CONTROL`; how, comes first. Salt is loaded before that is known.

    is_apart: forks can have folders of their own here, see `sandbox.Sandbox`.
    """
    gc.disable()  # nothing of what is loaded is garbage, and to look for it takes a seventh of the time
    is_apart = is_apart and drop_rights.enter()
    drop_rights.conceal()
    control = socket.socket(fileno=CONTROL)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(2, 1)  # an error while loading is for the user
    have_a_name()
    from saltbranch.compiler.inside import one_minion

    data, fds = _received(control)
    if not data:
        return  # there is nothing to compile after all
    with os.fdopen(fds[0], "rb") as file:
        job = json.load(file)
    salt = one_minion.OneMinion(job)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)  # what a branch's code prints is for nobody
    _say(control, {"salt": salt.salt_version})
    _foresee(salt, job)
    gc.freeze()
    gc.enable()
    _Crew(salt, job, control, is_apart=is_apart).work()
    _say(control, _spent())


def _foresee(salt: Any, job: Mapping[str, Any]) -> None:
    """Have sls files compiled before minions want them; else the first that does so compiles it for itself, and
    it is done again for the others.

    A process of its own does it, for by now no minion has shown that they can be compiled within its limits. It runs
    nothing of the branch. If it dies there is nothing foreseen.
    """
    items = salt.likely()
    if not items:
        return
    from saltbranch.compiler.inside import templates

    known = len(templates.CODES)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            _limit({**job, "seconds": _FORESEEING})
            salt.learn("templates", items)
            with os.fdopen(write, "wb") as file:
                file.write(templates.dumped(known))
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        data = file.read()
    if os.waitpid(pid, 0)[1] == 0:
        templates.take(data)


def have_a_name() -> None:
    """Salt asks for the name of its user at import, and this one has none (salt/config/__init__.py)."""
    import pwd

    real = pwd.getpwuid

    def getpwuid(uid: int) -> pwd.struct_passwd:
        try:
            return real(uid)
        except KeyError:
            words = ("root", "x", str(uid), str(os.getgid()), "", "/tmp", "/bin/sh")
            return pwd.struct_passwd((*words[:2], uid, os.getgid(), *words[4:]))

    pwd.getpwuid = getpwuid


def _spent() -> dict[str, float]:
    """CPU seconds of this process and its forks, and the most memory that one of them had (MiB)."""
    own, forks = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    cpu = own.ru_utime + own.ru_stime + forks.ru_utime + forks.ru_stime
    return {"cpu": round(cpu, 2), "memory": max(own.ru_maxrss, forks.ru_maxrss) / 1024}


def _received(control: socket.socket) -> tuple[bytes, array.array[int]]:
    """What the dispatcher says next, and the descriptors that come with it; nothing when it says no more."""
    size = array.array("i").itemsize
    data, rights, _, _ = control.recvmsg(_MIB, socket.CMSG_SPACE(3 * size))
    fds = array.array("i")
    for _, _, raw in rights:
        fds.frombytes(raw[: len(raw) - len(raw) % size])
    return data, fds


def _say(control: socket.socket, data: Mapping[str, Any]) -> None:
    control.send(json.dumps(data).encode())


@dataclass(slots=True)
class _Fork:
    """A minion that is being compiled. watch: readable once it has ended; deadline: monotonic.

    has_company: another one was at work meanwhile; is_troubled: and something was wrong with that one.
    """

    number: int
    pid: int
    watch: int
    deadline: float
    has_company: bool = False
    is_troubled: bool = False


class _Crew:
    """The forks that are at work."""

    def __init__(
        self, salt: Any, job: Mapping[str, Any], control: socket.socket, *, is_apart: bool
    ) -> None:
        """is_apart: forks can have folders of their own; if not, there is one fork at a time."""
        self.salt, self.job, self.control = salt, job, control
        self.is_apart = is_apart
        self.limit = int(job["jobs"]) if is_apart else 1
        self.active: list[_Fork] = []
        self.is_dirty = False  # something is left that a fork started
        self.forked = 0
        self.is_over = False

    def work(self) -> None:
        """Until nothing more comes."""
        while self.active or not self.is_over:
            if self.is_dirty and not self.active:
                _sweep()
                self.is_dirty = False
            has_room = not self.is_over and not self.is_dirty and len(self.active) < self.limit
            limit = min((f.deadline for f in self.active), default=None)
            wait = None if limit is None else max(0.0, limit - time.monotonic())
            asked: list[Any] = [f.watch for f in self.active]
            asked += [self.control] if has_room else []
            ready, _, _ = select.select(asked, [], [], wait)
            for fork in [*self.active]:
                timed_out = fork.deadline <= time.monotonic()
                if fork.watch in ready or timed_out:
                    self._ended(fork, timed_out=timed_out and fork.watch not in ready)
            if self.control in ready:
                self._take()

    def _take(self) -> None:
        """What the dispatcher says next."""
        data, fds = _received(self.control)
        if not data:
            self.is_over = True
            return
        said = json.loads(data)
        if "learn" in said:
            self.salt.learn(said["learn"], said["items"])
            return
        try:
            self._fork(said["number"], fds)
        except OSError as err:  # too many processes: those of a fork at work, perhaps
            why = f"compiling cannot be started: {err.strerror}"
            self._report(said["number"], why, again=bool(self.active), late=False)
            self.is_dirty = True
        finally:
            for fd in fds:
                os.close(fd)

    def _fork(self, number: int, fds: array.array[int]) -> None:
        if not self.is_apart and not _is_emptied(self.salt.writable, self.job["kept"]):
            self._report(number, "its folders cannot be emptied", again=True, late=False)
            os._exit(1)  # the next worker has new ones
        if not self.forked % 8:
            gc.freeze()
        pid = os.fork()
        if pid == 0:
            self.control.close()  # so that no answer can be forged: nothing of a branch has run yet
            for other in self.active:
                os.close(other.watch)
            _compile(self.salt, self.job, *fds, is_apart=self.is_apart)
        self.forked += 1
        end = time.monotonic() + self.job["seconds"]
        self.active.append(_Fork(number, pid, os.pidfd_open(pid), end))
        for fork in self.active:
            fork.has_company = fork.has_company or len(self.active) > 1

    def _ended(self, fork: _Fork, *, timed_out: bool) -> None:
        self.active.remove(fork)
        os.close(fork.watch)
        _end(fork.pid)
        code = os.waitstatus_to_exitcode(os.waitpid(fork.pid, 0)[1])
        self.is_dirty = self.is_dirty or _has_strays({f.pid for f in self.active})
        if self.is_dirty or timed_out or code != 0:
            for other in self.active:
                other.is_troubled = True
        why = f"compiling was stopped: no end after {self.job['seconds']:g} s"
        again = fork.has_company or fork.is_troubled
        self._report(
            fork.number, why if timed_out else _why(code, self.job), again=again, late=timed_out
        )

    def _report(self, number: int, why: str, *, again: bool, late: bool) -> None:
        """why: what is wrong when there is no result. again: somebody else may be at fault."""
        _say(self.control, {"number": number, "why": why, "again": again, "late": late})


def _compile(
    salt: Any, job: Mapping[str, Any], minion: int, answer: int, trace: int, *, is_apart: bool
) -> NoReturn:
    """What a fork does: read its minion from the descriptor `minion`, answer, and end."""
    code = 1
    try:
        _limit(job)
        if is_apart:
            drop_rights.own_folders(salt.writable, job["kept"])
        else:
            drop_rights.renounce()
        with os.fdopen(minion, "rb") as file:
            own = json.load(file)
        line = socket.socket(fileno=answer)
        try:
            salt.compile(own["minion"], own["keys"], line, socket.socket(fileno=trace))
        except MemoryError:
            raise
        except Exception as err:  # its text may hold anything, a secret too
            line.sendall(f"b compiling ended with {_kind(err)}\n".encode())
        code = 0
    except MemoryError:
        code = 3
    finally:
        os._exit(code)


def _kind(err: Exception) -> str:
    """The name of its class, unless that may be the branch's own."""
    known = type(err).__module__.partition(".")[0] in ("builtins", "salt", "jinja2", "yaml")
    return type(err).__name__ if known else "an error"


def _why(code: int, job: Mapping[str, Any]) -> str:
    if code in (3, -signal.SIGSEGV, -signal.SIGABRT):
        return f"compiling was stopped: it needs more than {job['memory']} MiB of memory"
    if code == -signal.SIGXCPU:
        return f"compiling was stopped: more than {job['seconds']:g} s of CPU time"
    return f"compiling ended without a result ({'signal' if code < 0 else 'exit'} {abs(code)})"


def _limit(job: Mapping[str, Any]) -> None:
    memory, seconds = int(job["memory"]) * _MIB, int(job["seconds"]) + 1
    for what, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 32 * _MIB),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, int(job["processes"])),
    ):
        soft, hard = resource.getrlimit(what)
        limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(what, (limit, limit))
    drop_rights.end_with_parent()
    os.setsid()
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)


def _end(pid: int) -> None:
    for kill in (os.killpg, os.kill):
        try:
            kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass


def _is_emptied(folders: list[str], kept: list[str]) -> bool:
    """Remove whatever the last fork left where the next one writes, though it may have made that hard; all
    but the mounted folders `kept`.
    """
    try:
        for folder in folders:
            _make_passable(folder)
            for name in os.listdir(folder):
                path = f"{folder}/{name}"
                if any(f"{inner}/".startswith(f"{path}/") for inner in kept):
                    continue
                if os.path.isdir(path) and not os.path.islink(path):
                    shutil.rmtree(path)
                else:
                    os.unlink(path)
    except (OSError, RecursionError):
        return False
    return True


def _make_passable(folder: str) -> None:
    for inner, folders, _ in os.walk(folder):
        for path in (inner, *(f"{inner}/{name}" for name in folders)):
            if not os.path.islink(path):
                with contextlib.suppress(OSError):
                    os.chmod(path, 0o700)


def _has_strays(known: set[int]) -> bool:
    """Whether anything else runs here as this user: a fork left it, or is about to."""
    if os.environ.get("SALTBRANCH_ALONE") != "1":
        return False
    own = os.getuid()
    known |= {1, os.getpid(), os.getppid()}
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) not in known:
            try:
                if os.stat(f"/proc/{name}").st_uid == own:
                    return True
            except OSError:
                continue
    return False


def _sweep() -> None:
    """End whatever a fork left running: in here and with this user there is nobody else."""
    if os.environ.get("SALTBRANCH_ALONE") != "1":
        return
    for _ in range(20):
        try:
            os.kill(-1, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass
