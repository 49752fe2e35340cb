"""Lengths and points of time as people write them."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saltbranch.base.durations import (
    from_iso,
    iso,
    parse_duration,
    parse_since,
    parse_until,
    shown_duration,
)
from saltbranch.base.errors import UsageError

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("30m", 1800),
        ("30 min", 1800),
        ("2h", 7200),
        ("1.5h", 5400),
        ("1d12h", 129_600),
        ("1d 12h", 129_600),
        (" 1W ", 604_800),
        ("0s", 0),
    ],
)
def test_lengths(text: str, seconds: float) -> None:
    assert parse_duration(text, "soak") == seconds


@pytest.mark.parametrize(
    "text", ["", " ", "2", "h", "2x", "2h3", "-1h", "1h-", "two hours", "1e9s", "2h,3m"]
)
def test_what_is_no_length_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(UsageError, match="^soak: "):
        parse_duration(text, "soak")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2h", NOW + 7200),
        ("2099-01-01T00:00:00Z", 4_070_908_800),
        ("2099-01-01T01:00:00+01:00", 4_070_908_800),
    ],
)
def test_points_of_time(text: str, expected: float) -> None:
    assert parse_until(text, NOW) == expected


def test_date_without_a_zone_is_local(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "Etc/GMT-3")
    time.tzset()
    try:
        assert parse_until("2099-01-01T03:00:00", NOW) == 4_070_908_800
        assert parse_until("2099-01-01", NOW) == 4_070_908_800 - 3 * 3600
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


@pytest.mark.parametrize(
    ("text", "hours"),  # after the midnight before NOW, a Friday, 08:00
    [
        ("17:30", 17.5), ("5:30pm", 17.5), ("8am", 32), ("noon", 12), ("midnight", 24), ("12am", 24),
        ("tomorrow", 24), ("Tomorrow 8am", 32), ("tomorrow at 18:00", 42), ("today 18:00", 18),
        ("fri 18:00", 18), ("friday", 168), ("fri 8:00", 176), ("sat", 24), ("Thursday 9 pm", 165),
    ],
)  # fmt: skip
def test_days_and_times_of_day(text: str, hours: float) -> None:
    import time

    zone = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    try:
        assert parse_until(text, NOW) == NOW - 8 * 3600 + hours * 3600
    finally:
        os.environ.pop("TZ") if zone is None else os.environ.update(TZ=zone)
        time.tzset()


@pytest.mark.parametrize(
    "text", ["", "8", "tomorrow 8", "25:00", "13pm", "0am", "8:60", "someday", "montag", "friyay"]
)
def test_what_is_no_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(UsageError, match="is not a time") as caught:
        parse_until(text, NOW)
    assert "tomorrow 8am" in (caught.value.hint or "")


@pytest.mark.parametrize("text", ["0s", "2001-01-01", "1970-01-01T00:00:00Z"])
def test_what_has_passed_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="has passed"):
        parse_until(text, NOW)


@pytest.mark.parametrize("text", ["9999999999w", "9" * 400 + "d"])
def test_what_no_calendar_holds_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="too far in the future"):
        parse_until(text, NOW)


@pytest.mark.parametrize(
    "text",
    ["9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00+14:00", "0999-01-01T00:00:00Z"],
)  # fmt: skip
def test_a_time_that_could_not_be_written_again_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="not a time from 1970 to 9999"):
        from_iso(text)
    assert iso(from_iso("9999-12-31T23:59:59Z")) == "9999-12-31T23:59:59Z"


@given(st.integers(0, 250_000_000_000))
def test_iso_comes_back(seconds: int) -> None:
    assert from_iso(iso(seconds)) == seconds


@given(st.integers(0, 9), st.integers(0, 60), st.integers(0, 60))
def test_parts_add_up(days: int, hours: int, minutes: int) -> None:
    assert (
        parse_duration(f"{days}d{hours}h {minutes}m", "x")
        == (days * 24 + hours) * 3600 + minutes * 60
    )


@given(st.text(max_size=20))
def test_any_text_is_a_length_or_refused(text: str) -> None:
    try:
        assert parse_duration(text, "x") >= 0
    except UsageError as err:
        assert err.hint


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (0.4, "0 s"),
        (40, "40 s"),
        (89.4, "89 s"),
        (90, "2 min"),
        (3600, "60 min"),
        (5400, "1 h 30 min"),
        (7200, "2 h"),
        (48 * 3600, "2 d"),
        (10 * 86400, "10 d"),
    ],
)
def test_lengths_for_people(seconds: float, text: str) -> None:
    assert shown_duration(seconds) == text


def test_since_is_a_length_back_or_a_date() -> None:
    assert parse_since("2h", NOW) == NOW - 7200
    assert parse_since("2026-03-01T00:00:00Z", NOW) == 1_772_323_200
    with pytest.raises(UsageError, match="--since"):
        parse_since("yesterday", NOW)
