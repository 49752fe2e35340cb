"""Command lines of saltbranch as processes of their own, without half a second of imports for each.

They are forks of a Python that has everything imported (warm_server.py), one for each worker of
the tests. For tests of what the program does: what it imports, or how it starts, is asked of a real one.
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

from tests.support import warm_salt

_SERVER = Path(__file__).with_name("warm_server.py")


class WarmServer:
    """The process that forks."""

    def __init__(self) -> None:
        warm_salt.start()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            fd = theirs.fileno()
            argv = [sys.executable, str(_SERVER), str(fd)]
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, pass_fds=[fd])
        self.control = ours

    def run(
        self, argv: Sequence[str], env: Mapping[str, str], timeout: float
    ) -> tuple[int, str, str]:
        """Run ``python -m saltbranch ...`` in the current folder; exit code (negative: the signal), stdout, stderr.

        timeout: seconds, after which it is killed and subprocess.TimeoutExpired raised.
        """
        order = {"argv": list(argv), "env": dict(env), "cwd": os.getcwd()}
        with (
            open(os.devnull, "rb") as nothing,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            fds = [nothing.fileno(), out.fileno(), err.fileno()]
            self.control.settimeout(timeout)
            socket.send_fds(self.control, [json.dumps(order).encode()], fds)
            pid = int(self._heard())
            try:
                code = int(self._heard())
            except TimeoutError:
                os.kill(pid, signal.SIGKILL)
                self.control.settimeout(None)
                self._heard()
                raise subprocess.TimeoutExpired(list(argv), timeout) from None
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode().replace("\r\n", "\n").replace("\r", "\n"))
        return code, texts[0], texts[1]

    def _heard(self) -> bytes:
        data = self.control.recv(1 << 10)
        assert data, "the process that forks has ended"
        return data


@functools.cache
def server() -> WarmServer:
    """The one of this process; it ends when this one does."""
    return WarmServer()


def fits(argv: Sequence[str], env: Mapping[str, str]) -> bool:
    """Whether a fork would do: our own command line, and an environment that Python starts alike in."""
    names = {name for name in (*env, *os.environ) if name.startswith(("PYTHON", "LC_", "LANG"))}
    same = all(env.get(name) == os.environ.get(name) for name in names)
    return same and list(argv[:3]) == [sys.executable, "-m", "saltbranch"]
