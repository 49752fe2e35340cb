"""A Python that has imported Salt, and forks for each of Salt's programs; see warm_daemons.py.

Each connection brings one order: JSON of what Python reads as it starts, and of `program`, `words`, `env` and
`folder`, with the descriptors 0 to 2 of the new process. The answers are its number and, later, its exit code. Nothing
of Salt has run in here: a fork differs from a new Python by what is imported.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

# What the daemons import by and by until they serve, and what their modules import.
MODULES = (
    "salt.scripts", "salt.cli.daemons", "salt.master", "salt.minion", "salt.cli.run", "salt.cli.key",
    "salt.cli.salt", "setproctitle",
    "cryptography.hazmat.backends.openssl.backend", "encodings.ascii", "filecmp", "importlib.readers", "msgspec",
    "multiprocessing.popen_fork", "multiprocessing.sharedctypes", "salt.cloud", "salt.config.worker_pools",
    "salt.fileserver.gitfs", "salt.grains.extra", "salt.loader.dunder", "salt.modules.cmdmod",
    "salt.modules.file", "salt.modules.network", "salt.modules.smbios", "salt.netapi", "salt.runners.state",
    "salt.runners.winrepo", "salt.transport.zeromq", "salt.utils.cloud", "salt.utils.compat",
    "salt.utils.decorators.path", "salt.utils.dns", "salt.utils.filebuffer", "salt.utils.find",
    "salt.utils.functools", "salt.utils.locales", "salt.utils.package", "salt.utils.pkg.rpm",
    "salt.utils.powershell", "salt.utils.reactor", "salt.utils.reclass", "salt.utils.saltclass",
    "salt.utils.smb", "salt.utils.tarfileutil", "salt.utils.timed_subprocess", "salt.utils.validate.net",
    "salt.utils.win_chcp", "salt.utils.win_system", "salt.utils.win_update", "salt.utils.winapi",
    "salt.utils.yamlloader_old", "smtplib", "tornado.platform.asyncio", "tornado.queues", "xmlrpc.client",
    "zmq.asyncio", "zmq.eventloop.zmqstream", "zmq.utils.monitor",
)  # fmt: skip


def become(program: str, words: list[str], env: dict[str, str], folder: str) -> Any:
    """Be Salt's `program`, as its console script is."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    tempfile.tempdir = None
    sys.argv = [program, *words]
    sys.path[0] = ""  # as with -c
    title(f"{sys.executable} {program} {' '.join(words)}")
    import salt.scripts

    name = "salt_main" if program == "salt" else program.replace("-", "_")
    return getattr(salt.scripts, name)()


def title(text: str) -> None:
    """Let the process be called so: Salt appends to it."""
    with contextlib.suppress(ImportError):
        import setproctitle

        setproctitle.setproctitle(text)


class Server:
    """The forks that run, by what tells of their end, and whom it is told."""

    def __init__(self, listener: socket.socket, life: int, start: str) -> None:
        self.listener, self.start = listener, start
        self.life = life
        self.poll = select.poll()
        self.poll.register(listener, select.POLLIN)
        self.poll.register(life, select.POLLHUP)
        self.running: dict[int, tuple[int, socket.socket]] = {}

    def serve(self) -> None:
        """Until nobody holds the other end of the pipe any more."""
        while True:
            for fd, _ in self.poll.poll():
                if fd == self.life:
                    return
                if fd in self.running:
                    self._ended(fd)
                else:
                    self._begin()

    def _begin(self) -> None:
        line, _ = self.listener.accept()
        data, fds = b"", []
        with contextlib.suppress(OSError):
            data, fds, _, _ = socket.recv_fds(line, 1 << 20, 3)
        # Nothing came from somebody who was killed on the way.
        start, order = json.loads(data or "[null, null]")
        if start != self.start:
            for fd in fds:
                os.close(fd)
            line.close()  # a Python of its own is started
            return
        pid = self._fork(order, fds)
        for fd in fds:
            os.close(fd)
        watch = os.pidfd_open(pid)
        self.running[watch] = (pid, line)
        self.poll.register(watch, select.POLLIN)
        try:
            line.send(b"%d" % pid)
        except OSError:  # nobody knows of it, so nobody would end it
            os.kill(pid, signal.SIGKILL)

    def _fork(self, order: dict[str, Any], fds: list[int]) -> int:
        """Its number, when it leads a session: before that it has no group to which signals could be sent."""
        from tests.support.in_fork import end_with

        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.setsid()
            # Numbers that are none of 0 to 2, which they get now; others are for nobody.
            fds = [os.dup2(fd, 512 + number, inheritable=False) for number, fd in enumerate(fds)]
            for number, fd in enumerate(fds):
                os.dup2(fd, number)
            os.closerange(3, 1024)
            end_with(lambda: become(**order))
        os.close(writer)
        os.read(reader, 1)
        os.close(reader)
        return pid

    def _ended(self, watch: int) -> None:
        self.poll.unregister(watch)
        os.close(watch)
        pid, line = self.running.pop(watch)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with line, contextlib.suppress(OSError):
            line.send(b"%d" % code)


def main() -> None:
    """Serve."""
    start, number, life = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    listener = socket.socket(fileno=number)
    sys.path[0] = str(
        Path(__file__).parents[2]
    )  # not this folder: its names are no modules of their own
    for name in MODULES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    from tests.support import brisk_salt

    brisk_salt.use()
    brisk_salt.look_ahead()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    title(" ".join(sys.argv))  # where it stands is found before an environment is changed
    gc.collect()
    gc.freeze()
    Server(listener, life, start).serve()


if __name__ == "__main__":
    main()
