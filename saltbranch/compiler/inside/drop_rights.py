"""The first steps of a process in the sandbox: give up what rights are left, and keep forks apart.

A worker forks for every minion, and all forks of it are one user. What keeps one from the others:
none of these processes may be looked into (`conceal`), and each fork has folders of its own to write
to, in a mount namespace of its own (`enter` once, `own_folders` in every fork).
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import resource
import signal

_NEWNS, _NEWUSER = 0x00020000, 0x10000000
_SET_PDEATHSIG, _SET_DUMPABLE, _SET_NO_NEW_PRIVS = 1, 4, 38
_NOSUID, _NODEV = 0x2, 0x4
_BIND, _REC, _PRIVATE = 0x1000, 0x4000, 0x40000
_CAPABILITIES_3 = 0x20080522
_ROOM = 64
"""MiB that a fork may write to each of its folders."""

_libc = ctypes.CDLL(None, use_errno=True)


def drop(uid: int, gid: int, processes: int, given: int) -> None:
    """Become the user `uid`, which owns nothing; at most `processes` of them may run. given: so many descriptors are
    for this process. Any other came along by chance, and a folder's leads out of the sandbox (openat(2)).
    """
    os.umask(0o077)
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd >= given:
            with contextlib.suppress(OSError):  # that of the listing
                os.close(fd)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))
    end_with_parent()


def end_with_parent() -> None:
    """Have this process killed when its parent ends; a change of user undoes it, a fork does not have it."""
    _call("prctl", _SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def conceal() -> None:
    """Let nobody but root look into this process, its forks included: not their memory, not their
    descriptors (prctl(2), PR_SET_DUMPABLE; proc(5)).
    """
    _call("prctl", _SET_DUMPABLE, 0, 0, 0, 0)


def enter() -> bool:
    """Get the right to mount what forks will have, in a user namespace; False where there is none to be had.

    To be called while there is no fork yet: for a moment this process can be looked into.
    """
    uid, gid = os.getuid(), os.getgid()
    try:
        _call("prctl", _SET_DUMPABLE, 1, 0, 0, 0)  # else its maps are not its own to write
        _call("unshare", _NEWUSER | _NEWNS)
        for name, text in (
            ("setgroups", b"deny"),
            ("uid_map", b"%d %d 1" % (uid, uid)),
            ("gid_map", b"%d %d 1" % (gid, gid)),
        ):
            with open(f"/proc/self/{name}", "wb", buffering=0) as file:
                file.write(text)
        _call("mount", None, b"/", None, _REC | _PRIVATE, None)
    except OSError:
        return False
    return True


def are_forks_apart() -> bool:
    """Whether forks can have folders of their own here; tried in a process that ends after it."""
    try:
        if enter():
            own_folders(["/tmp"], [])
            return True
    except OSError:
        pass
    return False


def find(modules: list[str]) -> None:
    """Raise ImportError unless `modules` are there and can be read. None is run, for that takes a tenth of a second."""
    for name in modules:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise ImportError(f"No module named {name!r}")
        with open(spec.origin, "rb") as file:
            file.read(1)


def own_folders(paths: list[str], kept: list[str]) -> None:
    """Put an empty file system over each of `paths`, for this process only, and give up what rights
    that took. kept: folders inside of `paths` that are to stay. Raises OSError.
    """
    _call("unshare", _NEWNS)
    held = [(path, os.open(path, os.O_PATH)) for path in kept]
    options = f"size={_ROOM}m,nr_inodes=20000,mode=0700".encode()
    for path in paths:
        _call("mount", b"tmpfs", os.fsencode(path), b"tmpfs", _NOSUID | _NODEV, options)
    for path, fd in held:
        os.makedirs(path, exist_ok=True)
        _call("mount", b"/proc/self/fd/%d" % fd, os.fsencode(path), None, _BIND | _REC, None)
        os.close(fd)
    renounce()


def renounce() -> None:
    """Have no capability from now on, in no namespace that is ours already."""
    _call("prctl", _SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES_3, 0)
    _call("capset", header, (ctypes.c_uint32 * 6)())


def _call(name: str, *args: object) -> None:
    args = tuple(ctypes.c_ulong(a) if isinstance(a, int) else a for a in args)
    if getattr(_libc, name)(*args) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
