"""Notes inside the sandbox which files of the tree were read or looked for, and what was tried.

Python tells of every open() and scandir() by audit events (PEP 578); a file that is only looked for
shows as os.stat(), which has no event and is replaced. Neither is a wall: the sandbox is.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from saltbranch.compiler.model import Reads

# What no template has a need for; saying so tells a reviewer where to look.
_TRIED = {
    "subprocess.Popen": "start a program",
    "os.system": "start a program",
    "os.exec": "start a program",
    "os.posix_spawn": "start a program",
    "os.fork": "start a process",
    "os.forkpty": "start a process",
    "socket.connect": "open a network connection",
    "socket.bind": "open a network port",
    "socket.getaddrinfo": "look up a host name",
    "os.kill": "signal a process",
    "ctypes.dlopen": "load a library",
}
_WRITING = os.O_WRONLY | os.O_RDWR


class Tracker:
    """What one compile reads. roots: folder of the sandbox to path inside the repository."""

    def __init__(
        self, roots: dict[str, str], harmless: Sequence[str], refused: Sequence[str] = ()
    ) -> None:
        """Take the folders to look at. harmless: where opening a file means nothing. refused: other trees
        that would be taken for the one that is compiled; there is nothing in them.
        """
        self._refused = tuple(refused)
        self._roots = sorted(roots.items(), key=lambda pair: -len(pair[0]))
        self._harmless = tuple(harmless)
        self._known: dict[str, str | None] = {}
        self._files: set[str] = set()
        self._globs: set[tuple[str, str]] = set()
        self._listings: set[str] = set()
        self.tried: dict[str, None] = {}
        self._paused = 0
        self.active = False

    def install(self) -> None:
        """Begin to look, for the rest of this process's life."""
        real_stat, real_lstat, real_access = os.stat, os.lstat, os.access

        def stat(path: Any, *args: Any, **kwargs: Any) -> Any:
            self._refuse(path)
            self._looked_for(path)
            return real_stat(path, *args, **kwargs)

        def lstat(path: Any, *args: Any, **kwargs: Any) -> Any:
            self._refuse(path)
            self._looked_for(path)
            return real_lstat(path, *args, **kwargs)

        def access(path: Any, *args: Any, **kwargs: Any) -> Any:
            self._looked_for(path)
            return not self._is_refused(path) and real_access(path, *args, **kwargs)

        os.stat, os.lstat, os.access = stat, lstat, access
        sys.addaudithook(self._heard)
        self.active = True

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
        self._globs.add((kind, pattern))

    def listing(self, kind: str) -> None:
        """The names of all files below the folder `kind` were looked at."""
        self._listings.add(kind)

    def try_(self, what: str) -> None:
        """Note that the branch's code tried `what`."""
        if len(self.tried) < 50:
            self.tried[what] = None

    def reads(self) -> Reads:
        """All of it so far."""
        return Reads(
            tuple(sorted(self._files)),
            tuple(sorted(self._globs)),
            tuple(sorted(self._listings)),
        )

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

    def _inside(self, path: Any) -> str | None:
        """The path inside the repository; None when it is elsewhere."""
        if isinstance(path, str) and path in self._known:
            return self._known[path]
        name = _absolute(path)
        if name is None:
            return None
        found = None
        for folder, inside in self._roots:
            if name == folder or name.startswith(f"{folder}/"):
                found = f"{inside}{name[len(folder) :]}"
                break
        if isinstance(path, str) and path.startswith("/"):
            self._known[path] = found
        return found

    def _looked_for(self, path: Any) -> None:
        if self.active and not self._paused and (inside := self._inside(path)) is not None:
            self._files.add(inside)

    def _heard(self, event: str, args: tuple[Any, ...]) -> None:
        if args and event in ("open", "os.listdir", "os.scandir", "os.chdir"):
            self._refuse(args[0])
        if not self.active or self._paused:
            return
        if event == "open":
            self._opened(args)
        elif event in ("os.listdir", "os.scandir"):
            if args and (inside := self._inside(args[0])) is not None:
                self._listings.add(inside)
        elif event in _TRIED:
            self.try_(_TRIED[event])

    def _opened(self, args: tuple[Any, ...]) -> None:
        path, flags = args[0], args[2] if len(args) > 2 else 0
        inside = self._inside(path)
        if inside is not None:
            self._files.add(inside)
            if isinstance(flags, int) and flags & _WRITING:
                self.try_(f"write {inside}")
            return
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if isinstance(path, str) and path.startswith("/"):
            path = os.path.normpath(path)
            if not path.startswith(self._harmless):
                how = "write" if isinstance(flags, int) and flags & _WRITING else "read"
                self.try_(f"{how} {path[:200]}")


def _absolute(path: Any) -> str | None:
    """`path` in full; None for what is no path."""
    if isinstance(path, (bytes, os.PathLike)):
        path = os.fsdecode(path)
    if not isinstance(path, str):
        return None
    return os.path.normpath(path if path.startswith("/") else os.path.join(os.getcwd(), path))
