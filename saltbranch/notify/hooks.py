"""Programs of the administrator that are told, as JSON on stdin, what is going to happen or has happened."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from saltbranch.base import proc
from saltbranch.base.errors import SaltbranchError
from saltbranch.config.gates import split_command
from saltbranch.config.model import Config
from saltbranch.config.notify import HOOKS
from saltbranch.git.program import environment, indent, mask


def configured(
    config: Config, names: Sequence[str] = ("before_promote", "after_promote")
) -> list[tuple[str, tuple[str, ...]]]:
    """The hooks of the model among `names`: name and words. Raises ConfigError."""
    given = [(name, getattr(config.hooks, name)) for name in names]
    place = config.source.place
    return [
        (name, split_command(value, f"{place}: hooks.{name}")) for name, value in given if value
    ]


def that_may_run(config: Config) -> dict[str, tuple[str, ...]]:
    """Those of masters that the machine's file lists among its programs. Raises ConfigError."""
    return {name: argv for name, argv in configured(config, list(HOOKS)) if argv in config.programs}


def run(
    argv: Sequence[str], payload: Mapping[str, Any], *, timeout: float
) -> tuple[bool | None, str]:
    """Run `argv` with `payload` as JSON on its stdin: whether it ended with 0, and the last lines that it said.

    None where it did not say: it could not be started, or did not end in time.

    timeout: seconds. It runs without a shell, without the GIT_* variables of the caller, and in ``/``: a relative
    path among its words would be that of whatever branch is checked out where the person stands.
    """
    env = environment(os.environ)
    text = json.dumps(payload, sort_keys=True)
    try:
        done = proc.run(
            argv, env, timeout=timeout, stdin=text.encode("utf-8", "replace"), folder="/"
        )
    except SaltbranchError as err:
        return None, err.message
    said = mask("\n".join([*done.text.splitlines(), *done.complaint.splitlines()][-10:]))
    shown = "".join(c if c.isprintable() or c == "\n" else "?" for c in said)
    if done.timed_out:
        return None, f"no end after {timeout:g} s\n{indent(shown)}".rstrip()
    if done.code != 0:
        return False, f"it ended with {done.code}\n{indent(shown)}".rstrip()
    return True, shown.strip()
