"""The gate `window` as configured: at which times something may be promoted. promote/windows.py judges by it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from saltbranch.base.durations import parse_duration
from saltbranch.base.errors import ConfigError, UsageError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LONG = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
# Not compiled where nobody writes a window: it takes longer than all else here.
_CLOCK = r"([0-9]{2}):([0-9]{2})-([0-9]{2}):([0-9]{2})"
_ZONE = r"[A-Za-z0-9_+-]{1,40}(/[A-Za-z0-9_+-]{1,40}){0,2}"
# croniter knows more than crontab(5) does, chance among it.
_FIELD = r"(?:[0-9*/,-]|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|mon|tue|wed|thu|fri|sat|sun){1,100}"
_CRON = rf"\s*{_FIELD}(?:\s+{_FIELD}){{4}}\s*"
_LONGEST = 31 * 86400
_DAY = 24 * 60
_EXAMPLE = "for example 'mon-fri 09:00-17:00', 'sat,sun', or {cron: '0 22 * * sun', for: 4h}"


# As they stand in the file


class CronModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When something begins, in the words of crontab(5), and how long it lasts."""

    cron: str
    for_: str = msgspec.field(name="for")


class WindowRuleModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When promotions are allowed and when not, by the clocks of `zone`."""

    allow: list[str | CronModel] | UnsetType = UNSET
    deny: list[str | CronModel] | UnsetType = UNSET
    zone: str | UnsetType = UNSET


class WindowModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The gate `window`."""

    window: WindowRuleModel


# As they are asked


class ClockRange(msgspec.Struct, frozen=True, tag=True):
    """A time of day on some days of the week, as a clock on the wall shows it.

    days: 0 is monday. start, end: minutes since midnight; an end after 1440 is on the day after.
    """

    text: str
    days: tuple[int, ...]
    start: int
    end: int


class CronRange(msgspec.Struct, frozen=True, tag=True):
    """`seconds` long from each moment that `expression` (crontab(5), five fields) names."""

    text: str
    expression: str
    seconds: float


Range = ClockRange | CronRange


def parse_rule(value: Any, where: str) -> tuple[tuple[Range, ...], tuple[Range, ...], str]:
    """What is allowed, what is denied, and the time zone's name. Raises ConfigError naming `where`."""
    known = [f.encode_name for f in msgspec.structs.fields(WindowRuleModel)]
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: {value!r} is not a mapping", hint="{allow: [...], zone: UTC}")
    for key in value:
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}", hint=f"known: {', '.join(known)}")
    allow = _ranges(value.get("allow", []), f"{where}: allow")
    deny = _ranges(value.get("deny", []), f"{where}: deny")
    if not allow and not deny:
        raise ConfigError(f"{where}: neither allow nor deny names a time", hint=_EXAMPLE)
    zone = value.get("zone", "UTC")
    if not isinstance(zone, str) or not re.fullmatch(_ZONE, zone):
        raise ConfigError(f"{where}: zone: {zone!r} is not a time zone", hint="Europe/Berlin, UTC")
    return allow, deny, zone


def _ranges(value: Any, where: str) -> tuple[Range, ...]:
    if not isinstance(value, list):
        raise ConfigError(f"{where}: {value!r} is not a list", hint=_EXAMPLE)
    return tuple(_range(entry, where) for entry in value)


def _range(entry: Any, where: str) -> Range:
    if isinstance(entry, dict) and set(entry) == {"cron", "for"}:
        return _cron(entry, where)
    if isinstance(entry, str):
        return _clock_range(entry, where)
    raise ConfigError(f"{where}: {entry!r} is not a time", hint=_EXAMPLE)


def _clock_range(text: str, where: str) -> ClockRange:
    words = text.lower().split()
    clock = re.fullmatch(_CLOCK, words[-1]) if words else None
    rest = words[:-1] if clock else words
    if not words or len(rest) > 1:
        raise ConfigError(f"{where}: {text!r} is not a time", hint=_EXAMPLE)
    days = _days(rest[0], text, where) if rest else tuple(range(7))
    start, end = 0, _DAY
    if clock:
        hours = [int(group) for group in clock.groups()]
        start, end = hours[0] * 60 + hours[1], hours[2] * 60 + hours[3]
        if hours[1] > 59 or hours[3] > 59 or start >= _DAY or end > _DAY or start == end:
            raise ConfigError(
                f"{where}: {text!r} is not a time of day", hint="from 00:00-00:01 to 00:00-24:00"
            )
        end += _DAY if end < start else 0
    return ClockRange(text, days, start, end)


def _days(word: str, text: str, where: str) -> tuple[int, ...]:
    found: set[int] = set()
    for part in word.split(","):
        ends = [_day(name) for name in part.split("-")]
        if len(ends) > 2 or None in ends:
            raise ConfigError(f"{where}: {text!r}: {part!r} is not a day", hint=_EXAMPLE)
        first, last = ends[0] or 0, ends[-1] or 0
        found.update((first + n) % 7 for n in range((last - first) % 7 + 1))
    return tuple(sorted(found))


def _day(name: str) -> int | None:
    for names in (DAYS, _LONG):
        if name in names:
            return names.index(name)
    return None


def _cron(entry: Mapping[str, Any], where: str) -> CronRange:
    expression, length = entry["cron"], entry["for"]
    if not isinstance(expression, str) or not re.fullmatch(_CRON, expression.lower()):
        raise ConfigError(
            f"{where}: cron: {expression!r} does not have the five fields of crontab(5)",
            hint="minute, hour, day of the month, month, day of the week: '0 22 * * sun'",
        )
    try:
        seconds = parse_duration(str(length), f"{where}: for")
    except UsageError as err:
        raise ConfigError(err.message, hint=err.hint) from err
    if not 60 <= seconds <= _LONGEST:
        raise ConfigError(f"{where}: for: {length!r} is not between 1m and 31d", hint="change it")
    from croniter import croniter  # only where somebody writes one

    try:
        croniter(expression, datetime(2024, 1, 1)).get_next()
    except ValueError as err:
        raise ConfigError(f"{where}: cron: {expression!r}: {err}", hint="see crontab(5)") from err
    return CronRange(f"{expression} for {length}", expression, seconds)


def texts(ranges: Sequence[Range]) -> str:
    """How people wrote them."""
    return ", ".join(repr(r.text) for r in ranges)
