"""Tells from inside the sandbox which files of the tree are read or looked for, and notes what was tried.

Python tells of every open() and scandir() by audit events (PEP 578) before it does it; a file that is only
looked for shows as os.stat(), which has no event and is replaced. Code of a branch can get round both. But it
has to be read first, and that was told by then to somebody who forgets nothing (`Wire`). What opens files and
tells nobody which ones (by a descriptor of their folder, in C, in another program) is told as such before it is
done, and makes the result one that is not kept. No list of such ways is complete, so Python of a branch that is
not `plain_python` may have read all of the tree; that is told before it runs.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from saltbranch.compiler.error_texts import CONNECTED, LOOKED_UP
from saltbranch.compiler.inside import plain_python

# What no template has a need for; saying so tells a reviewer where to look.
TRIED = {
    "subprocess.Popen": "start a program",
    "os.system": "start a program",
    "os.exec": "start a program",
    "os.posix_spawn": "start a program",
    "os.fork": "start a process",
    "os.forkpty": "start a process",
    "socket.connect": CONNECTED,
    "socket.bind": "open a network port",
    "socket.getaddrinfo": LOOKED_UP,
    "os.kill": "signal a process",
    "ctypes.dlopen": "load a library",
    "ctypes.dlsym": "load a library",
    "sqlite3.connect": "open a database",
    "os.symlink": "make a link",
    "os.link": "make a link",
}
# These are refused before anything is done, so what comes of them is the same on every tree and machine.
_NETWORK = ("socket.connect", "socket.getaddrinfo")
_NEEDS_NONE = re.compile(r"[0-9a-fxA-FX.]+|localhost.*|", re.DOTALL)  # an address (inet_aton(3))
# Events that mean nothing here are most of them: Python tells of every id().
_MEANT = frozenset(
    ("open", "os.listdir", "os.scandir", "os.chdir", "exec", "marshal.loads", "import", *_NETWORK, *TRIED)
)  # fmt: skip
UNHEARD = "read files in a way that cannot be followed"
# Modules in C, or on top of one, that open files and have no audit event for it.
_UNHEARD_MODULES = frozenset(("_dbm", "_gdbm", "readline", "cffi", "_ssl"))
# Libraries that write Python themselves, of which a branch decides no more than names or a sandboxed template.
_WRITERS = (
    "/jinja2/environment.py",
    "/jinja2/debug.py",
    "/collections/__init__.py",
    "/dataclasses.py",
)
_WRITING = os.O_WRONLY | os.O_RDWR
# These have no audit events, and are replaced: what follows a path must not be heard itself.
_readlink, _getcwd = os.readlink, os.getcwd
_MOST_LINKS = 40


class Wire:
    """A fork's two sockets to the `dispatcher`: `trace` for what it reads, `line` for all else."""

    def __init__(self, line: socket.socket, trace: socket.socket) -> None:
        self.line, self.trace = line, trace
        trace.settimeout(0)

    def tell(self, kind: str, name: str) -> None:
        """Tell that `name` is about to be read; see `reads.reads_of`."""
        data = b"%s%s\0" % (kind.encode(), os.fsencode(name))
        try:
            sent = self.trace.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            self.line.sendall(b"\n")  # the dispatcher makes room when it hears this
            self.trace.settimeout(None)
            self.trace.sendall(data[sent:])
            self.trace.settimeout(0)

    def decipher(self, name: str) -> bytes | None:
        """What the PGP message of that name holds; None without a key for it."""
        self.line.sendall(f"?{name}\n".encode())
        reply = bytearray()
        while not reply.endswith(b"\n"):
            data = self.line.recv(1 << 16)
            if not data:
                return None
            reply += data
        return bytes.fromhex(reply[1:-1].decode()) if reply[:1] == b"+" else None


