"""The gate `window`: whether promotions are allowed at a time, and when they will be.

A range of the clock (`mon-fri 09:00-17:00`) is open while a clock on the wall of its zone shows such a time: an hour
that comes twice counts twice, one that is left out never comes. A cron expression begins when such a clock shows the
time, or goes past it where it is left out, and lasts for a length of time, whatever clocks do in it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone, tzinfo
from math import inf

from saltbranch.config.gates import WindowGate, parse_gates
from saltbranch.config.keys import FileModel
from saltbranch.config.windows import ClockRange, CronRange, Range
from saltbranch.promote.gates import CANNOT_TELL, FAIL, PASS, GateResult

_DAY = 86400
_HORIZON = (
    9 * 366 * _DAY
)  # seconds; as far as an opening is looked for: a 29 February may be eight years away
_FAR = 8 * _DAY  # an end that is farther away need not be known
_MOST = 10_000  # changes that are looked at
_MOST_SPANS = 30_000  # more begin within a year only where something begins every few minutes

Span = tuple[float, float]
"""From and to, in seconds since 1970; the end is not part of it."""


def window_gate(gate: WindowGate, now: float) -> GateResult:
    """Whether `gate` is open at `now`, in seconds since 1970, and else when it opens."""
    zone = zone_of(gate.zone)
    if zone is None:
        return GateResult("window", CANNOT_TELL, zone_problem(gate.zone))
    is_open, change = _look(gate, zone, now)

    def opens_after(moment: float) -> float | None:
        there, opens = _look(gate, zone, moment)
        return moment if there else opens

    if is_open:
        ends = f" until {_shown(change, zone)}" if change and change - now < _FAR else ""
        found = GateResult("window", PASS, f"open{ends} ({gate.zone})")
    else:
        why = next((f"denied by {r.text!r}" for r in gate.deny if covers(r, zone, now)), "")
        opens = (
            f"opens {_shown(change, zone)}" if change else "no opening is found within nine years"
        )
        reason = f"{why or 'no window is open'}; {opens} ({gate.zone})"
        found = GateResult("window", FAIL, reason, change)
    return GateResult(
        found.name, found.verdict, found.reason, found.passes_at, opens_after=opens_after
    )


def zone_of(name: str) -> tzinfo | None:
    """The time zone; None where this machine has no such one."""
    if name == "UTC":
        return timezone.utc
    import zoneinfo  # which few repositories need

    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return None


def zone_problem(name: str) -> str:
    """What to do about a zone that `zone_of` does not find."""
    return (
        f"this machine knows no time zone {name!r}: correct its name, or install the system's tzdata"
        " (or Python's, with pip install tzdata)"
    )


def unknown_zone(model: FileModel) -> str:
    """What is wrong with a zone that `model` names; empty where this machine knows them all.

    Asked of what is to be merged only: a model that is in force counts on every machine, whatever its tzdata is.
    """
    for name, saltenv in (model.saltenvs or {}).items():
        for gate in parse_gates(saltenv.gates, name):
            if isinstance(gate, WindowGate) and zone_of(gate.zone) is None:
                return f"saltenvs.{name}.gates: window: zone: {zone_problem(gate.zone)}"
    return ""


def _shown(moment: float, zone: tzinfo) -> str:
    return f"{datetime.fromtimestamp(moment, zone):%a %Y-%m-%d %H:%M}"


def covers(entry: Range, zone: tzinfo, moment: float) -> bool:
    """Whether `moment` is in `entry`."""
    return _Cover([entry], zone, moment).at(moment)[0]


def _look(gate: WindowGate, zone: tzinfo, now: float) -> tuple[bool, float | None]:
    """Whether it is open, and when it closes or opens; None where it does not within nine years."""
    allow, deny = _Cover(gate.allow, zone, now), _Cover(gate.deny, zone, now)
    moment = now
    for _ in range(_MOST):
        allowed, ends = allow.at(moment) if gate.allow else (True, inf)
        denied, changes = deny.at(moment)
        if allowed and not denied:
            end = min(ends, changes)
            is_now = moment == now
            return is_now, (None if end == inf else end) if is_now else moment
        moment = max(changes if denied else 0, 0 if allowed else ends)
        if moment > now + _HORIZON or allow.is_spent or deny.is_spent:
            break
    return False, None


class _Cover:
    """What entries cover together, asked for moments that only grow."""

    def __init__(self, entries: Sequence[Range], zone: tzinfo, since: float) -> None:
        self._spans = heapq.merge(*(_spans(entry, zone, since) for entry in entries))
        self._next = next(self._spans, None)
        self._end = -inf
        self._left = _MOST_SPANS

    @property
    def is_spent(self) -> bool:
        """Whether so much was looked at that what comes later is not asked any more."""
        return self._left <= 0

    def at(self, moment: float) -> tuple[bool, float]:
        """Whether `moment` is covered, and until when that stays so, at least."""
        while self._next and self._next[0] <= moment:
            self._take(self._next)
        while self._next and self._next[0] <= self._end and moment < self._end < moment + _FAR:
            self._take(self._next)
        if self._end > moment:
            return True, self._end
        return False, self._next[0] if self._next else inf

    def _take(self, span: Span) -> None:
        self._end = max(self._end, span[1])
        self._left -= 1
        self._next = next(self._spans, None)


def _spans(entry: Range, zone: tzinfo, since: float) -> Iterator[Span]:
    """All of `entry` that end after `since`, and perhaps some before, in the order in which they begin."""
    match entry:
        case ClockRange():
            return _clock_spans(entry, zone, since)
        case CronRange():
            return _cron_spans(entry, zone, since)


def _clock_spans(entry: ClockRange, zone: tzinfo, since: float) -> Iterator[Span]:
    begin = since // _DAY * _DAY
    while True:
        for start, end, offset in _segments(zone, begin, begin + _DAY):
            first = int(start + offset) // _DAY - 1  # what began the evening before
            for day in range(first, int(end + offset - 1) // _DAY + 1):
                if (day + 3) % 7 in entry.days:  # 1970 began with a thursday
                    midnight = day * _DAY - offset
                    low = max(midnight + entry.start * 60, start)
                    high = min(midnight + entry.end * 60, end)
                    if low < high:
                        yield low, high
        begin += _DAY


def _segments(zone: tzinfo, start: float, end: float) -> Iterator[tuple[float, float, int]]:
    """A day in parts within which clocks are not changed, each with its seconds east of UTC."""
    first, last = _offset(zone, start), _offset(zone, end)
    if first == last:
        yield start, end, first
        return
    low, high = int(start), int(end)  # `first` counts at low, `last` at high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _offset(zone, middle) == first else (low, middle)
    yield start, high, first
    yield high, end, last


def _offset(zone: tzinfo, moment: float) -> int:
    found = datetime.fromtimestamp(moment, zone).utcoffset() or timedelta()
    return int(found.total_seconds())


def _cron_spans(entry: CronRange, zone: tzinfo, since: float) -> Iterator[Span]:
    # croniter counts without a zone: a time that comes twice begins it twice.
    again: list[float] = []
    for first, second in _cron_starts(entry, zone, since):
        while again and again[0] < first:
            start = heapq.heappop(again)
            yield start, start + entry.seconds
        yield first, first + entry.seconds
        if second > first:
            heapq.heappush(again, second)


def _cron_starts(entry: CronRange, zone: tzinfo, since: float) -> Iterator[tuple[float, float]]:
    """The last one up to `since`, and all after it, each as often as clocks show it: the first and the last time."""
    from croniter import CroniterBadDateError, croniter  # only where somebody writes one

    wall = datetime.fromtimestamp(since, zone).replace(tzinfo=None)
    found = croniter(entry.expression, wall + timedelta(hours=3))  # clocks go back by less
    try:
        while (start := _moments(found.get_prev(datetime), zone))[1] > since:
            pass
        yield start
        while True:
            yield _moments(found.get_next(datetime), zone)
    except CroniterBadDateError:
        return  # there is none for fifty years


def _moments(wall: datetime, zone: tzinfo) -> tuple[float, float]:
    first = _moment(wall, zone, 0)
    return first, first if zone is timezone.utc else _moment(wall, zone, 1)


def _moment(wall: datetime, zone: tzinfo, fold: int) -> float:
    """When a clock of `zone` shows `wall`; where it never does, when it goes past it."""
    moment = wall.replace(tzinfo=zone, fold=fold).timestamp()
    if datetime.fromtimestamp(moment, zone).replace(tzinfo=None) == wall:
        return moment
    around = [wall.replace(tzinfo=zone, fold=n).timestamp() for n in (1, 0)]
    return max(start for start, _, _ in _segments(zone, around[0], around[1]))
