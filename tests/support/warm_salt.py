"""The compiler's sandbox with a Salt in it that is imported already: half of what a small compile costs.

The sandbox is bubblewrap's, made by the product's own command line. Instead of a new Python, a fork of one
that has imported the worker (warm_salt_server.py) goes into it by setns(2), and does the rest: it
gives up its rights, reads its job and works. What can be seen or done from in there is asked of the real
thing: by tests with the marker `real_sandbox`, and by every process that does not call `use`.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from saltbranch.base import proc
from saltbranch.compiler import sandbox
from saltbranch.compiler.sandbox import Identity, Sandbox

VARIABLE = "WARM_SALT"
"""Names the socket, for processes that the tests start."""
_SERVER = Path(__file__).with_name("warm_salt_server.py")
_REAL = sandbox.run


@contextlib.contextmanager
def offered() -> Iterator[None]:
    """Name the socket in the environment. What serves it is started with the first that asks, see `start`."""
    if os.geteuid() != 0 or not shutil.which("bwrap"):
        yield
        return
    with tempfile.TemporaryDirectory(prefix="warm-") as folder, socket.socket(
        socket.AF_UNIX, socket.SOCK_SEQPACKET
    ) as listener:  # fmt: skip
        listener.bind(f"{folder}/socket")
        listener.listen(64)
        os.environ[VARIABLE] = f"{folder}/socket"
        _offers.append(_Offer(listener))
        try:
            yield
        finally:
            del os.environ[VARIABLE]
            _offers.pop().close()


class _Offer:
    """A process that is started when it is needed. It ends when the pipe does: with this process at the latest."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self.lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None
        self.life, self.own_end = os.pipe()

    def start(self) -> None:
        with self.lock:
            if self.process:
                return
            numbers = [self.listener.fileno(), self.life]
            argv = [*_outside(), sys.executable, "-I", "-B", str(_SERVER), sandbox._HOME]
            self.process = subprocess.Popen(
                [*argv, *map(str, numbers)],
                stdin=subprocess.DEVNULL, pass_fds=numbers, env=sandbox._ENVIRONMENT,
            )  # fmt: skip
            threading.Thread(
                target=self._refuse_afterwards, args=[self.process], daemon=True
            ).start()

    def _refuse_afterwards(self, process: subprocess.Popen[bytes]) -> None:
        """Whoever waits for a process that ended before its time is told, instead of waiting for ever."""
        process.wait()
        self.listener.close()

    def close(self) -> None:
        os.close(self.own_end)
        os.close(self.life)
        if self.process:
            self.process.wait()


_offers: list[_Offer] = []
is_used = True
"""Whether `run` uses it, where there is one."""


def start() -> None:
    """Have it started by now, for processes that only find its socket."""
    for offer in _offers:
        offer.start()


def _outside() -> list[str]:
    """The machine as it is, with the package where the sandbox has it, so that modules know their later places."""
    above = os.path.dirname(sandbox._HOME)
    argv = ["bwrap", "--cap-add", "ALL", "--dev-bind", "/", "/"]
    argv += ["--tmpfs", above]
    if os.path.isdir(above):
        for name in sorted(os.listdir(above)):
            argv += ["--bind", f"{above}/{name}", f"{above}/{name}"]
    return [*argv, "--ro-bind", sandbox._PACKAGE, f"{sandbox._HOME}/saltbranch", "--"]


def use() -> None:
    """Let this process compile with it from now on."""
    sandbox.run = run


def run(
    where: Sandbox, argv: list[str], who: Identity, *, timeout: float, job: bytes, control: int
) -> proc.Finished:
    """What `sandbox.run` does."""
    path = os.environ.get(VARIABLE)
    cut = argv.index("--") if "--" in argv else 0
    if not path or not is_used or where.kind != "bubblewrap" or argv[cut + 1] != sys.executable:
        return _REAL(where, argv, who, timeout=timeout, job=job, control=control)
    start()
    boot, home = argv[-2:]
    env = {**sandbox._ENVIRONMENT, "SALTBRANCH_ALONE": "1"}
    with _sandbox(argv[:cut]) as pid, contextlib.ExitStack() as stack:
        fds = [os.memfd_create(name) for name in ("job", "out", "err")]
        fds += [os.dup(control), os.pidfd_open(pid)]
        for fd in fds:
            stack.callback(os.close, fd)
        os.write(fds[0], job)
        os.lseek(fds[0], 0, os.SEEK_SET)
        line = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        line.connect(path)
        order = {"boot": boot, "home": home, "env": env, "pid": pid}
        socket.send_fds(line, [json.dumps(order).encode()], fds)
        timed_out = not select.select([line], [], [], timeout)[0]
        if timed_out:
            os.kill(pid, signal.SIGKILL)  # and with the first process all others in there
        answer = line.recv(1 << 10)
        if not answer:  # it cannot go in there, and has done nothing
            return _REAL(where, argv, who, timeout=timeout, job=job, control=control)
        said = [os.pread(fd, os.fstat(fd).st_size, 0) for fd in fds[1:3]]
    return proc.Finished(argv, int(answer), *said, timed_out=timed_out)


@contextlib.contextmanager
def _sandbox(argv: list[str]) -> Iterator[int]:
    """A sandbox in which nothing runs but a shell that waits; the number of that."""
    reader, writer = os.pipe()
    try:
        process = subprocess.Popen(
            [*argv, "--info-fd", str(writer), "--", "/bin/sh", "-c", "echo; read _"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[writer], env=sandbox._ENVIRONMENT,
        )  # fmt: skip
    finally:
        os.close(writer)
    assert process.stdout
    try:
        process.stdout.readline()
        told = json.loads(os.read(reader, 1 << 16))
        yield int(told["child-pid"])
    finally:
        os.close(reader)
        process.kill()  # --die-with-parent
        process.wait()
        process.stdout.close()
        assert process.stdin
        process.stdin.close()