class Tracker:
    """What one compile reads. roots: folder of the sandbox to path inside the repository."""

    def __init__(
        self,
        roots: dict[str, str],
        harmless: Sequence[str],
        refused: Sequence[str],
        libraries: Sequence[str],
        tell: Callable[[str, str], None],
    ) -> None:
        """Take the folders to look at. harmless: where opening a file means nothing. refused: other trees
        that would be taken for the one that is compiled; there is nothing in them. libraries: where Python is
        that is no branch's. tell: see `Wire`.
        """
        self._tell = tell
        self._refused = tuple(refused)
        self._libraries = tuple(libraries)
        self._roots = sorted(roots.items(), key=lambda pair: -len(pair[0]))
        self._harmless = tuple(harmless)
        self._whole = next(iter(roots.values()))
        self._known: dict[str, str | None] = {}
        self.told: dict[tuple[str, str], None] = {}
        self.tried: dict[str, None] = {}
        self.has_tried = False  # more than what is refused
        self.may_call = False  # over the network, where there is one
        self._paused = 0
        self.active = False

    def install(self) -> None:
        """Begin to look, for the rest of this process's life."""
        real_access = os.access

        def telling(real: Callable[..., Any]) -> Callable[..., Any]:
            def looked(path: Any, *args: Any, **kwargs: Any) -> Any:
                self._refuse(path)
                self._looked_for(path, kwargs.get("dir_fd"))
                return real(path, *args, **kwargs)

            return looked

        def access(path: Any, *args: Any, **kwargs: Any) -> Any:
            self._looked_for(path, kwargs.get("dir_fd"))
            return not self._is_refused(path) and real_access(path, *args, **kwargs)

        os.stat, os.lstat, os.readlink = telling(os.stat), telling(os.lstat), telling(os.readlink)
        os.access = access
        self._replace_c()
        meant, heard = _MEANT, self._heard

        def hook(event: str, args: tuple[Any, ...]) -> None:
            if event in meant:
                heard(event, args)

        sys.addaudithook(hook)
        self.active = True

    def _replace_c(self) -> None:
        """Hear of what is done in C without an event."""
        if (ssl := sys.modules.get("ssl")) is not None:
            context = ssl.SSLContext
            for name in ("load_verify_locations", "load_cert_chain", "load_dh_params"):
                setattr(context, name, self._unheard(getattr(context, name)))
        # multiprocessing starts its programs by it (Lib/multiprocessing/util.py).
        process: Any = sys.modules.get("_posixsubprocess")
        if process is not None:
            process.fork_exec = self._unheard(process.fork_exec)

    def _unheard(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **kwargs: Any) -> Any:
            if self.active and not self._paused:
                self.try_(UNHEARD)
            return real(*args, **kwargs)

        return called

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What happens in here is Salt's own business and depends on no content."""
        self._paused += 1
        try:
            yield
        finally:
            self._paused -= 1

    def pattern(self, kind: str, pattern: str) -> None:
        """`pattern` was matched with the names of all sls files below the folder `kind`."""
        self._tells("g", f"{kind}\1{pattern}")

    def listing(self, kind: str) -> None:
        """The names of all files below the folder `kind` were looked at."""
        self._tells("l", kind)

    def try_(self, what: str) -> None:
        """Note that the branch's code tried `what`. It is told, too: what is done next may make it forget."""
        self._tells("x", "")
        self.has_tried = True
        self._note(what)

    def _note(self, what: str) -> None:
        if len(self.tried) < 50:
            self.tried[what] = None

    def _tells(self, kind: str, name: str) -> None:
        if (kind, name) not in self.told:
            self._tell(kind, name)
            self.told[kind, name] = None

    def _is_refused(self, path: Any) -> bool:
        name = _absolute(path)
        if name is None or name.startswith(self._harmless):
            return False
        return any(name == folder or name.startswith(f"{folder}/") for folder in self._refused)

    def _refuse(self, path: Any) -> None:
        """Raises FileNotFoundError for what would be another tree's file, and notes it."""
        if self.active and self._refused and self._is_refused(path):
            name = str(_absolute(path))
            self.try_(f"read {name[:200]}, which is mapped to the compiled tree in bubblewrap only")
            raise FileNotFoundError(
                errno.ENOENT, "not the compiled tree (bubblewrap is missing)", name
            )

    def inside(self, path: Any) -> str | None:
        """The path inside the repository; None when it is elsewhere."""
        if isinstance(path, str) and path in self._known:
            return self._known[path]
        name = _absolute(path)
        found = None if name is None else self._mapped(name)
        if isinstance(path, str) and path.startswith("/") and name == path:
            self._known[path] = found
        return found

    def _mapped(self, name: str) -> str | None:
        for folder, inside in self._roots:
            if name == folder or name.startswith(f"{folder}/"):
                return f"{inside}{name[len(folder) :]}"
        return None

    def _looked_for(self, path: Any, folder: int | None = None) -> None:
        """folder: a descriptor that a relative path starts from."""
        if not self.active or self._paused:
            return
        if folder is not None and not _is_absolute(path):
            self.try_(UNHEARD)
        elif (inside := self.inside(path)) is not None:
            self._tells("f", inside)

    def _heard(self, event: str, args: tuple[Any, ...]) -> None:
        if args and event in ("open", "os.listdir", "os.scandir", "os.chdir"):
            self._refuse(args[0])
        if not self.active:
            return
        if event in ("exec", "marshal.loads"):
            self._runs(event, args)
        elif self._paused:
            return
        elif event == "open":
            self._opened(args)
        elif event in ("os.listdir", "os.scandir"):
            self._listed(args[0] if args else None)
        elif event == "import":
            self._imported(*args[:2])
        elif event in _NETWORK and not self.may_call and (error := _unreachable(event, args)):
            self._note(TRIED[event])
            raise error
        elif event in TRIED:
            self.try_(TRIED[event])

    def _imported(self, name: Any, path: Any) -> None:
        """path: of a module in C, which Python does not open."""
        if name in _UNHEARD_MODULES:
            self.try_(UNHEARD)
        elif isinstance(path, str):
            self._opened((path,))
            if self.inside(path) is not None:
                self._tells("w", self._whole)

    def _runs(self, event: str, args: tuple[Any, ...]) -> None:
        """Code that is neither a library's own nor `plain_python` may read all of the tree unnoticed.

        What a code object says of its file is not asked: in compiled Python that may be anything.
        """
        frame = sys._getframe(3)  # of what raised it: here are this, `_heard` and the hook
        caller = frame.f_code.co_filename
        if caller.startswith("<frozen importlib"):
            origin = _origin(event, frame)
            is_ours = origin == "frozen" or (
                origin.startswith(self._libraries) and self.inside(origin) is None
            )
        else:
            is_ours = caller.endswith(_WRITERS) and caller.startswith(self._libraries)
        if not is_ours and (event != "exec" or not plain_python.is_plain(args[0])):
            self._tells("w", self._whole)

    def _listed(self, path: Any) -> None:
        """path: None for the working directory, or a descriptor."""
        if isinstance(path, int):
            name = _followed(f"/proc/self/fd/{path}")
            if not name.startswith(self._harmless):
                self.try_(UNHEARD)
        elif (inside := self.inside(_getcwd() if path is None else path)) is not None:
            self._tells("l", inside)

    def _opened(self, args: tuple[Any, ...]) -> None:
        """args: path, mode and flags. os.open() has no mode, and does not say what a path starts from."""
        path, flags = args[0], args[2] if len(args) > 2 else 0
        if len(args) > 1 and args[1] is None and not _is_absolute(path):
            self.try_(UNHEARD)
            return
        inside = self.inside(path)
        if inside is not None:
            self._tells("f", inside)
            if isinstance(flags, int) and flags & _WRITING:
                self.try_(f"write {inside}")
            return
        name = _absolute(path) if _is_absolute(path) else None
        if name is not None and not name.startswith(self._harmless):
            how = "write" if isinstance(flags, int) and flags & _WRITING else "read"
            self.try_(f"{how} {name[:200]}")


