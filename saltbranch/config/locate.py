"""Where the machine's configuration is and which root it names: all that a sync asks before its first step.

Imports nothing beyond ``os``: the checked configuration (config/) needs a YAML parser, which
costs more than a whole sync that finds nothing new. A clone one stands in is never asked: what is about
a machine is decided by that machine's own file.
"""

from __future__ import annotations

import os

from saltbranch.base.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

FILE_NAME = "saltbranch.yaml"
SYSTEM_FILE = "/etc/salt/saltbranch.yaml"
ENVIRONMENT_VARIABLE = "SALTBRANCH_CONFIG"

# A line that starts so may hold keys that a look for `root:` overlooks.
_NOT_PLAIN = ("{", '"', "'", "?", "\ufeff", "%", "-")


def named_file(explicit: str | None, environ: Mapping[str, str]) -> str | None:
    """The file that --config or $SALTBRANCH_CONFIG names, in full; None where neither does."""
    named = explicit or environ.get(ENVIRONMENT_VARIABLE)
    try:
        return os.path.abspath(named) if named else None
    except FileNotFoundError as err:
        raise ConfigError(
            f"{named}: the current folder is gone", hint="name the file in full"
        ) from err


def machine_file(explicit: str | None, environ: Mapping[str, str]) -> str:
    """The machine's own file: --config, $SALTBRANCH_CONFIG, /etc/salt. Raises ConfigError when there is none."""
    named = named_file(explicit, environ)
    if named:
        return named
    if os.path.exists(SYSTEM_FILE):
        return SYSTEM_FILE
    raise ConfigError(
        f"no configuration of this machine: neither --config, ${ENVIRONMENT_VARIABLE}, nor {SYSTEM_FILE}",
        hint="write one with: saltbranch init --remote URL",
    )


def new_file(explicit: str | None, environ: Mapping[str, str]) -> str:
    """The same where there may be none yet. Raises ConfigError."""
    return named_file(explicit, environ) or SYSTEM_FILE


def plain_root(path: str) -> str | None:
    """The root that the file `path` names in a plain line ``root: /path``; None when it is not so plain.

    Only a hint where to look for what an earlier sync prepared: that is used only if it was made
    from this very version of this very file.
    """
    root = "/srv/saltbranch"
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                if line[:1] in _NOT_PLAIN:
                    return None
                if not line.startswith("root"):
                    continue
                key, _, value = line.partition(":")
                value = value.split(" #", 1)[0].strip()
                if key.strip() != "root" or value[:1] != "/" or not value.isprintable():
                    return None
                root = value
    except OSError:
        return None
    return os.path.normpath(root)
