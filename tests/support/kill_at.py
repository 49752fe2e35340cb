"""Run saltbranch and end it by SIGKILL just before one of its steps, or only tell the steps.

Reads lines of JSON from stdin, each a list of orders that are carried out at once. An order is a list: the file to
write the names of all steps to (what is said goes to that name with .out and .err), the name of the
fatal step ("" for none, "any" for whichever comes), how often that step is still let through, and
saltbranch's own arguments. Each order is carried out by a fork, which saves it the imports; the answer
is the list of their exit codes. `hold-locally FILE DETAILS` stands for the function of that name.

A step is a call that changes a file or starts a program: Python announces each to its audit hooks
before it is done.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from typing import Any, NoReturn

import saltbranch.actions.hold
import saltbranch.actions.lab
import saltbranch.cli.app
import saltbranch.promote.apply_plan
import saltbranch.serve.decide
import saltbranch.serve.first_sync
import saltbranch.serve.prepare
import saltbranch.serve.report
from saltbranch import entry
from saltbranch.serve.hold_here import hold_locally
from tests.support import warm
from tests.support.site import event

_EVENTS = frozenset(
    "os.mkdir os.rename os.symlink os.link os.remove os.rmdir os.chmod os.chown os.utime os.truncate"
    " os.posix_spawn fcntl.flock".split()
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def _step(event: str, args: tuple[object, ...]) -> str | None:
    """The name of a step, the same for every saltenv and every branch."""
    if event == "open":
        path, _, flags = args
        if not isinstance(flags, int) or not flags & _WRITING or ".pyc" in str(path):
            return None
        return f"open {_place(str(path))}"
    if event not in _EVENTS or any(".pyc" in str(arg) or "__pycache__" in str(arg) for arg in args):
        return None
    if event == "os.posix_spawn":
        words = [os.fsdecode(word) for word in args[1]]  # type: ignore[attr-defined]
        verb = next((w for w in words[1:] if re.fullmatch(r"[a-z][a-z-]+", w)), "")
        return f"start {os.path.basename(words[0])} {verb}".rstrip()
    named = [a for a in args[:2] if isinstance(a, str)]
    return " ".join([event, *map(_place, named)])


def _place(path: str) -> str:
    path = re.sub(r".*/root(?=/|$)", "root", path) if "/root" in path else os.path.basename(path)
    path = re.sub(r"\b(develop|stage|master)\b", "BRANCH", path)
    path = re.sub(r"/tops/\w+/\w+", "/tops/SALTENV", path)
    return re.sub(r"/(slots/BRANCH/./tree)/.+", r"/\1/FILE", path)


def _run(log: str, fatal: str, let_through: int, *arguments: str) -> NoReturn:
    fd = os.open(log, os.O_WRONLY | os.O_TRUNC | os.O_CREAT)
    left = let_through

    def hook(event: str, args: tuple[object, ...]) -> None:
        nonlocal left
        step = _step(event, args)
        if step is None:
            return
        os.write(fd, f"{step}\n".encode())
        if fatal in (step, "any"):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    for stream, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{log}.{name}", os.O_WRONLY | os.O_TRUNC | os.O_CREAT), stream)
    sys.argv[1:] = arguments
    sys.addaudithook(hook)
    if arguments[0] == "hold-locally":
        hold_locally(arguments[1], event("hold", **json.loads(arguments[2])))
        sys.exit(0)
    entry.main()


def _shorten_moves() -> None:
    """A minion is moved to a lab in no time: nothing is rendered here meanwhile."""
    from saltbranch.labs import lent
    from saltbranch.serve import lent_later

    lent.GAP = lent_later.GAP = 0.01


def main() -> None:
    """Carry out orders until there are no more."""
    _shorten_moves()
    warm.use_for_children()
    saltbranch.cli.app.build()  # here, so that no fork has to import the verbs
    for line in sys.stdin:
        pids = [_fork(order) for order in json.loads(line)]
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        sys.stdout.write(f"{json.dumps(codes)}\n")
        sys.stdout.flush()


def _fork(order: list[Any]) -> int:
    pid = os.fork()
    if pid == 0:
        _run(*order)
    return pid


if __name__ == "__main__":
    main()
