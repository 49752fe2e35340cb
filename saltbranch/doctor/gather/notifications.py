"""Gather who is to be told what on this machine, and what is left to be told."""

from __future__ import annotations

import os
from collections.abc import Iterator

from saltbranch.config.model import Config
from saltbranch.config.notify import HOOKS, targets_of
from saltbranch.doctor.finding import Finding
from saltbranch.doctor.rules import notifications
from saltbranch.notify import hooks
from saltbranch.notify.backlog import backlog
from saltbranch.repository.machine import read_machine_file


def look(config: Config) -> Iterator[Finding]:
    """The outbox of the root of `config`, its targets and hooks. Raises ConfigError, RefusedError."""
    found = backlog(config.root)
    told = [failure.told() for failure in found.failures]
    yield from notifications.backlog(told, found.waiting, found.dropped)
    targets = targets_of(read_machine_file(config.path).notify_targets, config.path)
    wanted = [name for rule in config.notify for name in rule.to]
    yield from notifications.unknown_targets(wanted, list(targets), config.path)
    unset = [n for n, t in targets.items() if n in wanted and not t.address(os.environ)]
    yield from notifications.unset_targets(unset)
    if any(target.url for target in targets.values()):
        yield from notifications.readable(config.path, os.stat(config.path).st_mode)
    listed = hooks.that_may_run(config)
    others = [(n, argv) for n, argv in hooks.configured(config, list(HOOKS)) if n not in listed]
    yield from notifications.unlisted_hooks(others, config.path)
