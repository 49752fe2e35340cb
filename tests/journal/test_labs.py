"""Claims of labs in the journal, which whoever may push can write."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saltbranch.base.durations import iso
from saltbranch.journal import events
from saltbranch.journal.events import LAB, Event
from saltbranch.journal.facts import Claim, claim_from_dict
from saltbranch.journal.state import replay

T = 1_800_000_000.0


def event(action: Any, at: float = T, name: str = "e1", **details: Any) -> Event:
    return Event(LAB, name, at, "Ann <ann@x>", {"action": action, **details})


def claim(number: Any = 1, at: float = T, name: str = "e1", **details: Any) -> Event:
    given = {"branch": "feature/a", "minions": [], "until": iso(at + 100), **details}
    return event("claim", at, name, lab=number, **given)


def labs(*told: Event) -> dict[int, Claim]:
    """What follows, by way of the journal's own text."""
    read = [events.parse_message("", one.message()) for one in told]
    return replay([one for one in read if one]).labs


def test_claim_extend_release() -> None:
    one = claim(2, minions=["web1", "web1"], empty_at="a" * 40, asked_by="bob")
    found = labs(one)[2]
    assert found == Claim(
        "e1", 2, "feature/a", ("web1",), T, T + 100, "Ann <ann@x>", "a" * 40, "bob", ""
    )
    assert claim_from_dict(json.loads(json.dumps(found.as_dict()))) == found
    longer = event("extend", T + 5, "e2", lab=2, claim="e1", until=iso(T + 900))
    assert labs(one, longer) == {2: replace(found, until=T + 900)}
    assert labs(one, longer, event("release", T + 6, "e3", lab=2, claim="e1")) == {}


def test_of_two_claims_the_first_counts_until_it_is_over_or_released() -> None:
    first, second = claim(), claim(at=T + 1, name="e2", branch="feature/b")
    assert labs(first, second)[1].id == "e1"
    late = claim(at=T + 100, name="e2", branch="feature/b")
    assert labs(first, late)[1].id == "e2"
    free = event("release", T + 1, "e3", lab=1, claim="e1")
    assert labs(first, free, second)[1].id == "e2"
    # Order is the journal's, not that of numbers or clocks.
    assert [c.id for c in labs(claim(3), claim(1, T - 50, "e2")).values()] == ["e1", "e2"]


@pytest.mark.parametrize("action", ["extend", "release"])
@pytest.mark.parametrize(
    "aim", [{"lab": 1, "claim": "e9"}, {"lab": 2, "claim": "e1"}, {"lab": 1}, {"claim": "e1"},
            {"lab": "1", "claim": "e1"}, {"lab": True, "claim": "e1"}],
)  # fmt: skip
def test_only_that_very_claim_is_extended_or_released(action: str, aim: dict[str, Any]) -> None:
    first = claim()
    assert labs(first, event(action, T + 1, "e2", until=iso(T + 999), **aim)) == labs(first)


@pytest.mark.parametrize(
    "details",
    [
        {"number": 0}, {"number": 51}, {"number": True}, {"number": "1"}, {"number": 1.0}, {"number": None},
        {"branch": ""}, {"branch": 7}, {"branch": "feature/\n"}, {"branch": "f" * 300},
        {"minions": "web1"}, {"minions": {"web1": 1}}, {"minions": [1]}, {"minions": [None]}, {"minions": ["a\0"]},
        {"minions": ["a" * 300]}, {"minions": [f"m{n}" for n in range(101)]}, {"minions": [""]},
        {"until": ""}, {"until": "soon"}, {"until": iso(T)}, {"until": iso(T - 1)}, {"until": None}, {"until": 5},
        {"name": ""}, {"name": "e\x1b[2J"},
    ],
)  # fmt: skip
def test_what_is_not_a_claim_is_passed_over(details: dict[str, Any]) -> None:
    assert labs(claim(**details)) == {}


@pytest.mark.parametrize(
    "until",
    [iso(T - 5), iso(T), "9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00+14:00"],
)  # fmt: skip
def test_whatever_a_claim_is_extended_to_it_can_be_kept(until: str) -> None:
    found = labs(claim(), event("extend", T + 1, "e2", lab=1, claim="e1", until=until))[1]
    assert found.until <= T + 100
    assert claim_from_dict(found.as_dict()) == found


@pytest.mark.parametrize("until", ["9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59.999999Z"])
def test_a_claim_to_the_end_of_time_is_none(until: str) -> None:
    assert labs(claim(until=until)) == {}


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"action": st.sampled_from(["claim", "extend", "release", "", 3])},
            optional={
                key: JSON | st.sampled_from([1, 2, "e1", "feature/a", iso(T + 50), ["web1"]])
                for key in ("lab", "branch", "minions", "until", "claim", "empty_at", "asked_by")
            },
        ),
        max_size=5,
    )
)
def test_no_event_breaks_it(told: list[dict[str, Any]]) -> None:
    found = replay(Event(LAB, f"e{n}", T + n, "x", data) for n, data in enumerate(told)).labs
    for number, one in found.items():
        assert number == one.number
        assert claim_from_dict(one.as_dict()).branch == one.branch


@pytest.mark.parametrize("broken", [{}, [], None, {"id": "x"}, {"id": 1, "since": "x", "by": None}])
def test_a_kept_claim_that_is_damaged(broken: Any) -> None:
    with pytest.raises(ValueError, match="no claim"):
        claim_from_dict(broken)


def test_masters_tell_how_many_labs_they_have() -> None:
    told = [
        Event(events.SYNC, f"s{n}", T + n, "root", {"master": m, "saltenvs": [], "labs": count})
        for n, (m, count) in enumerate(
            [("m1", 4), ("m2", 2), ("m1", 3), ("m3", "9"), ("m4", True), ("m5", 99), ("", 1), ("m2", -1)]
        )
    ]  # fmt: skip
    assert replay(told).lab_counts == {"m1": 3, "m2": 2}
