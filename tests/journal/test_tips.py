"""What the journal says of a branch, event by event."""

from __future__ import annotations

from typing import Any

import pytest

from saltbranch.journal import state as journal_state
from saltbranch.journal.events import Event
from saltbranch.journal.state import State
from saltbranch.journal.tips import Tip, tip_from_list

A, B, C, D = ("a" * 40, "b" * 40, "c" * 40, "d" * 40)


def event(kind: str, name: str, /, **details: Any) -> Event:
    return Event(kind, name, 0.0, "Ann", {"saltenv": "prod", "branch": "master", **details})


def promotion(old: str, new: str, name: str = "p", **details: Any) -> Event:
    return event("promotion", name, old=old, new=new, source_commit=new, **details)


def push(old: str, new: str, good: str, name: str = "push-1", **details: Any) -> Event:
    return event("push", name, old=old, new=new, good=good, **{"number": 1, **details})


def told(*found: Event) -> State:
    return journal_state.replay(found)


@pytest.mark.parametrize(
    ("found", "tip"),
    [
        ([promotion(A, B)], Tip(B, B, "p")),
        ([promotion(A, A)], None),
        ([push(A, B, B)], Tip(B, B, "push-1", ("push-1",), A)),
        ([push(A, B, A)], Tip(B, A, "push-1", ("push-1",), A)),
        ([push(A, B, A), promotion(B, C)], Tip(C, C, "p")),
        # A hotfix on top of a hold moves no branch, so it takes up nothing.
        ([push(A, B, A), promotion(B, B)], Tip(B, A, "push-1", ("push-1",), A)),
        ([push(A, B, A), event("accept", "a", commit=B)], Tip(B, B, "a")),
        # Accepted was what was looked at, not what came after it.
        ([push(A, B, A), push(B, C, A, "push-2"), event("accept", "a", commit=B)], Tip(C, B, "a", ("push-2",), B)),
        ([promotion(A, B), event("backmerge", "m", kind="merge", new=C)], Tip(C, C, "m")),
        # On what nothing is promoted to it begins nothing, and ends what was known from another time.
        ([event("backmerge", "m", kind="merge", new=C)], None),
        ([event("backmerge", "m", kind="merge", new=C, promoted_to=True)], Tip(C, C, "m")),
        ([promotion(A, B), event("backmerge", "m", kind="merge", new=C, promoted_to=False)], None),
        ([push(A, B, A), event("backmerge", "m", kind="merge", new=C)], Tip(C, A, "m", ("push-1",), A)),
        # A fast-forward to a promotion above means that all of it was promoted.
        ([push(A, B, A), event("backmerge", "m", kind="fast-forward", new=C)], Tip(C, C, "m")),
        # Found late, by its merge: a newer promotion is known.
        ([promotion(A, C), promotion(A, B, "late", rebuilt=True)], Tip(C, C, "p")),
    ],
)  # fmt: skip
def test_tip_follows_the_events(found: list[Event], tip: Tip | None) -> None:
    assert told(*found).tips.get("master") == tip


@pytest.mark.parametrize(
    ("row", "tip"),
    [
        ({"kind": "fast-forward"}, Tip(B, B, "p")),
        ({"kind": "merge", "new": D}, Tip(D, D, "p")),
        ({"kind": "merge"}, Tip("", "", "p")),  # an older version did not say it
        ({"kind": "merge", "new": "--evil"}, Tip("", "", "p")),
    ],
)
def test_back_merges_of_a_promotion_move_the_branches_below(row: dict[str, Any], tip: Tip) -> None:
    merged = {"branch": "stage", "old": C, "promoted_to": True, **row}
    found = told(promotion(A, B, merges=[merged, None, 3]))
    assert found.tips == {"master": Tip(B, B, "p"), "stage": tip}


def test_steps_of_a_rollback_are_what_was_served() -> None:
    served, refused = push(A, B, B), push(B, C, B, "push-2")
    accepted = event("accept", "a", commit=C, from_commit=B, push="push-2")
    moved = told(served, refused, accepted).by_hand
    assert [(m.id, m.before, m.new) for m in moved] == [("push-1", A, B), ("push-2", B, C)]


