"""The processes of the demo's cluster: what starts one of Salt's programs, and how groups of them are ended."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from saltbranch.base import proc

STOP_SECONDS: Final = 2
OUTPUT: Final = "daemon.out"
"""The file, in a daemon's folder, that it writes to."""

# Salt's console scripts without their files, which need not be beside this Python.
_SCRIPT: Final = """\
import sys
from salt.scripts import {name} as script
sys.argv[0] = {title!r}
sys.exit(script())
"""

# Told on stdin which process groups there are; stdin ends when the starter has gone.
GUARD: Final = """\
import os, signal, sys, time
groups = set()
for line in sys.stdin:
    (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
for last in (signal.SIGTERM, signal.SIGKILL) if groups else ():
    for group in groups:
        try:
            os.killpg(group, last)
        except OSError:
            pass
    time.sleep({seconds})
"""


def script(program: str) -> str:
    """The Python program that is Salt's `program`, such as ``salt-run``."""
    name = "salt_main" if program == "salt" else program.replace("-", "_")
    return _SCRIPT.format(name=name, title=program)


def start_program(
    program: str,
    words: Sequence[str],
    *,
    env: Mapping[str, str],
    folder: Path | None,
    out: BinaryIO,
) -> subprocess.Popen[bytes]:
    """Start Salt's `program` in `folder` as the leader of a session of its own, with both outputs to `out`."""
    return subprocess.Popen(
        [sys.executable, "-c", script(program), *words],
        env=env,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=out,
        start_new_session=True,
    )


def call_program(
    program: str, words: Sequence[str], *, env: Mapping[str, str], timeout: float
) -> proc.Finished:
    """Run Salt's `program` to its end, or until `timeout` seconds are over."""
    return proc.run([sys.executable, "-c", script(program), *words], env, timeout=timeout)


def free_ports() -> tuple[int, int]:
    """Two ports that nobody listens on now; both are held until both are known."""
    with socket.socket() as first, socket.socket() as second:
        for probe in (first, second):
            probe.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


def stop(
    daemons: Sequence[subprocess.Popen[bytes]], hasty: Sequence[subprocess.Popen[bytes]] = ()
) -> None:
    """TERM to every process group at once, KILL to what is left of them after STOP_SECONDS.

    hasty: more daemons, whose end nobody waits for: they get KILL when the others have ended.
    """
    for daemon in (*daemons, *hasty):
        _signal_group(daemon.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline and any(_alive(daemon) for daemon in daemons):
        time.sleep(0.05)
    for daemon in (*daemons, *hasty):
        _signal_group(daemon.pid, signal.SIGKILL)
        daemon.wait()


def _alive(daemon: subprocess.Popen[bytes]) -> bool:
    """Whether any process of the daemon's group is there; a dead leader is reaped on the way."""
    daemon.poll()
    return _signal_group(daemon.pid, 0)


def _signal_group(group: int, signum: int) -> bool:
    try:
        os.killpg(group, signum)
    except ProcessLookupError:
        return False
    return True


def kill_leftovers(root: Path) -> None:
    """End jobs that left their daemon's process group (``salt.utils.process.daemonize``)."""
    for process in processes_of(root):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def processes_of(root: Path) -> list[int]:
    """The ids of all processes whose output goes where a daemon of the cluster in `root` writes.

    Empty where there is no /proc. Their environment would say more, but Salt overwrites it with
    the title of the process.
    """
    return [
        int(folder.name)
        for folder in Path("/proc").glob("[0-9]*")
        if any(_is_output(folder / "fd" / number, root) for number in "12")
    ]


def _is_output(descriptor: Path, root: Path) -> bool:
    try:
        path = descriptor.readlink()
    except OSError:  # gone, or somebody else's
        return False
    return path.name == OUTPUT and root in path.parents
