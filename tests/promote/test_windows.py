"""The gate `window`: ranges of the clock and cron expressions, in zones whose clocks are changed."""

from __future__ import annotations

import calendar
import json
import time
import zoneinfo
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from saltbranch.base.errors import ConfigError
from saltbranch.config.gates import WindowGate, parse_gates
from saltbranch.config.windows import DAYS
from saltbranch.promote import apply_plan, gates
from saltbranch.promote.gates import CANNOT_TELL, FAIL, PASS, GateResult
from saltbranch.promote.windows import window_gate
from tests.support.flow_site import FlowSite, as_yaml

BERLIN = "Europe/Berlin"
ZONES = (BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC")


def window(**rule: Any) -> WindowGate:
    *_, gate = parse_gates([{"window": rule}], "x.yaml")
    assert isinstance(gate, WindowGate)
    return gate


def at(text: str, zone: str = BERLIN, fold: int = 0) -> float:
    """Seconds since 1970, of a time by the clocks of `zone`."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=zoneinfo.ZoneInfo(zone), fold=fold).timestamp()


def is_open(gate: WindowGate, moment: float) -> bool:
    return window_gate(gate, moment).verdict == PASS


# As configured


@pytest.mark.parametrize(
    ("entry", "days", "start", "end"),
    [
        ("mon-fri 09:00-17:00", (0, 1, 2, 3, 4), 540, 1020),
        ("Sat,Sunday", (5, 6), 0, 1440),
        ("fri-mon 22:00-06:00", (0, 4, 5, 6), 1320, 1800),
        ("00:00-24:00", (0, 1, 2, 3, 4, 5, 6), 0, 1440),
        ("tue,thu-fri 08:30-08:31", (1, 3, 4), 510, 511),
    ],
)
def test_a_range_of_the_clock(entry: str, days: tuple[int, ...], start: int, end: int) -> None:
    (found,) = window(allow=[entry]).allow
    assert (found.days, found.start, found.end) == (days, start, end)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "rule",
    [
        5,
        [],
        {},
        {"allow": []},
        {"allow": "mon"},
        {"allow": [""]},
        {"allow": ["mo 09:00-17:00"]},
        {"allow": ["mon-tue-wed"]},
        {"allow": ["mon-fri 9-17"]},
        {"allow": ["mon-fri 09:60-17:00"]},
        {"allow": ["mon-fri 24:00-17:00"]},
        {"allow": ["mon-fri 09:00-24:01"]},
        {"allow": ["09:00-09:00"]},
        {"allow": ["mon tue 09:00-17:00"]},
        {"allow": [{"cron": "0 9 * * *"}]},
        {"allow": [{"cron": "0 9 * *", "for": "1h"}]},
        {"allow": [{"cron": "R R * * *", "for": "1h"}]},
        {"allow": [{"cron": "h 9 * * *", "for": "1h"}]},
        {"allow": [{"cron": "@daily", "for": "1h"}]},
        {"allow": [{"cron": "0 0 30 2 *", "for": "1h"}]},
        {"allow": [{"cron": "61 * * * *", "for": "1h"}]},
        {"allow": [{"cron": "0 9 * * *", "for": "32d"}]},
        {"allow": [{"cron": "0 9 * * *", "for": "30s"}]},
        {"allow": [{"cron": "0 9 * * *", "for": "soon"}]},
        {"allow": [{"cron": 5, "for": "1h"}]},
        {"allow": ["mon"], "zone": 5},
        {"allow": ["mon"], "zone": "../../etc/passwd"},
        {"allow": ["mon"], "zone": "/etc/localtime"},
        {"allow": ["mon"], "until": "fri"},
    ],
)
def test_what_is_no_window_is_refused(rule: Any) -> None:
    with pytest.raises(ConfigError, match=r"x\.yaml: window"):
        parse_gates([{"window": rule}], "x.yaml")


# At a time


def test_deny_wins_inside_an_allow_and_the_opening_is_told() -> None:
    gate = window(
        allow=["mon-fri 09:00-17:00"], deny=["wed 12:00-13:00", "fri 12:00-24:00"], zone=BERLIN
    )
    found = window_gate(gate, at("2026-12-02 12:30"))
    assert found.verdict == FAIL
    assert found.passes_at == at("2026-12-02 13:00")
    assert found.reason == (
        "denied by 'wed 12:00-13:00'; opens Wed 2026-12-02 13:00 (Europe/Berlin)"
    )
    found = window_gate(gate, at("2026-12-04 12:00"))
    assert (found.verdict, found.passes_at) == (FAIL, at("2026-12-07 09:00"))
    found = window_gate(gate, at("2026-12-04 11:59"))
    assert found.reason == "open until Fri 2026-12-04 12:00 (Europe/Berlin)"
    assert window_gate(gate, at("2026-12-05 11:59")).reason.startswith("no window is open; opens")


def test_deny_alone_leaves_the_rest_open() -> None:
    gate = window(deny=[{"cron": "0 0 20 dec *", "for": "14d"}], zone=BERLIN)
    assert is_open(gate, at("2026-12-19 23:59"))
    assert window_gate(gate, at("2026-12-20 00:00")).passes_at == at("2027-01-03 00:00")
    assert is_open(gate, at("2027-01-03 00:00"))


def test_what_never_opens_says_so() -> None:
    found = window_gate(window(allow=["mon"], deny=["00:00-24:00"]), at("2026-12-20 00:00"))
    assert (found.verdict, found.passes_at) == (FAIL, None)
    assert "no opening is found within nine years" in found.reason


def test_a_window_that_is_years_away_keeps_its_moment() -> None:
    gate = window(allow=[{"cron": "0 9 29 feb *", "for": "1h"}])
    assert window_gate(gate, at("2026-12-20 00:00")).passes_at == at("2028-02-29 09:00", "UTC")
    assert window_gate(gate, at("2096-03-01 00:00")).passes_at == at("2104-02-29 09:00", "UTC")


def test_an_hour_that_is_left_out_and_one_that_comes_twice() -> None:
    gate = window(allow=["02:00-02:30"], zone=BERLIN)
    before = at("2026-03-29 00:00")
    assert window_gate(gate, before).passes_at == at("2026-03-30 02:00")  # not on the 29th
    first, second = (at("2026-10-25 02:00", fold=fold) for fold in (0, 1))
    assert second - first == 3600
    assert [is_open(gate, m) for m in (first, first + 1800, second, second + 1800)] == [
        True, False, True, False,
    ]  # fmt: skip
    assert window_gate(gate, first + 1800).passes_at == second


def test_a_cron_expression_in_such_an_hour() -> None:
    gate = window(allow=[{"cron": "30 2 * * *", "for": "1h"}], zone=BERLIN)
    spring = at("2026-03-29 03:00")  # 02:30 is left out: it begins when the clock goes past it
    assert [is_open(gate, spring + n) for n in (-1, 0, 3599, 3600)] == [False, True, True, False]
    first, second = (at("2026-10-25 02:30", fold=fold) for fold in (0, 1))
    assert [is_open(gate, m) for m in (first - 1, first, second, second + 3599)] == [
        False, True, True, True,
    ]  # fmt: skip
    assert not is_open(gate, second + 3600)
    # Between the two the clock shows an earlier time than the one at which it began.
    assert is_open(gate, at("2026-10-25 02:10", fold=1))


def test_a_cron_expression_that_is_always_on_costs_no_year() -> None:
    gate = window(allow=[{"cron": "* * * * *", "for": "31d"}], deny=["mon"])
    before = time.process_time()
    assert window_gate(gate, at("2026-12-07 12:00", "UTC")).passes_at == at("2026-12-08", "UTC")
    assert time.process_time() - before < 10


def test_a_zone_that_this_machine_lacks_opens_nothing() -> None:
    found = window_gate(window(allow=["00:00-24:00"], zone="Mars/Base"), 0)
    assert found.verdict == CANNOT_TELL
    assert "no time zone 'Mars/Base'" in found.reason
    assert "tzdata" in found.reason


# By the verbs


def around(now: float, *, is_open: bool) -> dict[str, Any]:
    """A rule by which the hours around `now` are open, or are not."""
    hour = datetime.fromtimestamp(now, timezone.utc).hour
    span = f"{(hour - 1) % 24:02}:00-{(hour + 2) % 24:02}:00"
    return {"allow": [span]} if is_open else {"deny": [span]}


def test_promote_waits_for_the_window_and_why_not_says_when(flow: FlowSite) -> None:
    now = time.time()
    flow.configure(
        stage={"gates": [{"window": around(now, is_open=True)}]},
        prod={"gates": [{"window": around(now, is_open=False)}]},
    )
    flow.push("develop")
    assert flow.gates("promote", "stage")["window"][0] == "pass"
    flow.promoted("stage")
    assert "window: fail: denied by" in flow.refused("promote", "prod", "--yes")
    ran = flow.run("why-not", "prod", "--json")
    found = json.loads(ran.out)
    assert (ran.code, found["possible"]) == (4, False)
    opens = datetime.fromisoformat(found["passes_at"].replace("Z", "+00:00"))
    assert opens.minute == 0
    assert 3600 <= opens.timestamp() - now <= 2 * 3600
    assert "; passes in " in flow.run("why-not", "prod").out
    assert "gate window: denied by" in flow.run("status").out.replace("\n", " ")
    assert "--wait TIME waits for them" in flow.refused("promote", "prod", "--yes")


def test_status_says_when_all_of_it_passes(flow: FlowSite) -> None:
    rule = around(time.time(), is_open=False)
    flow.configure(stage={"gates": [{"soak": "1h"}, {"window": rule}]})
    flow.served("test", flow.push("develop"), ago=1800)
    found = json.loads(flow.run("why-not", "stage", "--json").out)
    moment = datetime.fromisoformat(found["passes_at"].replace("Z", "+00:00")).astimezone()
    told = flow.well("status").out
    assert f"all of it passes {moment:%a %Y-%m-%d %H:%M %Z}" in told
    assert f", {moment:%a %Y-%m-%d %H:%M %Z}\n" in flow.run("why-not", "stage").out


def test_a_window_that_closes_while_somebody_thinks(
    flow: FlowSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    flow.configure(stage={"gates": [{"window": around(now, is_open=True)}]})
    flow.push("develop")
    before, later = flow.head("stage"), SimpleNamespace(time=lambda: now + 4 * 3600)
    with monkeypatch.context() as patch:
        patch.setattr(apply_plan, "time", later)
        said = flow.refused("promote", "stage", "--yes")
    assert "the gate 'window' has closed meanwhile" in said
    assert flow.head("stage") == before
    flow.promoted("stage")


def test_a_hotfix_outside_of_the_window_needs_an_override_that_is_recorded(flow: FlowSite) -> None:
    rule = around(time.time(), is_open=False)
    flow.configure(prod={"gates": [{"window": rule}], "overridable": ["window"]})
    flow.well("hotfix", "start", "1.0.1")
    flow.commit({"salt/fix.sls": "fix:\n  test.nop: []\n"}, "KEY-3 Fix")
    assert "window: fail" in flow.refused("hotfix", "finish", "--yes")
    flow.well("hotfix", "finish", "--yes", "--override", "window", "--reason", "prod is down")
    (event,) = [e for e in flow.state().events if e.kind == "override"]
    assert (event.details["gate"], event.details["reason"]) == ("window", "prod is down")


def test_a_zone_that_does_not_exist_is_not_merged(flow: FlowSite) -> None:
    flow.model["saltenvs"]["prod"]["gates"] = [{"window": {"allow": ["mon"], "zone": "Mars/Base"}}]
    flow.push("develop", {"saltbranch.yaml": as_yaml(flow.model)}, "KEY-3 Model")
    verdict, reason = flow.gates("promote", "stage")["model"]
    assert verdict == "fail"
    assert "saltenvs.prod.gates: window: zone: this machine knows no time zone" in reason


def test_when_all_has_passed_a_window_may_be_closed_again() -> None:
    gate = window(allow=["09:00-17:00"])
    noon, evening = at("2026-12-07 16:00", "UTC"), at("2026-12-07 18:00", "UTC")
    soak = GateResult("soak", FAIL, "", evening)

    def passes_at(*results: GateResult) -> float | None:
        return gates.passes_at(results)

    assert passes_at(soak, window_gate(gate, noon)) == at("2026-12-08 09:00", "UTC")
    assert passes_at(soak) == evening
    overridden = replace(window_gate(gate, noon), overridden="now")
    assert passes_at(soak, overridden) == evening
    assert passes_at(window_gate(gate, noon)) is None  # nothing is closed
    assert passes_at(soak, window_gate(window(deny=["00:00-24:00"]), noon)) is None


# Against a slow and simple oracle


def plainly(entry: Any, local: datetime) -> bool:
    """Whether a minute of the clock is in a range, as one would say it."""
    if isinstance(entry, str):
        days, clock = entry.split()
        first, _, last = days.partition("-")
        start, _, end = clock.partition("-")
        shown, today = f"{local:%H:%M}", local.weekday()
        named = [first]
        while named[-1] != (last or first):
            named.append(DAYS[(DAYS.index(named[-1]) + 1) % 7])
        if start < end:
            return DAYS[today] in named and start <= shown < end
        return (DAYS[today] in named and shown >= start) or (
            DAYS[today - 1] in named and shown < end
        )
    raise AssertionError(entry)


def cron_minutes(entry: dict[str, str], zone: zoneinfo.ZoneInfo, low: int, high: int) -> set[int]:
    """The minutes since 1970 that a cron expression covers, by looking at each one that comes."""
    minute, hour, _, _, day = entry["cron"].split()
    length = int(entry["for"][:-1])
    found: set[int] = set()

    def starts(local: datetime) -> bool:
        return (
            local.minute == int(minute)
            and (hour == "*" or local.hour == int(hour))
            and (day == "*" or DAYS[local.weekday()] == day)
        )

    before = None
    for n in range(low - length - 1, high):
        local = datetime.fromtimestamp(n * 60, zone).replace(tzinfo=None)
        skipped = []
        if before is not None and local > before + timedelta(minutes=1):
            gap = int((local - before).total_seconds()) // 60
            skipped = [before + timedelta(minutes=k) for k in range(1, gap)]
        if any(starts(moment) for moment in (local, *skipped)):
            found.update(range(n, n + length))
        before = local
    return found


CLOCKS = st.builds(
    lambda h, m: f"{h:02}:{m:02}", st.integers(0, 23), st.sampled_from((0, 15, 30, 59))
)
SPANS = st.tuples(CLOCKS, CLOCKS).filter(lambda two: two[0] != two[1]).map("-".join)
CLOCK_RANGES = st.builds(
    lambda first, last, span: f"{first}{last} {span}",
    st.sampled_from(DAYS),
    st.one_of(st.just(""), st.sampled_from([f"-{day}" for day in DAYS])),
    SPANS,
)
CRON_RANGES = st.builds(
    lambda m, h, d, length: {"cron": f"{m} {h} * * {d}", "for": f"{length}m"},
    st.sampled_from((0, 10, 30, 59)),
    st.one_of(st.just("*"), st.integers(0, 3).map(str), st.integers(4, 23).map(str)),
    st.one_of(st.just("*"), st.sampled_from(DAYS)),
    st.integers(1, 200),
)
ENTRIES = st.lists(st.one_of(CLOCK_RANGES, CRON_RANGES), max_size=3)
# In the middle of a change of the clock, in one of the zones at least, or on some other day.
MOMENTS = st.one_of(
    st.sampled_from(
        [
            at("2026-03-29 01:59"),
            at("2026-10-25 02:30"),
            at("2026-03-08 01:59", ZONES[1]),
            at("2026-11-01 01:30", ZONES[1]),
            at("2026-04-05 01:45", ZONES[2]),
            at("2026-10-04 01:45", ZONES[2]),
        ]
    ),
    st.integers(1767225600, 1798761600).map(float),
)


@settings(max_examples=10, deadline=None)
@given(allow=ENTRIES, deny=ENTRIES, zone=st.sampled_from(ZONES), moment=MOMENTS)
@example(
    allow=[{"cron": "59 * * * *", "for": "1m"}],
    deny=["sun-sun 23:59-02:30"],
    zone=BERLIN,
    moment=at("2026-10-25 02:30"),
)
def test_it_says_what_a_clock_on_the_wall_says_minute_by_minute(
    allow: list[Any], deny: list[Any], zone: str, moment: float
) -> None:
    if not allow and not deny:
        return
    gate = window(allow=allow, deny=deny, zone=zone)
    there = zoneinfo.ZoneInfo(zone)
    low = int(moment // 60) - 200
    high = low + 2000
    crons = {
        json.dumps(e): cron_minutes(e, there, low, high)
        for e in (*allow, *deny)
        if isinstance(e, dict)
    }

    def said(entry: Any, n: int, local: datetime) -> bool:
        return n in crons[json.dumps(entry)] if isinstance(entry, dict) else plainly(entry, local)

    expected = []
    for n in range(low, high):
        local = datetime.fromtimestamp(n * 60, there)
        allowed = not allow or any(said(e, n, local) for e in allow)
        expected.append(allowed and not any(said(e, n, local) for e in deny))
    for offset in range(0, 1200, 399):
        now = (low + offset) * 60 + offset % 60
        found = window_gate(gate, now)
        assert (found.verdict == PASS) is expected[offset], offset
        if found.verdict == FAIL:
            opens = next((n for n in range(offset, len(expected)) if expected[n]), None)
            if opens is not None:
                assert found.passes_at == (low + opens) * 60
            else:
                assert found.passes_at is None or found.passes_at >= high * 60


def test_what_never_opens_costs_little() -> None:
    """The status of every command asks it."""
    always = {"cron": "* * * * *", "for": "1m"}
    found = [g for g in parse_gates([{"window": {"allow": [always], "deny": [always]}}], "x")]
    gate = next(g for g in found if isinstance(g, WindowGate))
    begin = time.process_time()
    result = window_gate(gate, 1_795_980_000)
    assert (result.verdict, result.passes_at) == (FAIL, None)
    assert time.process_time() - begin < 10, "of a year with 527,040 of them"


def test_the_oracle_itself_knows_what_day_it_is() -> None:
    assert calendar.day_name[datetime(2026, 12, 7, tzinfo=timezone.utc).weekday()] == "Monday"
    assert plainly("mon-mon 09:00-10:00", datetime(2026, 12, 7, 9, 59))
    assert not plainly("tue-sun 09:00-10:00", datetime(2026, 12, 7, 9, 59))
