"""Loaded by every Python that the tests start: the files of a real salt-master are out of bounds.

A test that forgot to name its own root or configuration fails at once, on every machine alike.
"""

from __future__ import annotations

import os
import sys

_EVENTS = frozenset(
    "os.mkdir os.rename os.symlink os.link os.remove os.rmdir os.chmod os.chown os.utime os.truncate"
    " shutil.rmtree".split()
)


def _is_out_of_bounds(path: object, *, writes: bool) -> bool:
    if not isinstance(path, str | bytes):
        return False
    text = os.path.normpath(os.fsdecode(path))
    if f"{text}/".startswith("/srv/saltbranch/") or text == "/etc/salt/saltbranch.yaml":
        return True
    return writes and f"{text}/".startswith("/etc/salt/")


def _trap(event: str, args: tuple[object, ...]) -> None:
    if event == "open":
        flags = args[2] if isinstance(args[2], int) else 0
        paths, writes = args[:1], bool(flags & (os.O_WRONLY | os.O_RDWR))
    elif event in _EVENTS:
        paths, writes = args[:2], True
    elif event in ("os.listdir", "os.scandir"):
        paths, writes = args[:1], False
    else:
        return
    for path in paths:
        if _is_out_of_bounds(path, writes=writes):
            raise RuntimeError(f"boobytrap: {event} of {path!r} by a test")


sys.addaudithook(_trap)
