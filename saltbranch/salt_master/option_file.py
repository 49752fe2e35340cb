"""The option file that saltbranch writes for the salt-master, made for what the master's other files say."""

from __future__ import annotations

from typing import Any

from saltbranch.config.model import Config
from saltbranch.salt_master import config_file, option_files


def wanted(config: Config) -> str:
    """The text that the file should have."""
    return config_file.render(config, beside(config))


def beside(config: Config) -> dict[str, Any]:
    """The options that Salt would have without that file."""
    return option_files.effective(
        config.salt_config, option_files.MASTER_INCLUDE, config.master_config
    )
