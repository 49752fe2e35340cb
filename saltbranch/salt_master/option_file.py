"""The option file that saltbranch writes for the salt-master, made for what the master's other files say."""

from __future__ import annotations

from typing import Any

from saltbranch import masterconf, saltconf
from saltbranch.config.model import Config


def wanted(config: Config) -> str:
    """The text that the file should have."""
    return masterconf.render(config, beside(config))


def beside(config: Config) -> dict[str, Any]:
    """The options that Salt would have without that file."""
    return saltconf.effective(config.salt_config, saltconf.MASTER_INCLUDE, config.master_config)