def _origin(event: str, frame: Any) -> str:
    """The file that importlib, whose `frame` it is, takes code from; empty when that cannot be said."""
    if event == "exec":
        args: Sequence[Any] = frame.f_locals.get("args") or ({},)
        path = getattr(args[-1].get("__spec__"), "origin", None)
    else:
        path = frame.f_locals.get("bytecode_path")
    return os.path.normpath(path) if isinstance(path, str) else ""


def _unreachable(event: str, args: tuple[Any, ...]) -> OSError | None:
    """What is raised where there is no network; None for what needs none."""
    if event == "socket.getaddrinfo":
        if not isinstance(args[0], str) or ":" in args[0] or _NEEDS_NONE.fullmatch(args[0]):
            return None
        return socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    if args[0].family in (socket.AF_INET, socket.AF_INET6):
        return OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
    return None


def _is_absolute(path: Any) -> bool:
    """Whether a path starts from the root, or is none at all but a descriptor."""
    if isinstance(path, (bytes, os.PathLike)):
        path = os.fsdecode(path)
    return not isinstance(path, str) or path.startswith("/")


def _absolute(path: Any) -> str | None:
    """The one name of what is at `path`; None for what is not a path.

    Links in /proc (root, cwd, fd) and what `..` leads to behind a link are followed. Other links are in the
    tree, whose content says so (`Tree.content`).
    """
    if isinstance(path, (bytes, os.PathLike)):
        path = os.fsdecode(path)
    if not isinstance(path, str):
        return None
    name = path if path.startswith("/") else os.path.join(_getcwd(), path)
    if "/.." in name or name.startswith(_ALIASES):
        return _followed(name)
    return os.path.normpath(name)


_ALIASES = ("/proc/", "/dev/", "//")


def _followed(path: str) -> str:
    """`path` with all links followed, as far as they can be read (path_resolution(7)); /proc/self stays."""
    done, rest, left = "", path.split("/")[::-1], _MOST_LINKS
    while rest:
        part = rest.pop()
        if part in ("", "."):
            continue
        if part == "..":
            done = done.rpartition("/")[0]
            continue
        name = f"{done}/{part}"
        try:
            end = "" if name == "/proc/self" or left <= 0 else _readlink(name)
        except (OSError, ValueError):
            end = ""
        if not end:
            done = name
            continue
        left -= 1
        done = "" if end.startswith("/") else done
        rest += end.split("/")[::-1]
    return done or "/"
