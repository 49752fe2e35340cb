"""The process in the sandbox: loads Salt once, then forks for every minion of its share.

A fork starts from a Salt that has compiled nothing yet, so nothing of one minion can reach another,
and what a branch's code does to the process ends with it. What forks may hand on is what is the same
for all: names of Salt's modules to load beforehand, and compiled templates in a folder.
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
from collections.abc import Mapping
from typing import Any

_MIB = 1 << 20
_answer = -1
_LARGEST = 64 * _MIB
"""Bytes of result that one minion may have."""


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
        for number, minion in enumerate(job["minions"]):
            result = _in_a_fork(shop, minion, job)
            if made := result.pop("made", None):
                shop.learn(made)
            _say(out, result)
            if not number % 8:
                gc.freeze()
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


def _in_a_fork(shop: Any, minion: Mapping[str, Any], job: Mapping[str, Any]) -> dict[str, Any]:
    read, write = os.pipe()
    before = time.process_time()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(read)
            os.close(_answer)
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
    os.close(write)
    found, timed_out = _read(read, time.monotonic() + job["seconds"])
    os.close(read)
    _end(pid)
    status = os.waitpid(pid, 0)[1]
    _sweep()
    if timed_out or found is None:
        why = f"no end after {job['seconds']:g} s" if timed_out else "its result is too large"
        return _failure(minion, f"compiling was stopped: {why}")
    try:
        result = json.loads(found)
        result["cpu"] = round(result.get("cpu", 0) + time.process_time() - before, 4)
    except (ValueError, TypeError, AttributeError):
        return _failure(minion, _why(status, job))
    if result.get("minion") != minion["id"]:
        return _failure(minion, "the result is another minion's")
    return dict(result)


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


def _read(fd: int, deadline: float) -> tuple[bytes | None, bool]:
    """Everything from the pipe; None when it is too much, True when the time is up."""
    chunks: list[bytes] = []
    size = 0
    while True:
        ready, _, _ = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return None, True
        data = os.read(fd, _MIB)
        if not data:
            return b"".join(chunks), False
        chunks.append(data)
        size += len(data)
        if size > _LARGEST:
            return None, False


def _end(pid: int) -> None:
    for kill in (os.killpg, os.kill):
        try:
            kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass


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
