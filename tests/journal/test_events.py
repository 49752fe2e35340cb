"""Events of the journal, and what follows from them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saltbranch.base.durations import iso
from saltbranch.journal import events
from saltbranch.journal import facts as journal_facts
from saltbranch.journal import state as journal_state
from saltbranch.journal.events import Event
from saltbranch.journal.state import State

A, B, C = "a" * 40, "b" * 40, "c" * 40
NOW = 1_800_000_000.0

texts = st.text(max_size=20)
hashes = st.sampled_from([A, B, C])
saltenvs = st.sampled_from(["test", "prod"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | hashes,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(
    "saltenv commit until reason lifts_hold hold_moves_to source_commit old new tickets branch files"
    " master saltenvs time served_before".split()
)


def event(kind: str, at: float = NOW, **details: Any) -> Event:
    return Event(kind, f"{kind}-{at}", at, "Ann <ann@example.com>", details)


def hold(at: float = NOW, saltenv: str = "prod", commit: str = A, **details: Any) -> Event:
    return event("hold", at, saltenv=saltenv, commit=commit, **details)


def promotion(at: float = NOW, **details: Any) -> Event:
    facts = {"saltenv": "prod", "branch": "master", "source_commit": A, "old": A, "new": B}
    return event("promotion", at, **(facts | details))


# Writing and reading


@given(
    kind=st.sampled_from(events.KINDS),
    at=st.integers(0, 4_000_000_000),
    by=texts,
    details=st.dictionaries(keys, st.none() | st.booleans() | texts | st.lists(texts), max_size=5),
)
def test_event_comes_back_from_its_message(
    kind: str, at: int, by: str, details: dict[str, Any]
) -> None:
    details.pop("time", None)  # a key of every event
    made = Event(kind, "id-1", at, by, details, A)
    assert events.parse_message(A, made.message()) == made


def test_message_begins_with_a_line_for_people() -> None:
    assert hold().message().split("\n\n")[0] == f"hold prod hold-{NOW}"


GOOD = {"version": 1, "event": "hold", "id": "x", "time": "2026-01-01T00:00:00Z", "by": "Ann"}


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"version": "1"},
        {"version": None},
        {"event": "explode"},
        {"event": None},
        {"event": ["hold"]},
        {"id": 7},
        {"by": None},
        {"time": "yesterday"},
        {"time": 7},
        {"time": None},
    ],
)
def test_what_is_no_event_is_none(change: dict[str, Any]) -> None:
    assert events.from_dict(GOOD) is not None
    assert events.from_dict(GOOD | change) is None


def test_an_event_of_a_newer_release_is_passed_over() -> None:
    assert events.from_dict(GOOD | {"event": "freeze"}) is None
    assert events.from_dict(GOOD | {"event": ["hold"]}) is None
    text = json.dumps(GOOD | {"event": "freeze"})
    assert events.parse_message(A, f"freeze prod x\n\n{text}\n") is None


def test_a_kind_that_only_a_newer_release_knows_counts_as_the_common_one() -> None:
    made = promotion()
    for kind, counts_as in (("bulk", "promotion"), ("hotfix", "hotfix")):
        found = journal_facts.promotion_of(replace(made, details={**made.details, "kind": kind}))
        assert found and found.kind == counts_as
    kept = {"saltenv": "prod", "commit": A, "kind": "freeze", "reason": "x", "by": "x"}
    told = journal_facts.hold_from_dict({**kept, "since": iso(NOW)})
    assert told.kind == "hold", "the stricter one: promotions wait"


@pytest.mark.parametrize(
    "text",
    ["", "hold", "hold\n\n", "x\n\n[]", "x\n\nnull", "x\n\n7", "x\n\n{", "x\n\n" + "[" * 99999],
)
def test_message_of_somebody_else_is_none(text: str) -> None:
    assert events.parse_message(A, text) is None


@given(json_values)
def test_no_json_breaks_the_reader(value: Any) -> None:
    assert events.from_dict(value) is None
    events.parse_message(A, f"x\n\n{json.dumps(value)}")


@given(
    st.lists(st.builds(dict, k=st.sampled_from(events.KINDS), d=st.dictionaries(keys, json_values)))
)
def test_no_details_break_the_replay(items: list[dict[str, Any]]) -> None:
    told = [Event(item["k"], f"id{n}", NOW + n, "Ann", item["d"]) for n, item in enumerate(items)]
    state = journal_state.replay(told)
    assert list(state.events) == told
    for found in state.holds.values():
        assert events.is_hash(found.commit)
        assert journal_facts.hold_from_dict(found.as_dict()).as_dict() == found.as_dict()


def test_commits_that_an_event_names_are_told_once() -> None:
    assert promotion(served_before=C).names() == [B, C]
    assert event("tag", commit="not a hash", new=A.upper()).names() == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (A, True),
        (A[:39], False),
        (A + "a", False),
        ("A" * 40, False),
        ("g" * 40, False),
        ("", False),
    ],
)
def test_full_hashes(text: str, expected: bool) -> None:
    assert events.is_hash(text) is expected


# Holds


def test_hold_counts_until_its_end() -> None:
    state = journal_state.replay([hold(until=iso(NOW + 60), reason="why")])
    found = state.hold("prod", NOW)
    assert found and (found.commit, found.reason, found.until) == (A, "why", NOW + 60)
    assert state.hold("prod", NOW + 59.9)
    assert state.hold("prod", NOW + 60) is None
    assert state.hold("test", NOW) is None


@pytest.mark.parametrize("until", ["soon", "", None, 7, "0001-01-01T00:00:00", "9" * 50])
def test_hold_with_an_end_that_nobody_understands_has_none(until: object) -> None:
    found = journal_state.replay([hold(until=until)]).hold("prod", NOW + 1e9)
    assert found and found.until is None


@pytest.mark.parametrize(
    "details", [{"commit": "x"}, {"commit": None}, {"saltenv": ""}, {"saltenv": 7}]
)
def test_hold_that_names_nothing_is_none(details: dict[str, Any]) -> None:
    assert (
        journal_state.replay([event("hold", **({"saltenv": "prod", "commit": A} | details))]).holds
        == {}
    )


def test_later_hold_takes_the_place_and_unhold_ends_it() -> None:
    told = [hold(), event("rollback", NOW + 1, saltenv="prod", commit=B), hold(NOW, "test")]
    state = journal_state.replay(told)
    found = state.hold("prod", NOW)
    assert found and (found.commit, found.kind) == (B, "rollback")
    state = journal_state.replay([*told, event("unhold", NOW + 2, saltenv="prod")])
    assert set(state.holds) == {"test"}


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({}, A),
        ({"lifts_hold": True}, None),
        ({"lifts_hold": "yes"}, A),
        ({"hold_moves_to": C}, C),
        ({"hold_moves_to": C, "lifts_hold": True}, C),
        ({"hold_moves_to": "x"}, A),
        ({"saltenv": "test", "lifts_hold": True}, A),
        ({"new": "x", "lifts_hold": True}, A),  # no promotion at all
    ],
)
def test_promotion_moves_or_lifts_only_when_it_says_so(
    details: dict[str, Any], expected: str | None
) -> None:
    found = journal_state.replay([hold(), promotion(NOW + 1, **details)]).hold("prod", NOW)
    assert (found.commit if found else None) == expected


@given(
    st.lists(st.tuples(st.sampled_from(["hold", "unhold", "promotion"]), saltenvs, hashes)),
    st.data(),
)
def test_replay_may_stop_and_go_on(items: list[tuple[str, str, str]], data: st.DataObject) -> None:
    told = [
        event(kind, NOW + n, saltenv=saltenv, commit=commit, source_commit=A, old=A, new=B,
              lifts_hold=commit == C, hold_moves_to=B if commit == B else None)
        for n, (kind, saltenv, commit) in enumerate(items)
    ]  # fmt: skip
    cut = data.draw(st.integers(0, len(told)))
    half = journal_state.replay(told[:cut])
    kept = [journal_facts.hold_from_dict(found.as_dict()) for found in half.holds.values()]
    again = journal_state.replay(told[cut:], State(holds={found.saltenv: found for found in kept}))
    whole = journal_state.replay(told)
    assert {k: h.as_dict() for k, h in again.holds.items()} == {
        k: h.as_dict() for k, h in whole.holds.items()
    }


@pytest.mark.parametrize(
    "data", [{}, {"saltenv": "prod"}, {"saltenv": "prod", "commit": "x"}, {"saltenv": 7}]
)
def test_what_is_no_hold_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        journal_facts.hold_from_dict(data)


# Promotions, debts


def test_promotions_by_saltenv_and_by_the_beginning_of_their_id() -> None:
    one, two = promotion(1), promotion(2, saltenv="test")
    state = journal_state.replay([one, two])
    assert [p.id for p in state.promotions_to("test")] == [two.id]
    found = state.promotion("promotion-1")
    assert found and found.id == one.id
    assert state.promotion("promotion-") is None  # two begin so
    assert state.promotion("") is None


def test_promotion_told_twice_counts_once() -> None:
    assert len(journal_state.replay([promotion(), promotion()]).promotions) == 1


def test_debt_needs_branch_and_commit() -> None:
    good = event("debt", branch="develop", commit=A, origin="master", files=["a", 7])
    bad = event("debt", branch="develop", commit="x")
    (debt,) = journal_state.replay([good, bad]).debts
    assert (debt.branch, debt.commit, debt.files) == ("develop", A, ("a",))


# What masters serve


def sync(master: str, commit: str, at: float, saltenv: str = "prod") -> Event:
    rows = [{"saltenv": saltenv, "new": commit, "time": iso(at)}]
    return event("sync", at + 5, master=master, saltenvs=rows)


def test_residence_ends_where_the_next_one_begins() -> None:
    told = [sync("m1", A, 100), sync("m2", A, 110), sync("m1", B, 200), sync("m1", B, 300)]
    state = journal_state.replay(told)
    spans = [(r.master, r.commit, r.since, r.until) for r in state.residences]
    assert spans == [("m1", A, 100, 200), ("m2", A, 110, None), ("m1", B, 200, None)]
    assert {m: r.commit for m, r in state.serving("prod").items()} == {"m1": B, "m2": A}
    assert state.serving("test") == {}


@given(st.lists(st.tuples(st.sampled_from(["m1", "m2"]), saltenvs, hashes), max_size=20))
def test_every_master_serves_one_commit_of_a_saltenv_at_a_time(
    items: list[tuple[str, str, str]],
) -> None:
    told = [sync(m, commit, 100 + n, saltenv) for n, (m, saltenv, commit) in enumerate(items)]
    state = journal_state.replay(told)
    last = {(m, saltenv): commit for m, saltenv, commit in items}
    for (master, saltenv), commit in last.items():
        spans = [r for r in state.residences if (r.master, r.saltenv) == (master, saltenv)]
        assert spans[-1].commit == commit and spans[-1].until is None
        for one, two in zip(spans, spans[1:], strict=False):
            assert one.until == two.since and one.commit != two.commit


@pytest.mark.parametrize(
    "rows", [None, 7, "x", [7], [{}], [{"saltenv": "prod"}], [{"saltenv": "prod", "new": "x"}]]
)
def test_sync_that_says_nothing_is_passed_over(rows: object) -> None:
    assert journal_state.replay([event("sync", master="m1", saltenvs=rows)]).residences == []
    good = [{"saltenv": "prod", "new": A, "time": "never"}]
    (found,) = journal_state.replay([event("sync", master="m1", saltenvs=good)]).residences
    assert found.since == NOW
