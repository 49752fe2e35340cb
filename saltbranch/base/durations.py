"""Lengths and points of time as people write them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

from saltbranch.base.errors import UsageError

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]+)\s*")

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_CLOCK = re.compile(
    r"(?:(today|tomorrow|(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?)\b)?"
    r"\s*(?:at\s+)?(?:([0-9]{1,2})(?::([0-9]{2}))?\s*(am|pm)?|(noon|midnight))?"
)

_LATEST = 253_402_300_799  # the end of the year 9999, as far as datetime counts


def parse_duration(text: str, where: str) -> float:
    """Seconds: `90s`, `30m`, `2h`, `1d 12h`. Raises UsageError naming `where`."""
    rest, seconds = text.strip().lower(), 0.0
    while found := _PART.match(rest):
        if found[2] not in _UNITS:
            break
        seconds += float(found[1]) * _UNITS[found[2]]
        rest = rest[found.end() :]
    if rest or not text.strip():
        raise UsageError(
            f"{where}: {text!r} is not a length of time",
            hint="for example 90s, 30m, 2h, 1d or 1d12h",
        )
    return seconds


def parse_until(text: str, now: float) -> float:
    """Seconds since 1970: a length from `now` on (`2h`), a day and a time of day (`tomorrow 8am`, `fri 18:00`,
    `17:30`), or a date and time (ISO 8601); local without a zone.

    Raises UsageError, also for a time that has passed.
    """
    try:
        moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError, OSError):
        named = _named_moment(text, now)
        try:
            moment = now + parse_duration(text, "--until") if named is None else named
        except UsageError as err:
            raise UsageError(
                f"--until: {text!r} is not a time",
                hint="for example 2h, 1d12h, 17:30, tomorrow 8am, fri 18:00 or 2026-12-24T18:00",
            ) from err
    if moment > _LATEST:
        raise UsageError(f"--until {text}: that is too far in the future", hint="leave it out")
    if moment <= now:
        raise UsageError(f"--until {text}: that has passed", hint="name a later time, or none")
    return moment


def _named_moment(text: str, now: float) -> float | None:
    """The next `tomorrow 8am`, `friday 18:00`, `noon`; None where `text` is none. A day alone means its begin."""
    found = _CLOCK.fullmatch(text.strip().lower())
    if found is None or not any(found.groups()):
        return None
    day, hours, minutes, half, word = found.groups()
    if hours and not (minutes or half):
        return None  # "8" could be anything
    hour, minute = int(hours or 0), int(minutes or 0)
    if minute > 59 or hour > (12 if half else 23) or (half and not hour):
        return None
    if half:
        hour = hour % 12 + (12 if half == "pm" else 0)
    midnight = datetime.fromtimestamp(now).replace(minute=0, second=0, microsecond=0, hour=0)
    moment = midnight.replace(hour=12 if word == "noon" else hour, minute=minute)
    if day == "tomorrow" or (word == "midnight" and not day):
        return (moment + timedelta(days=1)).timestamp()
    if day and day != "today":
        ahead = (
            next(n for n, name in enumerate(_DAYS) if name.startswith(day[:3])) - moment.weekday()
        )
        moment += timedelta(days=ahead % 7)
        return (moment if moment.timestamp() > now else moment + timedelta(days=7)).timestamp()
    if not day and moment.timestamp() <= now:
        moment += timedelta(days=1)
    return moment.timestamp()


def parse_since(text: str, now: float) -> float:
    """Seconds since 1970: a length before `now` (`2d`), or a date and time (ISO 8601; local without a zone).

    Raises UsageError.
    """
    try:
        return datetime.fromisoformat(text.strip().replace("Z", "+00:00")).timestamp()
    except (ValueError, OverflowError, OSError):
        return now - parse_duration(text, "--since")


def iso(seconds: float) -> str:
    """`seconds` since 1970 as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(int(seconds), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def local_time(seconds: float) -> str:
    """`seconds` since 1970 by the clock of this machine, with its zone: Sun 2026-11-29 20:30 CET."""
    return f"{datetime.fromtimestamp(seconds).astimezone():%a %Y-%m-%d %H:%M %Z}"


def when_passing(moment: float, now: float) -> str:
    """When something passes that lies ahead, for people: how long it takes, and the time."""
    return f"passes in {shown_duration(moment - now)}, {local_time(moment)}"


def from_iso(text: str) -> float:
    """Seconds since 1970, of a time that `iso` can write: not before 1970, nor after 9999. Raises ValueError."""
    seconds = datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    # By its zone a time of the year 9999 may be one of 10000, in UTC.
    if not 0 <= seconds < _LATEST + 1:
        raise ValueError(f"not a time from 1970 to 9999: {text!r}")
    return seconds


def shown_duration(seconds: float) -> str:
    """A length of time for people: 40 s, 5 min, 1 h 30 min, 2 d."""
    seconds = max(0, round(seconds))
    if seconds < 90:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{round(hours / 24)} d"


def ago(seconds: float) -> str:
    """A length of time as people say it: 40 s, 5 min, 3 h, 2 d."""
    for unit, size, limit in (("s", 1, 90), ("min", 60, 5400), ("h", 3600, 48 * 3600)):
        if seconds < limit:
            return f"{max(0, seconds) / size:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"
