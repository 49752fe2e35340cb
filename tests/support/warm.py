"""Command lines of saltbranch as processes of their own, without half a second of imports for each.

They are forks of a Python that has everything imported (warm_server.py), one for all workers of
the tests. For tests of what the program does: what it imports, or how it starts, is asked of a real one
(tests/cli/test_command_line.py, and every test that starts a process by itself). What a fork takes over is
what an import leaves behind, and the one hash seed of its parent.

So are the Pythons of our own that these start, and the tests themselves by what they call, `CHILDREN`: a small
process stands for each (warm_client.py), with its number, its descriptors and its exit code. Tests with the
marker `real_sandbox` have real ones.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from saltbranch.base import proc
from tests.support import warm_offers
from tests.support.warm_offers import read_at_start

CLIENT = str(Path(__file__).with_name("warm_client.py"))
"""The program that stands for a child."""
VARIABLE = "WARM_PYTHON"
"""Names the socket of the server, for processes that the tests start."""
CHILDREN = (
    "plain_side.main()", "render_tops.main()", "top_view_child.main()", "jobs_child.main()",
    "bus_event.main()", "lab_minions.main()", "drain_watch.main()", "send.main()", "deliver.main()",
    "auto_promote.main()", "from saltbranch.entry import main; main()",
)  # fmt: skip


class WarmServer:
    """The process that forks."""

    def __init__(self) -> None:
        self.path = warm_offers.path_of("python")
        self.start = warm_offers.start()

    def run(
        self, argv: Sequence[str], env: Mapping[str, str], timeout: float
    ) -> tuple[int, str, str]:
        """Run what `fits` in the current folder; exit code (negative: the signal), stdout, stderr.

        timeout: seconds, after which it is killed and subprocess.TimeoutExpired raised.
        """
        with (
            open(os.devnull, "rb") as nothing,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            code = self.ended(argv, env, timeout, [f.fileno() for f in (nothing, out, err)])
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode().replace("\r\n", "\n").replace("\r", "\n"))
        return code, texts[0], texts[1]

    def ended(
        self, argv: Sequence[str], env: Mapping[str, str], timeout: float, fds: list[int]
    ) -> int:
        """The same with the descriptors 0 to 2 of the caller; the exit code."""
        whole = {name: value for name, value in env.items() if name != VARIABLE}
        whole |= {VARIABLE: self.path} if is_used else {}
        order = {"argv": list(argv), "env": whole, "cwd": os.getcwd(), "umask": _umask()}
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line:
            line.connect(self.path)
            line.settimeout(timeout)
            socket.send_fds(line, [json.dumps(order).encode()], fds)
            pid = int(_heard(line))
            try:
                return int(_heard(line))
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                line.settimeout(None)
                _heard(line)
                raise subprocess.TimeoutExpired(list(argv), timeout) from None


def _heard(line: socket.socket) -> bytes:
    data = line.recv(1 << 10)
    assert data, "the process that forks has ended"
    return data


@functools.cache
def server() -> WarmServer:
    """The one of all tests."""
    return WarmServer()


def fits(argv: Sequence[str], env: Mapping[str, str]) -> bool:
    """Whether a fork would do: our own command line, and an environment that Python starts alike in."""
    return list(argv[:3]) == [sys.executable, "-m", "saltbranch"] and starts_alike(env)


def starts_alike(env: Mapping[str, str]) -> bool:
    """Whether Python would start in `env` as the server did."""
    return read_at_start(env) == server().start


def program(path: str, *words: str) -> str:
    """What a Python program prints that needs Salt as it is. AssertionError where it fails."""
    argv = [sys.executable, path, *words]
    if starts_alike(os.environ):
        code = f"import gc, runpy; gc.disable(); runpy.run_path({path!r}, run_name='__main__')"
        ended, out, err = server().run([argv[0], "-c", code, *words], os.environ, 300)
    else:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)
        ended, out, err = done.returncode, done.stdout, done.stderr
    assert ended == 0, err
    return out


is_used = False
"""Whether children are forks in this process."""


def use_for_children() -> None:
    """Let this process, and its forks, have `CHILDREN` forked that would each import Salt."""
    real = proc.python

    def python(code: str, *arguments: str) -> list[str]:
        argv = real(code, *arguments)
        path = server().path if is_used else os.environ.get(VARIABLE)
        if not path or not code.endswith(CHILDREN):
            return argv
        return [argv[0], "-I", "-S", CLIENT, path, *argv[1:]]

    proc.python = python


def _umask() -> int:
    """That of this process, which setting it to know it would change for other threads."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("\nUmask:")[2].split()[0], 8)
