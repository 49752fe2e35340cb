"""Command lines of saltbranch as processes of their own, without half a second of imports for each.

They are forks of a Python that has everything imported (warm_server.py), one for each worker of
the tests. For tests of what the program does: what it imports, or how it starts, is asked of a real one
(tests/cli/test_command_line.py, and every test that starts a process by itself). What a fork takes over is
what an import leaves behind, and the one hash seed of its parent.
"""

from __future__ import annotations

import fcntl
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from saltbranch.base import proc
from saltbranch.salt_master import top_view
from tests.support import warm_salt

_SERVER = Path(__file__).with_name("warm_server.py")
# What Python, libc or a module reads once, as it starts.
_READ_AT_START = ("PYTHON", "LC_", "LANG", "TZ", "HOME", "TYPER_", "LD_")


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
        self.start = _read_at_start(os.environ)

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
        order = {"argv": list(argv), "env": dict(env), "cwd": os.getcwd(), "umask": _umask()}
        self.control.settimeout(timeout)
        socket.send_fds(self.control, [json.dumps(order).encode()], fds)
        pid = int(self._heard())
        try:
            return int(self._heard())
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            self.control.settimeout(None)
            self._heard()
            raise subprocess.TimeoutExpired(list(argv), timeout) from None

    def _heard(self) -> bytes:
        data = self.control.recv(1 << 10)
        assert data, "the process that forks has ended"
        return data


@functools.cache
def server() -> WarmServer:
    """The one of this process; it ends when this one does."""
    return WarmServer()


def fits(argv: Sequence[str], env: Mapping[str, str]) -> bool:
    """Whether a fork would do: our own command line, and an environment that Python starts alike in.

    One thread only: the orders come one after another, and two that are to race would not.
    """
    ours = list(argv[:3]) == [sys.executable, "-m", "saltbranch"] or _is_top_view(argv)
    alone = threading.current_thread() is threading.main_thread()
    return ours and alone and _read_at_start(env) == server().start


def _is_top_view(argv: Sequence[str]) -> bool:
    return list(argv[:2]) == [sys.executable, "-c"] and "top_view_child" in argv[2]


def use_for_top_files(patch: pytest.MonkeyPatch) -> None:
    """Let this process have top files evaluated by forks, where each would import Salt (top_view.py)."""

    def run(argv: Sequence[str], env: Mapping[str, str], *, timeout: float) -> proc.Finished:
        if not fits(argv, env):
            return proc.run(argv, env, timeout=timeout)
        # Pipes, for it may write no files; large ones, for they are read when it has ended.
        (out, out_w), (err, err_w) = os.pipe(), os.pipe()
        with open(out, "rb") as answer, open(err, "rb") as complaint, open(os.devnull, "rb") as no:
            try:
                for fd in (out_w, err_w):
                    fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, 1 << 20)
                code = server().ended(argv, env, timeout, [no.fileno(), out_w, err_w])
            except subprocess.TimeoutExpired:
                return proc.Finished(argv, -signal.SIGKILL, b"", b"", timed_out=True)
            finally:
                os.close(out_w)
                os.close(err_w)
            return proc.Finished(argv, code, answer.read(), complaint.read(), timed_out=False)

    patch.setattr(top_view, "proc", SimpleNamespace(run=run, python=proc.python))


def _read_at_start(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(_READ_AT_START)}


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
