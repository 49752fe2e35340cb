"""Where the configuration file is and which root it names: all that a sync asks before its first step.

Imports nothing beyond ``os``: the checked configuration (config.py) needs a YAML parser, which
costs more than a whole sync that finds nothing new.
"""

from __future__ import annotations

import os

from saltbranch.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

FILE_NAME = "saltbranch.yaml"
SYSTEM_FILE = "/etc/salt/saltbranch.yaml"
ENVIRONMENT_VARIABLE = "SALTBRANCH_CONFIG"

# A line that starts so may hold keys that a look for `root:` overlooks.
_NOT_PLAIN = ("{", '"', "'", "?", "\ufeff", "%", "-")


def find(explicit: str | None, environ: Mapping[str, str], cwd: str) -> str:
    """The file to use: --config, $SALTBRANCH_CONFIG, the root of the clone around `cwd`, /etc/salt.

    Raises ConfigError when there is none.
    """
    named = explicit or environ.get(ENVIRONMENT_VARIABLE)
    if named:
        return os.path.abspath(os.path.join(cwd, named))
    clone = clone_root(cwd)
    if clone and os.path.exists(f"{clone}/{FILE_NAME}"):
        return f"{clone}/{FILE_NAME}"
    if os.path.exists(SYSTEM_FILE):
        return SYSTEM_FILE
    raise ConfigError(
        f"no configuration: neither --config, ${ENVIRONMENT_VARIABLE}, a {FILE_NAME} at the root of the"
        f" clone around {cwd}, nor {SYSTEM_FILE}",
        hint="write one with: saltbranch init --remote URL",
    )


def clone_root(cwd: str) -> str | None:
    """The root of the git work tree that `cwd` stands in."""
    folder = os.path.abspath(cwd)
    while not os.path.exists(f"{folder}/.git"):
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent
    return folder


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
