"""A Python that has imported saltbranch and Salt already, and forks for every command line; see warm.py.

Each connection brings one order: JSON of `argv`, `env`, `cwd` and `umask`, with the descriptors 0 to 2 of the new
process beside it, or what `warm_client` has for a child of such a process. The answers are its number, but not to the
latter, and its exit code. It ends when the connection does.
Nothing of saltbranch has run in here but the question which sandbox works on this machine: a fork differs from a
new Python in that, in what is imported, and in nothing else.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[2] / "saltbranch"
# What needs a master's `__opts__`, or replaces parts of Salt where it is imported.
LEFT_OUT = (
    "saltbranch.__main__",
    "saltbranch.ext",
    "saltbranch.compiler",
    "saltbranch.salt_master.top_view_child",
)
# What verbs import of Salt as they ask for a master's options, its minions or its language.
SALT = (
    "salt.cache", "salt.client", "salt.config", "salt.loader", "salt.serializers.msgpack", "salt.template",
    "salt.utils.event", "salt.utils.jinja", "salt.utils.process", "salt.utils.verify", "salt.version",
    "salt.utils.xdg", "git", "distro",
    # What its file server, its pillar and its loader are asked with.
    "salt.fileserver", "salt.fileserver.roots", "salt.loader.lazy", "salt.minion", "salt.payload", "salt.pillar",
    "salt.roster", "salt.runner", "salt.state", "salt.utils.minions", "salt.wheel",
)  # fmt: skip


def warm_up() -> None:
    """Import what the verbs would."""
    for name in SALT:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    brisk_salt: Any = importlib.import_module("tests.support.brisk_salt")
    brisk_salt.use()
    brisk_salt.look_ahead()
    for module in pkgutil.walk_packages([str(PACKAGE)], "saltbranch."):
        if not module.name.startswith(LEFT_OUT):
            importlib.import_module(module.name)
    importlib.import_module("saltbranch.cli.app").build()
    importlib.import_module("tests.support.warm_salt").use()
    importlib.import_module("tests.support.warm").use_for_children()
    from saltbranch.base.errors import SaltbranchError
    from saltbranch.compiler import sandbox

    with contextlib.suppress(SaltbranchError):
        sandbox.find()


def become(argv: list[str], env: dict[str, str], cwd: str, umask: int, fds: list[int]) -> None:
    """Be the process ``python -m saltbranch ...``, or ``python -c CODE ...``, that `argv` asks for."""
    # Numbers that are none of 0 to 3, which they get now; others are for nobody.
    fds = [os.dup2(fd, 512 + number, inheritable=False) for number, fd in enumerate(fds)]
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
    os.closerange(len(fds), 1024)
    os.chdir(cwd)
    os.umask(umask)
    if env.get("PATH") != os.environ.get("PATH"):
        from saltbranch.compiler import sandbox

        sandbox.find.cache_clear()
    os.environ.clear()
    os.environ.update(env)
    tempfile.tempdir = None
    if argv[1] == "-c":
        sys.argv = ["-c", *argv[3:]]
        exec(argv[2], {"__name__": "__main__"})
    else:
        sys.argv = [str(PACKAGE / "__main__.py"), *argv[3:]]
        sys.path[0] = cwd
        from saltbranch import entry

        entry.main()


class Server:
    """Forks that are at work, each with where its exit code goes and, for a client's, who must be alive for it."""

    def __init__(self, listener: socket.socket, life: int) -> None:
        self.listener, self.life = listener, life
        self.poll = select.poll()
        self.poll.register(listener, select.POLLIN)
        self.poll.register(life, select.POLLHUP)
        self.answers: dict[int, tuple[int, socket.socket]] = {}
        """The descriptor of a fork to its number, and whom its end is told."""
        self.lives: dict[int, int] = {}
        """What hangs up when somebody has ended, to the fork that ends with them."""

    def serve(self) -> None:
        """Until nobody holds the other end of the pipe any more."""
        while True:
            for fd, _ in self.poll.poll():
                if fd == self.life:
                    return
                if fd == self.listener.fileno():
                    self._begin()
                elif fd in self.answers:
                    self._ended(fd)
                elif fd in self.lives:
                    self.poll.unregister(fd)
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(self.lives[fd], signal.SIGKILL)

    def _begin(self) -> None:
        line, _ = self.listener.accept()
        data, fds = b"", []
        with contextlib.suppress(OSError):
            data, fds, _, _ = socket.recv_fds(line, 1 << 20, 4)
        if not data:  # from somebody who was killed on the way
            line.close()
        elif data.startswith(b"{"):
            pid = self._fork(line, json.loads(data), fds)
            with contextlib.suppress(OSError):
                line.send(b"%d" % pid)
        else:
            self._child(line, data, fds)

    def _child(self, line: socket.socket, data: bytes, fds: list[int]) -> None:
        argv, raw, cwd, umask, _client, parent = ast.literal_eval(data.decode())
        env = {os.fsdecode(name): os.fsdecode(value) for name, value in raw.items()}
        from tests.support.warm_offers import read_at_start

        if read_at_start(env) != read_at_start(os.environ):
            line.close()  # it starts a Python of its own
            for fd in fds:
                os.close(fd)
            return
        order = {"argv": argv, "env": env, "cwd": os.fsdecode(cwd), "umask": umask}
        self._fork(line, order, fds, parent)

    def _die_with(self, fd: int, pid: int) -> None:
        """The client holds the other end: whoever kills that means the fork."""
        self.lives[fd] = pid
        self.poll.register(fd, select.POLLHUP)

    def _fork(
        self, answer: socket.socket, order: dict[str, Any], fds: list[int], parent: int = 0
    ) -> int:
        from tests.support.in_fork import end_with

        pid = os.fork()
        if pid == 0:
            if parent:
                os.setpgid(0, 0)
                os.getppid = lambda: parent
            end_with(lambda: become(**order, fds=fds))
        for fd in fds:
            os.close(fd)
        watch = os.pidfd_open(pid)
        self.answers[watch] = (pid, answer)
        self.poll.register(watch, select.POLLIN)
        self._die_with(answer.fileno(), pid)
        return pid

    def _ended(self, watch: int) -> None:
        self.poll.unregister(watch)
        os.close(watch)
        pid, answer = self.answers.pop(watch)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with contextlib.suppress(OSError):
            answer.send(b"%d" % code)
        del self.lives[answer.fileno()]
        with contextlib.suppress(KeyError):
            self.poll.unregister(answer)
        answer.close()


def main() -> None:
    """Serve."""
    listener, life = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
    sys.path[0] = str(PACKAGE.parent)  # not this folder: its names are no modules of their own
    warm_up()
    gc.collect()
    gc.freeze()
    Server(listener, life).serve()


if __name__ == "__main__":
    main()
