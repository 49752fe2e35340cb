"""Try the webhook, where it is installed, by the road that a git server's requests take."""

from __future__ import annotations

import os
from collections.abc import Iterator

from saltbranch.base.errors import ConfigError
from saltbranch.config.model import Config
from saltbranch.doctor.finding import Finding
from saltbranch.doctor.rules import webhook as rules
from saltbranch.salt_master.options import MasterOptions
from saltbranch.schedule import reactor
from saltbranch.webhook import probe, secret, texts


def look(config: Config, master: MasterOptions) -> Iterator[Finding]:
    """Two pings, one of them wrong on purpose; nothing where no webhook is installed."""
    if texts.TAG not in [tag for tag, _ in reactor.reactors(master.opts)]:
        return
    if not os.path.isdir(f"{config.root}/state"):
        return
    yield from rules.others(
        [t for t, _ in reactor.reactors(master.opts) if texts.listens_outside(t)]
    )
    try:
        known = secret.load(secret.path_of(config.path))
    except ConfigError as err:
        yield from rules.secret(err.message, err.hint)
        return
    found = probe.attempt(master.opts, config.root, known[-1])
    yield from rules.tried(
        found.url,
        problem=found.problem,
        status=found.status,
        arrived=found.arrived,
        believed=found.believed,
    )
