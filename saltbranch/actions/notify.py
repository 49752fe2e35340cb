"""notify: what is still to be told, and a message to try the targets with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from saltbranch.base.errors import EXIT_PARTIAL, UsageError
from saltbranch.config.notify import Target, targets_of
from saltbranch.notify import gather, send
from saltbranch.notify.backlog import Backlog, backlog
from saltbranch.notify.deliver import Undelivered
from saltbranch.repository.machine import read_machine_file
from saltbranch.repository.root import root_of
from saltbranch.serve.notices import master


@dataclass(frozen=True, slots=True)
class Tried:
    """A target that a message was sent to, or why it was not; empty where it was."""

    name: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Notified:
    """tried: with `test`. left: what is in the outbox."""

    tried: tuple[Tried, ...]
    left: Backlog

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        tried = [{"target": t.name, "problem": t.problem or None} for t in self.tried]
        return {"version": 1, "tried": tried, "notifications": self.left.as_dict()}

    @property
    def exit_code(self) -> int:
        """20 when a target could not be reached, 0 otherwise."""
        return EXIT_PARTIAL if any(t.problem for t in self.tried) else 0


def notify(config_path: str, names: Sequence[str] = (), *, test: bool = False) -> Notified:
    """What waits to be told. test: send a message to each target of this machine, or those in `names`.

    Raises ConfigError, UsageError.
    """
    targets = targets_of(read_machine_file(config_path).notify_targets, config_path)
    for name in names:
        if name not in targets:
            known = ", ".join(targets) or "none"
            raise UsageError(
                f"{config_path} names no target {name!r} under notify_targets:",
                hint=f"known: {known}",
            )
    if test and not targets:
        raise UsageError(
            f"{config_path} names no targets",
            hint="add for example notify_targets: {ops: 'https://chat.example.com/hook/TOKEN'}",
        )
    wanted = [target for name, target in targets.items() if not names or name in names]
    tried = tuple(_try(target) for target in wanted) if test else ()
    return Notified(tried, backlog(root_of(config_path)))


def _try(target: Target) -> Tried:
    title = f"saltbranch: a test from {master()}"
    lines = ["Messages of saltbranch arrive here."]
    data = {"notice": gather.test_notice(), "title": title, "lines": lines, "template": None}
    try:
        send.send(target, data)
    except Undelivered as err:
        return Tried(target.name, err.reason)
    return Tried(target.name)
