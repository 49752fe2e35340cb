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
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence

from saltbranch.base import proc
from saltbranch.compiler import sandbox
from saltbranch.compiler.sandbox import Identity, Sandbox
from tests.support import warm_offers

VARIABLES = {"worker": "WARM_SALT", "plain_lows": "WARM_PLAIN_SALT"}
"""The module that is forked, to what names the socket for processes that the tests start. Each has a process of
its own that forks: the one replaces parts of Salt, the other must have Salt as it is.
"""
_REAL = sandbox.run
_REAL_PROGRAM = sandbox.run_program


@contextlib.contextmanager
def offered() -> Iterator[None]:
    """Name the sockets in the environment."""
    there = VARIABLES if warm_offers.are_salts_there() else {}
    os.environ.update({variable: warm_offers.path_of(module) for module, variable in there.items()})
    try:
        yield
    finally:
        for variable in there.values():
            del os.environ[variable]


is_used = True
"""Whether `run` uses it, where there is one."""


def use() -> None:
    """Let this process compile with it from now on."""
    sandbox.run = run
    sandbox.run_program = run_program


@contextlib.contextmanager
def used(is_so: bool = True) -> Iterator[None]:
    """Compile with it in a test with the marker `real_sandbox`, too: what an attack in a real one left behind is
    looked for by what is compiled afterwards, and a cold start of Salt for that proves no more.

    is_so: False does nothing.
    """
    global is_used
    before, is_used = is_used, is_used or is_so
    try:
        yield
    finally:
        is_used = before


def run(
    where: Sandbox, argv: list[str], who: Identity, *, timeout: float, control: int
) -> proc.Finished:
    """What `sandbox.run` does."""
    cut = argv.index("--") if "--" in argv else 0
    if not _is_for(where, "worker") or argv[cut + 1] != sys.executable:
        return _REAL(where, argv, who, timeout=timeout, control=control)
    env = {**sandbox._ENVIRONMENT, "SALTBRANCH_ALONE": "1"}
    done = _forked("worker", argv, env, timeout, b"", control)
    # None: it cannot go in there, and has done nothing.
    return done or _REAL(where, argv, who, timeout=timeout, control=control)


def run_program(
    where: Sandbox, code: str, binds: Sequence[tuple[str, str]], *, timeout: float, job: bytes
) -> proc.Finished:
    """What `sandbox.run_program` does."""
    done = None
    if _is_for(where, "plain_lows") and code.endswith("plain_lows.main()"):
        argv = sandbox._argv(where, code, binds, sandbox.new_identity(), None)
        with open(os.devnull, "rb") as nothing:
            env = sandbox._ENVIRONMENT
            done = _forked("plain_lows", argv, env, timeout, job, nothing.fileno())
    return done or _REAL_PROGRAM(where, code, binds, timeout=timeout, job=job)


def _is_for(where: Sandbox, module: str) -> bool:
    return bool(os.environ.get(VARIABLES[module])) and is_used and where.kind == "bubblewrap"


def _forked(
    module: str, argv: list[str], env: Mapping[str, str], timeout: float, job: bytes, control: int
) -> proc.Finished | None:
    """The end of a fork in the sandbox that `argv` makes; None where it could not go in."""
    boot, home = argv[-2:]
    with _sandbox(argv[: argv.index("--")]) as pid, contextlib.ExitStack() as stack:
        fds = [os.memfd_create(name) for name in ("job", "out", "err")]
        fds += [os.dup(control), os.pidfd_open(pid)]
        for fd in fds:
            stack.callback(os.close, fd)
        os.write(fds[0], job)
        os.lseek(fds[0], 0, os.SEEK_SET)
        line = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        line.connect(os.environ[VARIABLES[module]])
        order = {"boot": boot, "home": home, "env": dict(env), "pid": pid}
        socket.send_fds(line, [json.dumps(order).encode()], fds)
        timed_out = not select.select([line], [], [], timeout)[0]
        if timed_out:
            os.kill(pid, signal.SIGKILL)  # and with the first process all others in there
        answer = line.recv(1 << 10)
        if not answer:
            return None
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
