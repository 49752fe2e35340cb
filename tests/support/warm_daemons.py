"""Salt's daemons and programs without the imports of each: forks of a Python that has Salt (warm_daemons_server.py).

A daemon is what it was: Salt's own entry point in a session of its own, with its words, its environment and its
configuration. Only what an import leaves behind, and the hash seed, are those of one process for all, and what
brisk_salt.py says. That Salt's programs start by themselves is proven by tests/demo: one that is interrupted, the
clusters whose starter is killed, the commands that a kept demo proposes, and at night its whole tour.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from saltbranch.base import proc
from saltbranch.demo import cluster, cluster_config, processes
from tests.support import warm, warm_offers, warm_salt

_START = processes.start_program
_CALL = cluster.call_program


class Forked:
    """What subprocess.Popen tells of a process, of one that the server has started."""

    def __init__(self, line: socket.socket, pid: int, argv: Sequence[str]) -> None:
        self.pid, self.args = pid, list(argv)
        self.returncode: int | None = None
        self._line = line

    def poll(self) -> int | None:
        """Its exit code (negative: the signal), or None while it runs."""
        return self._hear(0)

    def wait(self, timeout: float | None = None) -> int:
        """The same at its end. Raises subprocess.TimeoutExpired after `timeout` seconds."""
        code = self._hear(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def _hear(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            self._line.settimeout(timeout)
            try:
                said = self._line.recv(100)
            except (TimeoutError, BlockingIOError):
                return None
            self.returncode = int(said or -signal.SIGKILL)  # the server itself has ended
            self._line.close()
        return self.returncode


VARIABLE = "WARM_DAEMONS"
"""Names the socket of the server, for processes that the tests start and that call `use`."""


_QUICK = {"worker_threads": 1}
"""What is enough for a master of a few minions: each of its workers takes a second of CPU to start."""


def use() -> None:
    """Let the clusters of this process be forks from now on."""
    cluster_config._QUICK_MASTER = {**cluster_config._QUICK_MASTER, **_QUICK}  # type: ignore[misc]
    processes.start_program = cluster.start_program = start_program  # type: ignore[assignment]
    cluster.call_program = call_program


def variables() -> dict[str, str]:
    """The environment of a child that is to call `use_in_child`."""
    return {VARIABLE: warm_offers.path_of("daemons"), warm.VARIABLE: warm.server().path}


def use_in_child() -> None:
    """Let what this child of the tests starts be forks: command lines, compiles, clusters."""
    warm_salt.use()
    warm.use_for_children()
    use()


def start_program(
    program: str,
    words: Sequence[str],
    *,
    env: Mapping[str, str],
    folder: Path | None,
    out: BinaryIO,
) -> Any:
    """What `processes.start_program` does."""
    forked = _fork(program, words, env, folder, (out.fileno(), out.fileno()))
    return forked or _START(program, words, env=env, folder=folder, out=out)


def call_program(
    program: str, words: Sequence[str], *, env: Mapping[str, str], timeout: float
) -> proc.Finished:
    """What `cluster.call_program` does."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        forked = _fork(program, words, env, None, (out.fileno(), err.fileno()))
        if not forked:
            return _CALL(program, words, env=env, timeout=timeout)
        timed_out = False
        try:
            code = forked.wait(timeout)
        except subprocess.TimeoutExpired:
            timed_out = True
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                os.killpg(forked.pid, signal.SIGKILL)
            code = forked.wait()
        said = [os.pread(f.fileno(), os.fstat(f.fileno()).st_size, 0) for f in (out, err)]
    return proc.Finished([program, *words], code, *said, timed_out=timed_out)


def _fork(
    program: str,
    words: Sequence[str],
    env: Mapping[str, str],
    folder: Path | None,
    outs: tuple[int, int],
) -> Forked | None:
    """Salt's `program`, started; None where Python would not start alike with `env`."""
    if not is_used:
        return None
    order = {
        "program": program, "words": list(words), "env": dict(env), "folder": str(folder or Path.cwd()),
    }  # fmt: skip
    line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        line.connect(os.environ.get(VARIABLE) or warm_offers.path_of("daemons"))
        with open(os.devnull, "rb") as nothing:
            message = json.dumps([_start_of(env), order]).encode()
            socket.send_fds(line, [message], [nothing.fileno(), *outs])
        number = line.recv(100)
    except BaseException:
        # After a ^C its traceback would keep it open, and the server wait for what is to come.
        line.close()
        raise
    if not number:
        line.close()
        return None
    return Forked(line, int(number), [program, *words])


def _start_of(env: Mapping[str, str]) -> str:
    return json.dumps(warm_offers.read_at_start(env), sort_keys=True)


is_used = True
"""Whether clusters of this process are forks."""
