"""What a salt-master's options and its files of options become when it is moved over to saltbranch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from saltbranch.base import files
from saltbranch.base.errors import RefusedError
from saltbranch.config.model import Config
from saltbranch.salt_master import config_file, option_edits, option_file, option_files

_TAKEN_OUT = ("file_roots", "pillar_roots", "gitfs_remotes")
_GITFS = ("git", "gitfs")


def remaining(opts: Mapping[str, Any]) -> dict[str, Any]:
    """What stays of options that name gitfs and git_pillar among others; None for Salt's default."""
    value = opts.get("fileserver_backend") or ["roots"]
    listed = value.split(",") if isinstance(value, str) else list(value)
    backends = [name for name in listed if name not in _GITFS]
    if not {"roots", "file_roots"} & set(backends):
        backends.insert(0, "roots")
    pillars = []
    for entry in opts.get("ext_pillar") or ():
        if isinstance(entry, Mapping):
            kept = {kind: value for kind, value in entry.items() if kind != "git"}
            pillars += [kept] if kept else []
        else:
            pillars.append(entry)
    return {
        "fileserver_backend": None if backends == ["roots"] else backends,
        "ext_pillar": pillars or None,
    }


def our_text(config: Config) -> str:
    """The option file that saltbranch writes once the others are edited."""
    beside = option_file.beside(config)
    left = {k: v for k, v in beside.items() if k not in _TAKEN_OUT}
    for name, value in remaining(beside).items():
        left.pop(name, None)
        if value is not None:
            left[name] = value
    return config_file.render(config, left)


def changes(config: Config) -> dict[str, Any]:
    """The options that are other ones afterwards."""
    ours = yaml.safe_load(our_text(config))
    stay = remaining(option_file.beside(config))
    return {
        **ours,
        "fileserver_backend": stay["fileserver_backend"] or ["roots"],
        "ext_pillar": stay["ext_pillar"] or [],
    }


def edits(config: Config) -> dict[str, str]:
    """Path to new text of each of the master's files that has to change; that of saltbranch is not among them.

    Raises RefusedError where a file cannot be read, or not be edited line by line.
    """
    stay = remaining(option_file.beside(config))
    found: dict[str, str] = {}
    written: set[str] = set()
    for file in option_files.read(config.salt_config, option_files.MASTER_INCLUDE):
        text = (files.read_or_none(file.path) or b"").decode("utf-8", "replace")
        if config_file.is_ours(text) or file.path in found:
            continue
        if file.problem:
            raise RefusedError(
                f"{file.path}: {file.problem}, so it is unknown what it has to do with the master's roots",
                hint="fix that file, and see that this user can read it",
            )
        taken: dict[str, Any] = dict.fromkeys(name for name in _TAKEN_OUT if name in file.options)
        for name, value in stay.items():
            if name in file.options and file.options[name] != value:
                taken[name] = None if name in written else value
                written.add(name)
        for name, value in config_file.OPTIONS.items():
            if name in file.options and file.options[name] != value:
                taken[name] = None
        new = option_edits.without(text, file.path, taken)
        if new != text:
            found[file.path] = new
    return found
