"""What stays on a minion when a state is removed: a highstate undoes nothing, but another state may. Pure."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from saltbranch.compiler.model import Chunk

# Of these people expect most that they are undone.
_MADE = (
    "user.present", "group.present", "file.managed", "file.directory", "file.recurse", "file.symlink",
    "file.line", "file.replace", "file.blockreplace", "file.append", "pkg.installed", "pkg.latest",
    "pip.installed", "pkgrepo.managed", "service.running", "service.enabled", "cron.present",
    "host.present", "mount.mounted", "ssh_auth.present", "sysctl.present", "iptables.*", "firewalld.*",
    "mysql_*.*", "postgres_*.*", "docker_*.*", "git.latest", "git.cloned", "archive.extracted",
    "alternatives.*", "locale.*", "timezone.system", "lvm.*", "network.*", "ini.*",
)  # fmt: skip

# Functions of Salt's state modules that undo what others of the same module make (salt/states/*.py).
_UNDOES = re.compile(
    r"(?:.*_)?(?:absent|removed|purged|deleted?|dead|disabled|unmounted|uninstalled|unset|remove|flush)(?:_.*)?"
)
# Functions that make the whole of what others of the same module make.
_REPLACES = {
    "file": {"managed", "symlink", "serialize", "copy", "hardlink", "decode", "tidied"},
    "pkg": {"installed", "latest"},
    "git": {"latest", "cloned"},
}
# What these make is a part of what they name: another one of the same name makes another part.
_PARTS = {"line", "replace", "blockreplace", "append", "prepend", "options_present"}


class Leftovers:
    """What the states of a minion after a change take back or make themselves."""

    def __init__(self, after: Iterable[Chunk]) -> None:
        """after: all states of the new side."""
        self._undone: set[tuple[str, str]] = set()
        self._made: set[tuple[str, str]] = set()
        self._same: set[tuple[str, str]] = set()
        self._gone: list[str] = []
        for chunk in after:
            state, _, function = chunk.module.partition(".")
            for target in _targets(chunk):
                self._same.add((chunk.module, target))
                if _UNDOES.fullmatch(function):
                    self._undone.add((state, target))
                    if state == "file" and function == "absent":
                        self._gone.append(target)
                elif function in _REPLACES.get(state, ()):
                    self._made.add((state, target))

    def stay(self, chunk: Chunk) -> bool:
        """Whether what the removed state `chunk` made stays on the minion, and nothing else makes it."""
        if not any(fnmatch.fnmatchcase(chunk.module, pattern) for pattern in _MADE):
            return False
        if _UNDOES.fullmatch(chunk.module.partition(".")[2]):
            return False
        return not all(self._is_taken_care_of(chunk, target) for target in _targets(chunk))

    def _is_taken_care_of(self, chunk: Chunk, target: str) -> bool:
        state, _, function = chunk.module.partition(".")
        if (state, target) in self._undone or (state, target) in self._made:
            return True
        if (chunk.module, target) in self._same and function not in _PARTS:
            return True
        return state == "file" and any(_is_below(target, folder) for folder in self._gone)


def _targets(chunk: Chunk) -> Sequence[str]:
    """What a state is about: its packages, else its name, which may be masked."""
    packages = chunk.arguments.get("pkgs")
    if isinstance(packages, list) and packages:
        # ``pkgs: [{vim: '2:8.2'}]`` names a version besides.
        named = [next(iter(p)) if isinstance(p, Mapping) and p else p for p in packages]
        return [_plain(name) for name in named]
    name = chunk.arguments.get("name")
    return [_plain(chunk.key.rpartition(" | ")[0] if name is None else name)]


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _is_below(path: str, folder: str) -> bool:
    return path.startswith("/") and path.startswith(f"{folder.rstrip('/')}/")
