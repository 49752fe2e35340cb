"""The clone that a folder of somebody else lies in: which remote, branch and commit it has.

Its files are only read. git itself is not run in there, since a repository's own configuration may name programs.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from saltbranch.base import files, proc
from saltbranch.git.program import environment

_REF = re.compile(r"ref: refs/heads/(\S+)")
_HASH = re.compile(r"[0-9a-f]{40,64}")


@dataclass(frozen=True, slots=True)
class Foreign:
    """folder: its top. url: of the remote origin, empty without one. branch: empty where HEAD is detached.

    commit: empty where it cannot be told.
    """

    folder: str
    url: str
    branch: str
    commit: str


def read(path: str) -> Foreign | None:
    """The clone that `path` is in; None where it is in none. Raises OSError where it may not be read."""
    folder = os.path.realpath(path)
    while not os.path.lexists(f"{folder}/.git"):
        if folder == "/":
            return None
        folder = os.path.dirname(folder)
    git_dir = _pointed(f"{folder}/.git", "gitdir: ") or f"{folder}/.git"
    common = _pointed(f"{git_dir}/commondir", "") or git_dir
    head = _line(f"{git_dir}/HEAD")
    found = _REF.fullmatch(head)
    branch = found[1] if found else ""
    commit = _commit(common, branch) if branch else head
    return Foreign(folder, _url(common), branch, commit if _HASH.fullmatch(commit) else "")


def _pointed(path: str, prefix: str) -> str:
    """The folder that the file `path` names; empty where it is no such file."""
    if not os.path.isfile(path):
        return ""
    line = _line(path)
    if not line.startswith(prefix):
        return ""
    return os.path.normpath(os.path.join(os.path.dirname(path), line[len(prefix) :]))


def _commit(common: str, branch: str) -> str:
    if loose := _line(f"{common}/refs/heads/{branch}"):
        return loose
    packed = (files.read_or_none(f"{common}/packed-refs") or b"").decode("utf-8", "replace")
    for line in packed.splitlines():
        commit, _, name = line.partition(" ")
        if name == f"refs/heads/{branch}":
            return commit
    return ""


def _line(path: str) -> str:
    data = files.read_or_none(path) if os.path.isfile(path) else b""
    return (data or b"")[:4096].decode("utf-8", "replace").strip()


def _url(common: str) -> str:
    if not os.path.isfile(f"{common}/config"):
        return ""
    argv = ["git", "config", "--no-includes", "--file", f"{common}/config"]
    argv += ["--get", "remote.origin.url"]
    return proc.run(argv, environment(os.environ), timeout=60, folder="/").text.strip()
