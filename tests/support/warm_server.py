"""A Python that has imported saltbranch and Salt already, and forks for every command line; see warm.py.

Each message is JSON, `argv`, `env`, `cwd` and `umask`, with the descriptors 0 to 2 of the new process beside it.
The answer is its exit code. Nothing of saltbranch has run in here: a fork differs from a new Python in what is
imported, and in nothing else.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import socket
import sys
import threading
import traceback
from pathlib import Path
from typing import NoReturn

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
    "salt.cache", "salt.config", "salt.loader", "salt.serializers.msgpack", "salt.template",
    "salt.utils.event", "salt.utils.jinja", "salt.utils.process", "salt.utils.verify", "salt.version",
    "salt.utils.xdg", "git", "distro",
)  # fmt: skip


def warm_up() -> None:
    """Import what the verbs would."""
    for name in SALT:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    for module in pkgutil.walk_packages([str(PACKAGE)], "saltbranch."):
        if not module.name.startswith(LEFT_OUT):
            importlib.import_module(module.name)
    importlib.import_module("saltbranch.cli.app").build()
    importlib.import_module("tests.support.warm_salt").use()


def become(argv: list[str], env: dict[str, str], cwd: str, umask: int, fds: list[int]) -> NoReturn:
    """Be the process ``python -m saltbranch ...``, or ``python -c CODE ...``, that `argv` asks for."""
    code = 1
    try:
        for number, fd in enumerate(fds):
            os.dup2(fd, number)
            os.close(fd)
        os.chdir(cwd)
        os.umask(umask)
        os.environ.clear()
        os.environ.update(env)
        if argv[1] == "-c":
            sys.argv = ["-c", *argv[3:]]
            exec(argv[2], {"__name__": "__main__"})
        else:
            sys.argv = [str(PACKAGE / "__main__.py"), *argv[3:]]
            sys.path[0] = cwd
            from saltbranch import entry

            entry.main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
    except BaseException:
        traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def main() -> None:
    """Serve until the other end is closed."""
    control = socket.socket(fileno=int(sys.argv[1]))
    sys.path[0] = str(PACKAGE.parent)  # not this folder: its names are no modules of their own
    warm_up()
    gc.collect()
    gc.freeze()
    while True:
        data, fds, _, _ = socket.recv_fds(control, 1 << 20, 3)
        if not data:
            return
        order = json.loads(data)
        pid = os.fork()
        if pid == 0:
            control.close()
            become(**order, fds=fds)
        for fd in fds:
            os.close(fd)
        control.send(b"%d" % pid)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        control.send(b"%d" % code)


if __name__ == "__main__":
    main()
