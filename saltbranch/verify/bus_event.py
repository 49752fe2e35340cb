"""The event that tells the master's bus of a verification."""

from __future__ import annotations

import json
import os
import sys

from saltbranch.base import asked_by, proc
from saltbranch.base.errors import SaltbranchError
from saltbranch.journal.events import Event

_PATIENCE = 20  # seconds


def tag(saltenv: str) -> str:
    """Its tag."""
    return f"saltbranch/verify/{saltenv}"


def data(event: Event, *, recorded: bool) -> dict[str, object]:
    """Its data. recorded: whether the journal has it; `id` is null where it has not."""
    keys = ("saltenv", "commit", "passed", "complete", "checks", "minions", "reasons")
    told = asked_by.told(event.by, event.details)
    return {
        **{key: event.details[key] for key in keys},
        "id": event.id if recorded else None,
        **told,
    }


def tell(salt_config: str, tag: str, data: dict[str, object]) -> str:
    """Fire an event on the bus of the master whose configuration is `salt_config`; why that failed.

    In a process of its own, as Salt takes a second to import.
    """
    code = "from saltbranch.verify import bus_event; bus_event.main()"
    argv = proc.python(code, salt_config, tag)
    try:
        done = proc.run(argv, os.environ, timeout=_PATIENCE, stdin=json.dumps(data).encode())
    except SaltbranchError as err:
        return f"no event for the master: {err.message}"
    last = done.complaint.splitlines()[-1:] or [f"exit {done.code}"]
    return f"no event for the master: {last[0]}" if done.code else ""


def main() -> None:
    """Fire the event whose data is on stdin; `sys.argv`: the master's configuration file, the tag."""
    from saltbranch.salt_master import options as master_options

    try:
        opts = master_options.read(sys.argv[1]).opts
        taken = master_options.fire(opts, sys.argv[2], json.load(sys.stdin))
    except SaltbranchError as err:
        sys.exit(err.message)
    if not taken:
        sys.exit("the master did not take it")
