"""Single values of the configuration that are checked the same way wherever they stand."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from saltbranch.base.errors import ConfigError
from saltbranch.config import labs
from saltbranch.git import address as addresses
from saltbranch.git.address import BadAddress


def check_remote(remote: str, path: str) -> None:
    """Refuse a URL that git would take for an option or a command. Raises ConfigError."""
    if remote.startswith("-") or any(ord(c) < 32 or ord(c) == 127 for c in remote):
        raise ConfigError(
            f"{path}: remote starts with '-' or holds a control character",
            hint="write a URL such as git@git.example.com:ops/salt.git",
        )
    if re.match(r"[A-Za-z0-9+.-]+::", remote):
        raise ConfigError(
            f"{path}: remote names a git remote helper ({remote.split('::')[0]}::), which may run commands",
            hint="use ssh, https, git or a path",
        )


def check_submodules(entries: Sequence[str], path: str) -> None:
    """Refuse what is no URL, or would let in everything. Raises ConfigError."""
    for number, entry in enumerate(entries, 1):
        try:
            address = addresses.parse(entry)
            if address.scheme == "file" and not address.path:
                raise BadAddress("it is every path of this machine")
        except BadAddress as err:
            raise ConfigError(
                f"{path}: submodules: entry {number} is not a place that submodules may come from: {err}",
                hint="for example https://git.example.com/formulas or git@git.example.com:ops",
            ) from err


def no_branch(key: str, branch: str, problem: str, path: str) -> ConfigError:
    """What is said of the name `branch` at `key`; `problem`: what git has against it."""
    shown = branch if len(branch) <= 300 else f"{branch[:300]}..."
    return ConfigError(
        f"{path}: {key}: {shown!r} is not a branch: {problem}",
        hint="write it as `git branch` shows it in a clone",
    )


def check_path(key: str, value: str, path: str) -> None:
    """Refuse what is not an absolute path of a folder or file below /. Raises ConfigError."""
    if not value.startswith("/") or ".." in value.split("/") or any(ord(c) < 32 for c in value):
        raise ConfigError(
            f"{path}: {key}: {value!r} is not an absolute path without '..'",
            hint=f"write it in full, for example {key}: /srv/saltbranch",
        )
    if os.path.normpath(value) == "/":
        raise ConfigError(f"{path}: {key} cannot be /", hint="name a folder below it")


def inside(key: str, value: str, path: str) -> str:
    """`value` as a path below the repository's root, in its plain spelling. Raises ConfigError."""
    parts = PurePosixPath(value).parts
    if not parts or value.startswith("/") or ".." in parts or any(ord(c) < 32 for c in value):
        hint = f"for example {key}: {'pillar' if key == 'pillar_dir' else 'salt'}"
        if not parts and key in ("states_dir", "pillar_dir"):
            hint += f", or {key}: [{{.: ['*']}}] for what lies at its root"
        raise ConfigError(
            f"{path}: {key}: {value!r} is not a folder inside the repository",
            hint=hint,
        )
    return "/".join(parts)


def check_labs(count: int, auto: str | None, pillar: str, path: str) -> None:
    """Refuse what a machine's file cannot say of labs. Raises ConfigError."""
    if not 0 <= count <= labs.MOST:
        raise ConfigError(
            f"{path}: labs: {count} is not from 0 to {labs.MOST}", hint="for example labs: 4"
        )
    if auto is not None and (not auto or not auto.isprintable() or len(auto) > 250):
        raise ConfigError(
            f"{path}: lab_auto: {auto[:300]!r} is not a glob of branches",
            hint="for example lab_auto: 'feature/*'",
        )
    if pillar not in labs.PILLARS:
        known = ", ".join(labs.PILLARS)
        raise ConfigError(f"{path}: lab_pillar: {pillar!r} is unknown", hint=f"known ones: {known}")