def test_a_promotion_that_was_undone_counts_no_longer_and_its_hold_is_back() -> None:
    hold = event("rollback", "r", commit=A, reason="it breaks")
    begin = told(hold).holds["prod"].as_dict()
    undone = push(B, A, A, number=0, lost=["p"], restores_hold=begin)
    found = told(hold, promotion(A, B, lifts_hold=True), undone)
    assert found.promotions == [] and found.by_hand == []
    assert (found.holds["prod"].commit, found.holds["prod"].reason) == (A, "it breaks")
    assert found.holds["prod"].kind == "rollback"


@pytest.mark.parametrize(
    "details",
    [
        {"good": "x"},
        {"good": A, "number": "9" * 99, "commits": {}, "committers": 1, "lost": [None, 3]},
        {"good": A, "restores_hold": {"saltenv": "prod", "commit": "no"}},
        {"good": A, "restores_hold": {"saltenv": "prod", "commit": A, "since": "\0"}},
        {"good": A, "restores_hold": {"saltenv": "other", "commit": A}},
        {"good": A, "restores_hold": "x", "branch": 7},
    ],
)
def test_nothing_in_an_event_is_trusted_to_have_the_right_shape(details: dict[str, Any]) -> None:
    found = told(event("push", "push-1", **{"old": A, "new": B, **details}))
    assert found.holds == {} and found.promotions == []
    assert all(isinstance(p.told(), str) for p in found.pushes.values())


def test_an_event_counts_once() -> None:
    found = told(push(A, B, B), push(A, B, B))
    assert len(found.by_hand) == len(found.pushes) == 1


@pytest.mark.parametrize("data", [None, [], ["a"], [1, 2, 3, 4], {}])
def test_a_torn_tip_is_an_error(data: object) -> None:
    with pytest.raises(ValueError, match="not a tip"):
        tip_from_list(data)
    assert tip_from_list(Tip(A, B, "e", ("p", "q"), C).as_list()) == Tip(A, B, "e", ("p", "q"), C)


def test_what_was_promoted_counts_until_it_is_accepted_that_it_is_gone() -> None:
    begin = [promotion(A, B, "p1"), promotion(B, C, "p2")]
    refused = push(C, B, C, number=0, lost=["p2"])
    assert [p.id for p in told(*begin, refused).promotions] == ["p1", "p2"]
    undone = push(C, B, A, number=0, lost=["p2"], undone=True)
    assert [p.id for p in told(*begin, undone).promotions] == ["p1"], "it never was"
    accepted = event("accept", "a", commit=B, from_commit=C, push="push-1")
    assert [p.id for p in told(*begin, refused, accepted).promotions] == ["p1"]
    taken_up = promotion(B, D, "p3")
    assert [p.id for p in told(*begin, refused, taken_up).promotions] == ["p1", "p3"]


def test_what_was_put_right_is_as_before() -> None:
    hold = event("rollback", "r", commit=A, reason="it breaks")
    begin = [hold, promotion(A, B, "p1", lifts_hold=True)]
    saved = told(hold).holds["prod"].as_dict()
    undone = push(B, A, A, number=0, lost=["p1"], restores_hold=saved)
    debt = event("debt", "d", commit=B, promotion="p1")
    right = push(A, B, B, "push-2", number=0, put_right=True, restored=["p1"], lifts_hold=True)

    open_one = told(*begin, debt, undone)
    assert open_one.undone == {"p1"} and open_one.open_push("master") and open_one.holds
    assert [d.promotion for d in open_one.debts] == ["p1"]
    found = told(*begin, debt, undone, right)

    assert found.tips["master"] == Tip(B, B, "push-2")
    assert (found.open_push("master"), found.holds, found.undone) == (None, {}, set())
    assert [p.id for p in found.promotions] == ["p1"] and found.by_hand == []


def test_open_pushes_follow_one_another_or_begin_anew() -> None:
    first, second = push(A, B, B, since=A), push(B, C, C, "push-2", since=A)
    assert told(first, second).tips["master"] == Tip(C, C, "push-2", ("push-1", "push-2"), A)
    # Something that only a merge tells of came in between, and took up the first.
    assert told(first, push(C, D, D, "push-2", since=C)).tips["master"].pushes == ("push-2",)


def test_a_promotion_keeps_what_its_back_merges_made() -> None:
    rows = [{"branch": "stage", "new": C}, {"branch": "develop", "new": "--evil"}, None]
    assert C in promotion(A, B, merges=rows).names()
    assert "--evil" not in promotion(A, B, merges=rows).names()
