"""A Python that has imported Salt and the compiler's worker already, and forks into sandboxes; see warm_salt.py.

Each connection brings one order, JSON of `boot`, `home` and `env`, with the descriptors of stdin, stdout, stderr, the
the dispatcher's socket and the sandbox's first process. Its answer is the exit code of the worker.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import socket
import sys
import tempfile
import traceback
from typing import Any, NoReturn

_HERE = os.path.dirname(os.path.abspath(__file__))
_NEWNS, _NEWCGROUP, _NEWUTS, _NEWIPC, _NEWPID, _NEWNET = (
    0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x20000000, 0x40000000,
)  # fmt: skip
_SET_CHILD_SUBREAPER, _SET_NO_NEW_PRIVS = 36, 38
# Modules that Salt imports by and by as it compiles for the first time.
_SALT_NEEDS = (
    "git", "salt.cloud", "salt.loader.dunder", "salt.utils.cloud", "salt.utils.compat",
    "salt.utils.configparser", "salt.utils.functools", "salt.utils.gitfs", "salt.utils.itertools",
    "salt.utils.nb_popen", "salt.utils.smb", "salt.utils.vt", "salt.utils.yamlloader_old", "saltbranch.ext",
)  # fmt: skip
_MODULES = {
    "worker": ("worker", "one_minion", "drop_rights"),
    "plain_lows": ("plain_lows", "drop_rights"),
}
_libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *args: object) -> None:
    """A system call. Raises OSError."""
    if getattr(_libc, name)(*args) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def handle(line: socket.socket) -> None:
    """One order: go into its sandbox, be its worker in a process of its own there, and say how that ended."""
    data, fds, _, _ = socket.recv_fds(line, 1 << 20, 5)
    order = json.loads(data)
    first = fds.pop()
    spaces = _NEWNS | _NEWUTS | _NEWIPC | _NEWPID | _NEWNET
    if os.readlink("/proc/self/ns/cgroup") != os.readlink(f"/proc/{order['pid']}/ns/cgroup"):
        spaces |= _NEWCGROUP
    call("setns", first, spaces)
    pid = os.fork()
    if pid == 0:
        line.close()
        os.close(first)
        be(order, fds)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with contextlib.suppress(OSError):
        line.send(b"%d" % code)


def be(order: dict[str, object], fds: list[int]) -> NoReturn:
    """Be the worker: what Python would be told on its command line is done here."""
    code = 1
    try:
        # Numbers that are none of 0 to 3, which they get now.
        fds = [os.dup2(fd, 20 + number, inheritable=False) for number, fd in enumerate(fds)]
        for number, fd in enumerate(fds):
            os.dup2(fd, number)
        os.closerange(4, 256)
        os.setsid()
        os.chdir("/tmp")
        call("prctl", _SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        call("prctl", _SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # as the first process in there is
        os.environ.clear()
        os.environ.update(order["env"])  # type: ignore[arg-type, call-overload]
        sys.argv = ["-c", str(order["home"])]
        exec(str(order["boot"]), {"__name__": "__main__"})
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def warm_up(module: str) -> None:
    """Import what a worker would, and what Salt imports as it makes its first highstate."""
    for name in _MODULES[module]:
        importlib.import_module(f"saltbranch.compiler.inside.{name}")
    for name in ("salt.config", "salt.pillar", "salt.state", *_SALT_NEEDS):
        if module == "worker" or name.startswith("salt."):
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
    if module == "plain_lows":
        sys.path.append(_HERE)
        brisk_salt = importlib.import_module("brisk_salt")
        brisk_salt.use()
        brisk_salt.look_ahead()
    if module == "worker":
        rehearse()
        remember_texts(importlib.import_module("saltbranch.compiler.message_words"))


def rehearse() -> None:
    """Change Salt and go through all of it as a worker does, with a tree in which nothing is: forks do that again
    but for the one compile, and find Salt's own modules and templates ready. Only Salt's cache is where theirs is,
    for the folders in which Salt looks for modules are remembered.
    """
    from saltbranch.compiler import sandbox
    from saltbranch.compiler.inside import (
        highstate,
        prepared_salt,
        salt_patches,
        shortcuts,
        worker,
    )
    from saltbranch.config.minions import Matcher
    from saltbranch.salt_master import top_file

    inside = {"states": "salt", "pillar": "pillar"}
    groups = {"test": [Matcher("glob", "*")]}
    # In the mount namespace of this process only.
    call("mount", b"tmpfs", b"/var/cache", b"tmpfs", 0, None)
    with tempfile.TemporaryDirectory(prefix="warm-") as folder:
        folders = {name: f"{folder}/{name}" for name in (*inside, "tops")}
        folders["cache"] = sandbox._CACHE
        for path in (*folders.values(), *(f"{folder}/tops/test/{name}" for name in inside)):
            os.makedirs(path)
        for name in inside:
            with open(f"{folder}/tops/test/{name}/top.sls", "w", encoding="utf-8") as file:
                file.write(top_file.render_top("test", groups))
        job = {
            "folders": folders,
            "writable": [],
            "inside": inside,
            "saltenv": "test",
            "master": {},
        }
        worker.have_a_name()
        prepared_salt.PreparedSalt(job)
    real = prepared_salt.PreparedSalt._rehearse

    def again(self: Any) -> None:
        compile_minion = highstate.compile_minion
        if not self.job["master"]:  # with the options of above, so nothing more is loaded
            highstate.compile_minion = lambda *_: None
        try:
            real(self)
        finally:
            highstate.compile_minion = compile_minion

    prepared_salt.PreparedSalt._rehearse = again
    for changing in (shortcuts, salt_patches):  # once in a process, and this was it
        changing.install = lambda: None  # type: ignore[assignment]


class Words:
    """What `_said_by` says of a module, with the words of it."""

    def __init__(self, found: frozenset[str]) -> None:
        self.found = found


def remember_texts(wording: Any) -> None:
    """Let forks look up what the code of a function says, and which words a module has: neither changes any more."""
    constants, said_by, words = wording._constants, wording._said_by, wording._words
    said: dict[tuple[int, ...], tuple[str, ...]] = {}
    kept: list[object] = []

    def constants_of(*of: object) -> tuple[str, ...]:
        key = tuple(map(id, of))
        if key not in said:
            kept.append(of)  # so that nothing else gets its number
            said[key] = tuple(constants(*of))
        return said[key]

    modules = {id(m): Words(frozenset(words(said_by(m)))) for m in [*sys.modules.values()]}
    wording._constants = constants_of
    wording._said_by = lambda module: modules.get(id(module)) or said_by(module)
    wording._words = lambda texts: texts.found if isinstance(texts, Words) else words(texts)
    wording.salts_words()


def main() -> None:
    """Serve until nobody holds the other end of the pipe any more."""
    home, module, number, life = *sys.argv[1:3], *map(int, sys.argv[3:5])
    sys.path.insert(0, home)
    warm_up(module)
    listener = socket.socket(fileno=number)
    gc.collect()
    gc.freeze()
    while life not in select.select([listener, life], [], [])[0]:
        line, _ = listener.accept()
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:  # earlier orders that have ended
                pass
        if os.fork() == 0:
            listener.close()
            try:
                handle(line)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
        line.close()


if __name__ == "__main__":
    main()
