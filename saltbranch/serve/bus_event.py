"""Tell the running master what was done, by events on its bus.

``saltbranch/sync/<saltenv>`` for each saltenv that a sync switched (promote/bus_event.py has that of a promotion).

Salt takes a second to import, so a process of its own does it, and only where a master listens.
"""

from __future__ import annotations

import os
import sys

from saltbranch.base import proc
from saltbranch.base.errors import SaltbranchError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from saltbranch.repository.prepared import Prepared
    from saltbranch.serve.run import SaltenvResult

_PATIENCE = 20  # seconds for importing Salt and handing over; a healthy master needs about one


def tag(saltenv: str) -> str:
    """The tag of the event for `saltenv`."""
    return f"saltbranch/sync/{saltenv}"


def data(saltenv: str, branch: str, old: str, new: str) -> dict[str, object]:
    """The data of the event; `old` is None at the first sync."""
    return {"saltenv": saltenv, "branch": branch, "old": old or None, "new": new}


def tell(ready: Prepared, results: Sequence[SaltenvResult]) -> str | None:
    """Fire the events of `results`; why that failed, None when it did not or no master runs here."""
    if not listens(ready.socket):
        return None
    events = [f"{r.saltenv}\t{r.branch}\t{r.old or ''}\t{r.new}" for r in results]
    code = "from saltbranch.serve import bus_event; bus_event.main()"
    argv = proc.python(code, ready.salt_config, *events)
    try:
        done = proc.run(argv, os.environ, timeout=_PATIENCE)
    except SaltbranchError as err:
        return f"no event for the master: {err.message}"
    if done.code != 0:
        last = done.complaint.splitlines()[-1:] or [f"exit {done.code}"]
        return f"no event for the master: {last[0]}"
    return None


def listens(socket_path: str) -> bool:
    """Whether a master runs, so that somebody accepts connections there: a killed master leaves its socket behind."""
    if not os.path.exists(socket_path):
        return False
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(socket_path)
        except OSError:
            return False
    return True


def main() -> None:
    """Fire the events named in `sys.argv`: the master's configuration file, then one text for each event."""
    from saltbranch.salt_master import options as master_options

    try:
        opts = master_options.read(sys.argv[1]).opts
        taken = [
            master_options.fire(opts, tag(words[0]), data(*words))
            for words in (line.split("\t") for line in sys.argv[2:])
        ]
    except SaltbranchError as err:
        sys.exit(err.message)
    if not all(taken):
        sys.exit("the master did not take it")
