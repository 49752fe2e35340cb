"""What of a machine decides how git writes files, beside what is committed (gitattributes(5), git-config(1))."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from saltbranch.compiler.model import digest
from saltbranch.git.program import Git

_SETTINGS = r"^(filter\..*|core\.(autocrlf|eol|attributesfile))$"
_SYSTEM = "/etc/gitattributes"


@dataclass(frozen=True, slots=True)
class Machine:
    """meaning: stands for all of it. always: whether it changes files without any .gitattributes.
    has_filters: whether programs are set that files may go through.
    """

    meaning: str
    always: bool
    has_filters: bool


def machine_of(git: Git) -> Machine:
    """What git would mind now in the repository of `git`. Raises nothing."""
    settings: dict[str, str] = {}
    for item in git.run("config", "-z", "--get-regexp", _SETTINGS).text.split("\0"):
        name, _, value = item.partition("\n")
        if name:
            settings[name] = value
    own = git.run("rev-parse", "--path-format=absolute", "--git-path", "info/attributes")
    home = git.env.get("XDG_CONFIG_HOME") or f"{git.env.get('HOME', '')}/.config"
    general = settings.get("core.attributesfile") or f"{home}/git/attributes"
    texts = [_text(path) for path in (own.text.strip(), os.path.expanduser(general), _SYSTEM)]
    programs = [name for name in settings if name.endswith((".smudge", ".process"))]
    # `input` changes only what is committed, and `eol` nothing without an attribute.
    ends = settings.get("core.autocrlf", "true").lower() if "core.autocrlf" in settings else ""
    always = any(text.strip() for text in texts) or ends not in (
        "",
        "input",
        "false",
        "no",
        "off",
        "0",
    )
    return Machine(digest([settings, texts]), always, bool(programs))


def _text(path: str) -> str:
    with (
        contextlib.suppress(OSError, ValueError),
        open(path, encoding="utf-8", errors="replace") as file,
    ):
        return file.read()
    return ""


def has_below(paths: Iterable[str], path: str) -> bool:
    """Whether `path` is one of `paths`, or a folder above one."""
    begin = f"{path}/"
    return any(p == path or p.startswith(begin) for p in paths)


def digest_of(path: str) -> str:
    """The SHA-256 of a file; ``missing`` where it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return "missing"


def folders_above(path: str) -> Iterator[str]:
    """The folders that `path` is in, from the repository's own, which is ""."""
    yield ""
    for at, sign in enumerate(path):
        if sign == "/":
            yield path[:at]
