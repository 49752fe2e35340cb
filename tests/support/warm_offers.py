"""The processes that fork for the tests: one of each for all workers, started with the first that asks for it.

The folder that `VARIABLE` names holds the socket of each: of `warm`, of `warm_daemons` and those of `warm_salt`.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from saltbranch.compiler import sandbox

VARIABLE = "WARM_SERVERS"
_HERE = Path(__file__).parent
_ROOM = {"ROOM_FOR_TITLES": "x" * 4000}
"""A process that changes its title has room for it where its environment was."""
SALT = ("worker", "plain_lows")
# What Python, libc or a module reads once, as it starts.
_READ_AT_START = ("PYTHON", "LC_", "LANG", "TZ", "HOME", "TYPER_", "LD_")


def path_of(name: str) -> str:
    """The socket of a server: `SALT`, ``python`` or ``daemons``."""
    return f"{os.environ[VARIABLE]}/{name}"


def are_salts_there() -> bool:
    """Whether there is one for each of `SALT`: only root goes into a sandbox."""
    return os.geteuid() == 0 and shutil.which("bwrap") is not None


def start() -> dict[str, str]:
    """What of their environment the servers have read as they started."""
    found: dict[str, str] = json.loads(Path(path_of("start")).read_text())
    return found


def read_at_start(env: Mapping[str, str]) -> dict[str, str]:
    """What of `env` a fork cannot change any more."""
    return {name: value for name, value in env.items() if name.startswith(_READ_AT_START)}


@contextlib.contextmanager
def made(env: Mapping[str, str]) -> Iterator[None]:
    """Offer all of them to this process and those that it starts. env: that of the tests."""
    with tempfile.TemporaryDirectory(prefix="warm-") as folder, contextlib.ExitStack() as stack:
        os.environ[VARIABLE] = folder
        stack.callback(os.environ.pop, VARIABLE)
        Path(path_of("start")).write_text(json.dumps(read_at_start(env)))
        python = [sys.executable, str(_HERE / "warm_server.py")]
        daemons = [
            sys.executable,
            str(_HERE / "warm_daemons_server.py"),
            json.dumps(start(), sort_keys=True),
        ]
        for offer in (Offer("python", python, env), Offer("daemons", daemons, {**env, **_ROOM})):
            stack.enter_context(offer)
        for module in SALT if are_salts_there() else ():
            argv = [
                sys.executable,
                "-I",
                "-B",
                str(_HERE / "warm_salt_server.py"),
                sandbox._HOME,
                module,
            ]
            stack.enter_context(Offer(module, [*_outside(), *argv], sandbox._ENVIRONMENT))
        yield


class Offer:
    """A socket, and the process that serves it: it is started with the first connection, with the numbers of the
    listening socket and of a pipe that ends with this process as its last words.
    """

    def __init__(self, name: str, argv: list[str], env: Mapping[str, str]) -> None:
        self.argv, self.env = argv, dict(env)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(path_of(name))
        self.listener.listen(64)
        self.life, self.own_end = os.pipe()
        self.process: subprocess.Popen[bytes] | None = None
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Offer:
        self.thread.start()
        return self

    def _serve(self) -> None:
        select.select([self.listener, self.life], [], [])
        if select.select([self.life], [], [], 0)[0]:
            return  # nobody came
        numbers = [self.listener.fileno(), self.life]
        self.process = subprocess.Popen(
            [*self.argv, *map(str, numbers)],
            stdin=subprocess.DEVNULL, pass_fds=numbers, env=self.env, umask=0o022,
        )  # fmt: skip
        self.process.wait()
        # Whoever waits for a process that ended before its time is told, instead of waiting for ever.
        self.listener.close()

    def __exit__(self, *_exc: object) -> None:
        os.close(self.own_end)
        self.thread.join(20)
        self.listener.close()
        os.close(self.life)


def _outside() -> list[str]:
    """The machine as it is, with the package where the sandbox has it, so that modules know their later places."""
    above = os.path.dirname(sandbox._HOME)
    argv = ["bwrap", "--cap-add", "ALL", "--dev-bind", "/", "/"]
    argv += ["--tmpfs", above]
    if os.path.isdir(above):
        for name in sorted(os.listdir(above)):
            argv += ["--bind", f"{above}/{name}", f"{above}/{name}"]
    return [*argv, "--ro-bind", sandbox._PACKAGE, f"{sandbox._HOME}/saltbranch", "--"]
