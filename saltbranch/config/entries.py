"""Entries of a list in the model that are of several kinds, told apart by one key: each becomes a checked value."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from saltbranch.base.durations import parse_duration
from saltbranch.base.errors import ConfigError, UsageError
from saltbranch.base.text import nearest

MINION = "{minion}"
"""What stands for a minion's id, once for each."""
_FUNCTION = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\.[A-Za-z_][A-Za-z0-9_]{0,63}")
_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?")
_LARGEST = 10_000  # characters of arguments, as JSON
LONGEST = 3600.0
"""Seconds of a time-out at most."""

Arguments = Annotated[list[Any], msgspec.Meta(description="what the function is called with")]
Keywords = Annotated[dict[str, Any], msgspec.Meta(description="and by name")]
Timeout = Annotated[str, msgspec.Meta(description="such as `30s`; an hour at most")]


def fits(minion: str) -> bool:
    """Whether an id may stand in an address or an argument.

    An accepted key may have nearly any id: `web1@other`, `a:80#`, `x=y` would lead elsewhere or be read as more.
    """
    return _ID.fullmatch(minion) is not None


def fitted(
    entry: Any, kinds: Mapping[str, type[msgspec.Struct]], where: str, noun: str
) -> tuple[str, Any]:
    """The key that says of which kind `entry` is, and the entry as the struct of that kind.

    Raises ConfigError naming `where` and the key, and no value: an address may hold a secret.
    """
    if isinstance(entry, dict):  # YAML 1.1 reads an unquoted `on:` as true
        entry = {"on" if key is True else key: value for key, value in entry.items()}
    named = [key for key in kinds if isinstance(entry, dict) and key in entry]
    if len(named) != 1:
        raise ConfigError(
            f"{where}: not {noun}", hint=f"a mapping with one of the keys {', '.join(kinds)}"
        )
    model = kinds[named[0]]
    known = [f.encode_name for f in msgspec.structs.fields(model)]
    for key in entry:
        if key not in known:
            hint = nearest(str(key), known) or f"known ones: {', '.join(known)}"
            raise ConfigError(f"{where}: unknown key {str(key)[:60]!r}", hint=hint)
    try:
        return named[0], msgspec.convert(entry, model)
    except msgspec.ValidationError as err:
        message, _, place = str(err).partition(" - at `$.")
        key = f"{place.rstrip('`')}: " if place else ""
        raise ConfigError(
            f"{where}: {key}{message[0].lower()}{message[1:]}", hint="fix that key"
        ) from err


def function_of(name: str, where: str) -> str:
    """The name of a function of Salt's. Raises ConfigError."""
    if not _FUNCTION.fullmatch(name):
        raise ConfigError(
            f"{where}: {name[:60]!r} is not a function of Salt's", hint="for example service.status"
        )
    return name


def plain(value: Any, where: str) -> str:
    """`value` as JSON, by which it can be compared and kept. Raises ConfigError for what JSON has no word for."""
    try:
        text = json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as err:
        raise ConfigError(
            f"{where}: not plain data", hint="texts, numbers, lists and mappings; dates want quotes"
        ) from err
    if len(text) > _LARGEST:
        raise ConfigError(f"{where}: {len(text)} characters", hint=f"at most {_LARGEST}")
    return text


def seconds(text: str, where: str) -> float:
    """A time-out, in seconds. Raises ConfigError."""
    try:
        found = parse_duration(text, where)
    except UsageError as err:
        raise ConfigError(err.message, hint=err.hint) from err
    if not 0 < found <= LONGEST:
        raise ConfigError(f"{where}: {text} is not from 1s to 1h", hint="for example 30s")
    return found


class Call(msgspec.Struct, frozen=True):
    """A function with its arguments, these as JSON."""

    function: str
    args: str = "[]"
    kwargs: str = "{}"

    def arguments(self, minion: str = "") -> tuple[list[Any], dict[str, Any]]:
        """The arguments, the id `minion` put in where `{minion}` stands in a text."""
        args, kwargs = json.loads(self.args), json.loads(self.kwargs)
        return (_put(args, minion), _put(kwargs, minion)) if minion else (args, kwargs)

    @property
    def names_minion(self) -> bool:
        """Whether it is a call for each minion."""
        return MINION in self.args or MINION in self.kwargs

    @property
    def shown(self) -> str:
        """For people: the function, and its arguments where these are words only."""
        args = json.loads(self.args)
        words = [a for a in args if isinstance(a, str) and re.fullmatch(r"[\w.@{}-]{1,40}", a)]
        is_plain = len(words) == len(args) and self.kwargs == "{}"
        return " ".join([self.function, *words]) if is_plain else self.function


def call_of(function: str, args: list[Any], kwargs: dict[str, Any], where: str, key: str) -> Call:
    """A call, checked. key: the one that names the function. Raises ConfigError."""
    return Call(
        function_of(function, f"{where}: {key}"),
        plain(args, f"{where}: args"),
        plain(kwargs, f"{where}: kwargs"),
    )


def _put(value: Any, minion: str) -> Any:
    if isinstance(value, str):
        return value.replace(MINION, minion)
    if isinstance(value, list):
        return [_put(one, minion) for one in value]
    if isinstance(value, dict):
        return {key: _put(one, minion) for key, one in value.items()}
    return value
