"""Answers that were recorded of a minion: how a call is written as a key of `returns`, and found there."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

# Jinja's cmd.run is cmd.shell (salt/utils/templates.py, AliasedLoader); people write cmd.run.
_ALIASES = {"cmd.shell": "cmd.run"}


def recorded(
    returns: Mapping[str, Any], function: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[bool, Any]:
    """Whether `returns` answers this call, and what it says; with the arguments goes first."""
    for name in (function, _ALIASES.get(function, function)):
        for key in (call(name, args, kwargs), call(name, args, {}), name):
            if key in returns:
                return True, json.loads(json.dumps(returns[key]))
    return False, None


def answers(returns: Mapping[str, Any], function: str) -> bool:
    """Whether `returns` speaks of `function` at all."""
    names = {function, _ALIASES.get(function, function)}
    return any(key.partition("(")[0] in names for key in returns)


def call(function: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """The key of a call in `returns`: ``fun("arg", 1, key=true)``, arguments as JSON."""
    words = [json.dumps(arg, default=str) for arg in args]
    words += [
        f"{k}={json.dumps(v, default=str)}" for k, v in sorted(kwargs.items()) if k[:2] != "__"
    ]
    return f"{function}({', '.join(words)})"


_NAME = re.compile(r"([A-Za-z_]\w*)=")


def parsed(text: str) -> tuple[str, list[Any], dict[str, Any]] | None:
    """Function, arguments and named arguments of a call that `call` wrote down; None for anything else."""
    function, bracket, rest = text.partition("(")
    if not bracket or not rest.endswith(")"):
        return None
    rest, args, kwargs = rest[:-1], [], {}
    while rest:
        name = _NAME.match(rest)
        try:
            value, end = json.JSONDecoder().raw_decode(rest, name.end() if name else 0)
        except ValueError:
            return None
        if name:
            kwargs[name[1]] = value
        else:
            args.append(value)
        if rest[end:] and not rest.startswith(", ", end):
            return None
        rest = rest[end + 2 :]
    return function, args, kwargs
