"""Run saltbranch and end it by SIGKILL just before one of its steps, or only tell the steps.

Arguments: the file to append the names of all steps to, the name of the fatal step or an empty text, how
often that step is still let through, and saltbranch's own arguments. A step is a call that changes
a file or starts a program; Python announces each to its audit hooks before it is done.
"""

from __future__ import annotations

import os
import re
import signal
import sys

_EVENTS = frozenset(
    "os.mkdir os.rename os.symlink os.link os.remove os.rmdir os.chmod os.chown os.utime os.truncate"
    " os.posix_spawn fcntl.flock".split()
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def _step(event: str, args: tuple[object, ...]) -> str | None:
    """The name of a step, the same for every saltenv and every branch."""
    if event == "open":
        path, _, flags = args
        if not isinstance(flags, int) or not flags & _WRITING or not isinstance(path, str):
            return None
        return f"open {_place(path)}"
    if event not in _EVENTS:
        return None
    if event == "os.posix_spawn":
        words = [os.fsdecode(word) for word in args[1]]  # type: ignore[attr-defined]
        verb = next(w for w in words[1:] if re.fullmatch(r"[a-z][a-z-]+", w))
        return f"start {os.path.basename(words[0])} {verb}"
    named = [a for a in args[:2] if isinstance(a, str)]
    return " ".join([event, *map(_place, named)])


def _place(path: str) -> str:
    path = re.sub(r".*/root(?=/|$)", "root", path) if "/root" in path else os.path.basename(path)
    path = re.sub(r"\b(develop|stage|master)\b", "BRANCH", path)
    path = re.sub(r"/tops/\w+/\w+", "/tops/SALTENV", path)
    return re.sub(r"/(slots/BRANCH/.)/.+", r"/\1/FILE", path)


def main() -> None:
    """Set the hook and run."""
    log, fatal, let_through, *arguments = sys.argv[1:]
    fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    left = int(let_through)

    def hook(event: str, args: tuple[object, ...]) -> None:
        nonlocal left
        step = _step(event, args)
        if step is None:
            return
        os.write(fd, f"{step}\n".encode())
        if step == fatal or fatal == "any":
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    from saltbranch import entry

    sys.argv[1:] = arguments
    sys.addaudithook(hook)
    entry.main()


if __name__ == "__main__":
    main()
