"""Who serves what, as masters tell it of themselves: rules on events that anybody may have written."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from saltbranch.base.durations import iso
from saltbranch.journal import masters
from saltbranch.journal import state as journal_state
from saltbranch.journal.events import Event
from tests.support import budget

A, B, C = ("a" * 40, "b" * 40, "c" * 40)


def sync(master: Any, rows: Any = None, *, time: float = 1000, **details: Any) -> Event:
    told = [{"saltenv": s, "old": None, "new": c} for s, c in (rows or {}).items()]
    return Event("sync", f"id{time}", time, "Ann", {"master": master, "saltenvs": told, **details})


def serving(*events: Event) -> dict[tuple[str, str], dict[str, str]]:
    """Name and root to what it serves, of those that count."""
    known: masters.Masters = {}
    for event in events:
        masters.follow(known, event)
    return {
        (name, root): {s: commit for s, (commit, _) in told.serves.items()}
        for name, root, told in masters.live(known)
    }


def test_the_last_word_on_each_saltenv_counts() -> None:
    first = sync("one", {"test": A, "prod": A}, root="r1", serves=["prod", "test"])
    assert serving(first, sync("one", {"test": B}, root="r1", serves=["prod", "test"])) == {
        ("one", "r1"): {"test": B, "prod": A}
    }


def test_a_saltenv_that_a_master_serves_no_more_does_not_lag_for_ever() -> None:
    first = sync("one", {"test": A, "prod": A}, root="r1", serves=["prod", "test"])
    assert serving(first, sync("one", {"test": B}, root="r1", serves=["test"])) == {
        ("one", "r1"): {"test": B}
    }


def test_a_master_that_says_so_is_forgotten() -> None:
    first = sync("one", {"test": A}, root="r1", serves=["test"])
    assert serving(first, sync("one", root="r1", serves=[])) == {}


def test_who_takes_leave_does_so_for_its_own_root_only() -> None:
    first = sync("one", {"test": A}, root="r1", serves=["test"])
    assert serving(first, sync("one", root="r2", serves=[])) == {("one", "r1"): {"test": A}}


def test_a_root_that_was_made_anew_takes_the_place_of_the_old_one() -> None:
    old = sync("one", {"test": A}, root="r1", serves=["test"])
    new = sync("one", {"test": B}, root="r2", serves=["test"])
    assert serving(old, new, new) == {("one", "r2"): {"test": B}}


def test_two_masters_of_one_name_are_two() -> None:
    one = sync("salt", {"test": A}, root="r1", serves=["test"])
    two = sync("salt", {"test": B}, root="r2", serves=["test"])
    again = sync("salt", {"test": C}, root="r1", serves=["test"])
    assert serving(one, two, again) == {("salt", "r1"): {"test": C}, ("salt", "r2"): {"test": B}}
    # Neither takes the other's place by telling on.
    assert serving(one, two, again, two, again) == serving(one, two, again)


def test_what_an_older_release_told_goes_on_under_the_same_name() -> None:
    old = sync("one", {"test": A, "prod": A})
    assert serving(old) == {("one", ""): {"test": A, "prod": A}}
    assert serving(
        old, sync("one", {"test": B, "prod": A}, root="r1", serves=["prod", "test"])
    ) == {("one", "r1"): {"test": B, "prod": A}}


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a\x1b[31mred",
        "a\nb",
        "x" * 201,
        "\u202eevil",
        "x" * 10_000_000,
        None,
        3,
        ["a"],
        {"a": 1},
    ],
    ids=lambda n: repr(n)[:12],
)
def test_a_name_that_no_master_gives_itself_is_none(name: Any) -> None:
    assert serving(sync(name, {"test": A}, root="r1", serves=["test"])) == {}
    state = journal_state.replay([sync(name, {"test": A}, root="r1", labs=3)])
    assert (state.latest, state.lab_counts, state.residences) == ({}, {}, [])


@pytest.mark.parametrize(
    "details",
    [
        {"root": "\x1b[2J"}, {"root": "x" * 33}, {"saltenvs": 3}, {"saltenvs": [None, [], {}]},
        {"saltenvs": [{"saltenv": "test", "new": "no hash"}]},
        {"saltenvs": [{"saltenv": "x" * 256, "new": A}, {"saltenv": "\x1b", "new": A}]},
    ],
)  # fmt: skip
def test_what_is_no_root_and_no_row_shows_nothing(details: dict[str, Any]) -> None:
    event = Event("sync", "id", 1000, "Ann", {"master": "one", **details})
    assert all(not rows for rows in serving(event).values())


def test_made_up_masters_are_bounded_and_the_newest_stay() -> None:
    many = [sync(f"m{n}", {"test": A}, root="r", serves=["test"]) for n in range(masters.MOST + 50)]
    found = serving(*many)
    assert len(found) == masters.MOST
    assert ("m0", "r") not in found
    assert (f"m{masters.MOST + 49}", "r") in found


def test_made_up_roots_of_one_name_are_bounded() -> None:
    roots = [
        sync("one", {"test": A}, root=f"r{n}", serves=["test"]) for n in range(masters.MOST + 9)
    ]
    known: masters.Masters = {}
    for event in roots:
        masters.follow(known, event)
    assert len(known["one"]) == masters.MOST
    assert len(serving(*roots)) == 1


def test_since_is_the_row_s_own_time_where_that_is_one() -> None:
    known: masters.Masters = {}
    rows = [
        {"saltenv": "a", "new": A, "time": iso(77)}, {"saltenv": "b", "new": A, "time": "soon"},
        {"saltenv": "c", "new": A, "time": 3},
    ]  # fmt: skip
    masters.follow(known, Event("sync", "id", 1000, "Ann", {"master": "one", "saltenvs": rows}))
    assert known["one"][""].serves == {"a": (A, 77.0), "b": (A, 1000), "c": (A, 1000)}


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just(A),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["saltenv", "new", "time", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)
_DETAILS = st.dictionaries(
    st.sampled_from(["master", "root", "serves", "saltenvs", "labs"]), _VALUES, max_size=5
)


@settings(max_examples=budget.examples(2000, 100), deadline=None)
@given(st.lists(_DETAILS, max_size=4))
def test_nothing_that_stands_there_is_in_the_way(told: list[dict[str, Any]]) -> None:
    found = journal_state.replay([Event("sync", "id", 1000, "Ann", d) for d in told])
    for name, roots in found.masters.items():
        assert masters.is_name(name)
        assert roots
