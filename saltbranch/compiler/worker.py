"""The process in the sandbox: loads Salt once, then forks for every minion of its share, some at a time.

A fork starts from a Salt that has compiled nothing yet, so nothing of one minion can reach another,
and what a branch's code does to the process ends with it. What forks may hand on is what is the same
for all: see `memory`.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import select
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

_MIB = 1 << 20
_answer = -1
_LARGEST = 64 * _MIB
"""Bytes of result that one minion may have."""
_LATE = 5
"""So many minions in a row that do not end in time: neither will the others, and a run has to end."""


def main() -> None:
    """Compile the minions of the job in the file that the first argument names, onto stdout."""
    global _answer
    answer = _answer = os.dup(1)
    os.dup2(2, 1)  # whatever else writes to stdout must not get into the answer
    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)
    # A result of an earlier fork may not be forged by a later one: only this process can write it.
    with os.fdopen(answer, "w", encoding="utf-8") as out:
        _have_a_name()
        from saltbranch.compiler import onefork

        shop = onefork.Shop(job)
        _say(out, {"salt": shop.salt_version})
        gc.collect()
        gc.freeze()
        crew = _Crew(shop, job)
        for result in crew.results():
            _say(out, result)
        _say(out, _spent())


def _have_a_name() -> None:
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


def _say(out: Any, data: Mapping[str, Any]) -> None:
    out.write(json.dumps(data))
    out.write("\n")
    out.flush()


@dataclass(slots=True)
class _Fork:
    """A minion that is being compiled. read: where its result comes from; deadline: monotonic.

    has_company: another one was at work meanwhile; is_troubled: and something was wrong with that one.
    """

    number: int
    minion: Mapping[str, Any]
    pid: int
    read: int
    deadline: float
    chunks: list[bytes] = field(default_factory=list)
    size: int = 0
    has_company: bool = False
    is_troubled: bool = False

    def take(self) -> bool:
        """Read what has come; False at the end, or when it is too much."""
        data = os.read(self.read, _MIB)
        self.chunks.append(data)
        self.size += len(data)
        return bool(data) and self.size <= _LARGEST


class _Crew:
    """The forks that are at work.

    One that ends without a result may be another one's victim: it is tried once more, by itself.
    """

    def __init__(self, shop: Any, job: Mapping[str, Any]) -> None:
        self.shop = shop
        self.job = job
        self.limit = int(job["jobs"])
        self.waiting = deque(enumerate(job["minions"]))
        self.again: deque[tuple[int, Mapping[str, Any]]] = deque()
        self.active: list[_Fork] = []
        self.is_dirty = False  # something is left that a fork started
        self.late = 0  # minions in a row whose time was up

    def results(self) -> Iterator[dict[str, Any]]:
        """The results in the order of the minions."""
        done: dict[int, dict[str, Any]] = {}
        told = 0
        while self.waiting or self.active or self.again:
            done.update(self._started())
            done.update(self._finished())
            while told in done:
                result = done.pop(told)
                if made := result.pop("made", None):
                    self.shop.learn(made)
                if not told % 8:
                    gc.freeze()
                yield result
                told += 1

    def _started(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Start as many as may work at a time; the results of those that are not started."""
        if self.is_dirty and not self.active:
            _sweep()
            self.is_dirty = False
        if not self.waiting and not self.active:
            self.waiting, self.again, self.limit = self.again, self.waiting, 1
        while self.waiting and not self.is_dirty and len(self.active) < self.limit:
            number, minion = self.waiting.popleft()
            if self.late >= _LATE:
                why = (
                    f"not tried: {_LATE} minions before it did not end in {self.job['seconds']:g} s"
                )
                yield number, _failure(minion, why)
                continue
            try:
                self.active.append(self._fork(number, minion))
            except OSError as err:  # too many processes: those of a fork at work, perhaps
                if not self.active:
                    yield number, _failure(minion, f"compiling cannot be started: {err.strerror}")
                    continue
                self.waiting.appendleft((number, minion))
                self.is_dirty = True
        for fork in self.active:
            fork.has_company = fork.has_company or len(self.active) > 1

    def _fork(self, number: int, minion: Mapping[str, Any]) -> _Fork:
        read, write = os.pipe()
        try:
            pid = os.fork()
        except OSError:
            os.close(read)
            os.close(write)
            raise
        if pid == 0:
            for fd in (read, _answer, *(other.read for other in self.active)):
                os.close(fd)
            _compile(self.shop, minion, self.job, write)
        os.close(write)
        return _Fork(number, minion, pid, read, time.monotonic() + self.job["seconds"])

    def _finished(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Wait until something comes or a time is up; the results of those that ended."""
        if not self.active:
            return
        limit = min(fork.deadline for fork in self.active) - time.monotonic()
        ready, _, _ = select.select([f.read for f in self.active], [], [], max(0.0, limit))
        for fork in [*self.active]:
            timed_out = fork.deadline <= time.monotonic()
            if (fork.read in ready and not fork.take()) or timed_out:
                result = self._result(fork, timed_out=timed_out)
                if result is not None:
                    yield fork.number, result

    def _result(self, fork: _Fork, *, timed_out: bool) -> dict[str, Any] | None:
        """What came of it; None when it is to be tried once more."""
        self.active.remove(fork)
        os.close(fork.read)
        _end(fork.pid)
        status = os.waitpid(fork.pid, 0)[1]
        self.is_dirty = self.is_dirty or _has_strays({f.pid for f in self.active})
        result = _parsed(fork)
        if result is not None and not self.is_dirty:
            self.late = 0
            return result
        for other in self.active:
            other.is_troubled = True
        if result is not None:
            return result
        if (fork.has_company and not timed_out) or fork.is_troubled:
            self.again.append((fork.number, fork.minion))
            return None
        self.late = self.late + 1 if timed_out else 0
        seconds = f"{self.job['seconds']:g} s"
        why = f"compiling was stopped: no end after {seconds}" if timed_out else ""
        return _failure(fork.minion, why or _why(status, self.job))


def _parsed(fork: _Fork) -> dict[str, Any] | None:
    """The result as it came; None without one."""
    if fork.size > _LARGEST:
        return _failure(fork.minion, "compiling was stopped: its result is too large")
    try:
        result = json.loads(b"".join(fork.chunks))
        name = result.get("minion")
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    if name != fork.minion["id"]:
        return _failure(fork.minion, "the result is another minion's")
    return dict(result)


def _compile(shop: Any, minion: Mapping[str, Any], job: Mapping[str, Any], write: int) -> NoReturn:
    """What a fork does: write the result to the pipe `write`, and end."""
    code = 1
    try:
        _hush()
        _limit(job)
        try:
            result = shop.compile(minion)
        except MemoryError:
            raise
        except Exception as err:  # its text may hold anything, a secret too
            result = _failure(minion, f"compiling ended with {type(err).__name__}")
        with os.fdopen(write, "wb") as pipe:
            pipe.write(json.dumps(result).encode())
        code = 0
    except MemoryError:
        code = 3
    finally:
        os._exit(code)


def _hush() -> None:
    """What a branch's code prints is for nobody."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def _why(status: int, job: Mapping[str, Any]) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code in (3, -signal.SIGSEGV, -signal.SIGABRT):
        return f"compiling was stopped: it needs more than {job['memory']} MiB of memory"
    if code == -signal.SIGXCPU:
        return f"compiling was stopped: more than {job['seconds']:g} s of CPU time"
    return f"compiling ended without a result ({'signal' if code < 0 else 'exit'} {abs(code)})"


def _failure(minion: Mapping[str, Any], error: str) -> dict[str, Any]:
    return {"minion": minion["id"], "broken": error}


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
    os.setsid()
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)


def _end(pid: int) -> None:
    for kill in (os.killpg, os.kill):
        try:
            kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass


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
