"""Temporary folders that may hold pillar: gone at the end of a run, or else swept by the next one.

A run that is killed removes nothing. So every such folder is locked (flock(2)) by the run that made it, and
whoever makes the next one removes those of this user that nobody locks any more. Checked out trees are in
memory where there is such a place (`in_memory`), so that not even then pillar is on a disk.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass

FAMILIES = (
    "saltbranch-scratch-compile-",
    "saltbranch-scratch-tree-",
    "saltbranch-scratch-explain-",
    "saltbranch-scratch-init-",
    "sb-keys-",
)
# What versions made that locked nothing: it may be in use, but not for a day.
_UNLOCKED = ("saltbranch-compile-", "saltbranch-tree-", "saltbranch-explain-", "sb-gpg-")
_DAY = 86400
_MEMORY = "/dev/shm"  # noqa: S108 - a folder of our own is made in there
_SPARE = 64 << 20
_AT_ONCE = 100
"""So many times somebody else may be quicker: an agent has four sockets."""
_NEW = ".saltbranch-new-"
"""A folder begins under this name, which nobody sweeps; there is nothing in it before it is locked."""


@dataclass(frozen=True, slots=True)
class Scratch:
    """A folder, and the descriptor by which it is locked."""

    path: str
    lock: int

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """While this lasts, a program that is started keeps the folder from being swept, too: it may outlive
        us and go on writing. For programs of ours only: they get a descriptor of it.
        """
        os.set_inheritable(self.lock, True)  # noqa: FBT003
        try:
            yield
        finally:
            os.set_inheritable(self.lock, False)  # noqa: FBT003


@contextlib.contextmanager
def folder(family: str, parent: str | None = None) -> Iterator[Scratch]:
    """A new folder for this user alone. family: begins with one of `FAMILIES`. parent: the user's own if not given."""
    place = parent or tempfile.gettempdir()
    sweep(place)
    made = tempfile.mkdtemp(prefix=_NEW, dir=place)
    lock = os.open(made, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    path = f"{place}/{family}{os.path.basename(made)[len(_NEW) :]}"
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.rename(made, path)
        yield Scratch(path, lock)
    finally:
        try:
            for name in (path, made):
                _remove(name)
        finally:
            os.close(lock)


def kept(family: str) -> str:
    """The path of a new folder that goes with this process, not with a fork of it. family: as for `folder`."""
    stack = contextlib.ExitStack()
    made, owner = stack.enter_context(folder(family)), os.getpid()
    atexit.register(lambda: stack.close() if os.getpid() == owner else None)
    return made.path


def in_memory(size: int) -> str | None:
    """The file system in memory that everybody may write to, if `size` bytes are little there.

    None where there is none, or where somebody said by TMPDIR where temporary files go.
    """
    try:
        if os.environ.get("TMPDIR") or not _is_tmpfs(_MEMORY):
            return None
        room = os.statvfs(_MEMORY)
        is_open = os.access(_MEMORY, os.R_OK | os.W_OK | os.X_OK)
    except OSError:
        return None
    return _MEMORY if is_open and room.f_bavail * room.f_frsize >= 2 * size + _SPARE else None


def _is_tmpfs(path: str) -> bool:
    with open("/proc/self/mounts", encoding="utf-8", errors="replace") as file:
        kinds = [
            fields[2] for line in file if len(fields := line.split()) > 2 and fields[1] == path
        ]
    return kinds[-1:] == ["tmpfs"]


def sweep(place: str | None = None) -> None:
    """Remove what runs of this user left in the folder `place` that were killed; everywhere if not given."""
    if place is None:
        for where in dict.fromkeys((tempfile.gettempdir(), "/tmp", _MEMORY)):  # noqa: S108
            sweep(where)
        return
    with contextlib.suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            if entry.name.startswith(FAMILIES):
                with contextlib.suppress(OSError):
                    _sweep_one(entry.path)
            elif entry.name.startswith(_UNLOCKED):
                with contextlib.suppress(OSError):
                    if time.time() - entry.stat(follow_symlinks=False).st_mtime > _DAY:
                        _sweep_one(entry.path)


def _sweep_one(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(fd).st_uid != os.geteuid():
            return
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: its run goes on
        if os.path.samestat(os.fstat(fd), os.lstat(path)):
            _remove(path)
    finally:
        os.close(fd)


def _remove(path: str) -> None:
    """Remove a folder, if it is there, while somebody else may remove what is in it: an agent of gpg that was
    told to end takes its sockets away a moment later. Raises OSError.
    """
    for _ in range(_AT_ONCE):
        if not os.path.lexists(path):
            return
        try:
            shutil.rmtree(path)
        except FileNotFoundError as err:
            lost = err
    if os.path.lexists(path):
        raise lost  # a file system may list names that are not there
