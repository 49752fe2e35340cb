"""A hold of all saltenvs, and what it makes of the holds of single ones."""

from __future__ import annotations

from typing import Any

import pytest

from saltbranch.base.durations import iso
from saltbranch.journal import events
from saltbranch.journal import state as journal_state
from saltbranch.journal.events import Event, Kind
from saltbranch.journal.state import State

A, B, C, D = ("a" * 40, "b" * 40, "c" * 40, "d" * 40)
NOW = 1_000_000.0


def event(kind: Kind, **details: Any) -> Event:
    made = Event(kind, f"id-{kind}-{len(details)}", NOW, "Ann <a@example.com>", details)
    read = events.parse_message("f" * 40, made.message())
    assert read is not None
    return read


def stop(test: str = A, prod: str = B, **more: Any) -> Event:
    rows = [{"saltenv": "test", "commit": test}, {"saltenv": "prod", "commit": prod}]
    return event("hold", all=True, saltenvs=rows, reason="fire", **more)


def go_on() -> Event:
    return event("unhold", all=True, reason="out")


def own(commit: str, kind: Kind = "hold", **more: Any) -> Event:
    return event(kind, saltenv="prod", branch="master", commit=commit, reason="mine", **more)


def at(state: State, saltenv: str = "prod", now: float = NOW) -> str | None:
    hold = state.hold(saltenv, now)
    return hold.commit if hold else None


def after(*told: Event) -> State:
    return journal_state.replay(told)


def test_one_event_holds_all_and_one_lets_all_go() -> None:
    state = after(stop())
    assert (at(state, "test"), at(state, "prod"), at(state, "other")) == (A, B, None)
    hold = state.hold_of_all(NOW)
    assert (
        hold is not None
        and hold.all
        and (hold.reason, hold.who)
        == (
            "fire",
            "Ann <a@example.com>",
        )
    )
    state = after(stop(), go_on())
    assert (at(state, "test"), at(state, "prod"), state.hold_of_all(NOW)) == (None, None, None)


def test_what_was_held_before_stays_so_afterwards() -> None:
    before = own(C, "rollback")
    assert at(after(before, stop())) == B
    assert at(after(before, stop(), go_on())) == C


def test_what_is_held_later_counts_on_top_of_it_and_stays() -> None:
    for kind in ("hold", "rollback"):
        assert at(after(stop(), own(C, kind))) == C
        assert at(after(stop(), own(C, kind), go_on())) == C
    assert at(after(stop(), own(C), event("unhold", saltenv="prod"))) == B


def test_a_second_one_counts_instead_of_the_first() -> None:
    state = after(stop(), own(C), stop(test=D, prod=C))
    assert (at(state, "test"), at(state)) == (D, C)
    assert at(after(stop(), own(C), stop(prod=D), go_on())) == C


def test_a_hotfix_moves_what_holds_it_on_both_floors() -> None:
    details = {"saltenv": "prod", "source_commit": D, "old": B, "new": D, "hold_moves_to": D}
    fix = event("promotion", **details)
    assert at(after(own(B), stop(), fix)) == D
    assert at(after(own(B), stop(), fix, go_on())) == D
    assert at(after(stop(), fix, go_on())) is None
    assert at(after(stop(), fix), "test") == A


def test_it_ends_at_its_time_and_what_was_below_counts_again() -> None:
    state = after(own(C), stop(until=iso(NOW + 60)))
    assert (at(state, now=NOW + 59), at(state, now=NOW + 61)) == (B, C)
    assert state.hold_of_all(NOW + 61) is None


@pytest.mark.parametrize(
    "rows",
    [None, 1, "x", {}, [], [1, None, "x"], [{"saltenv": "prod"}], [{"commit": B}],
     [{"saltenv": 1, "commit": B}], [{"saltenv": "prod", "commit": "b" * 39}],
     [{"saltenv": "", "commit": B}], [{"saltenv": "prod", "commit": [B]}]],
)  # fmt: skip
def test_what_has_no_row_that_makes_sense_holds_nothing(rows: Any) -> None:
    state = after(own(C), event("hold", all=True, saltenvs=rows, reason="x"))
    assert (at(state), state.held_all) == (C, {})


@pytest.mark.parametrize("word", [1, "true", None, [True]])
def test_all_is_true_and_nothing_like_it(word: Any) -> None:
    rows = [{"saltenv": "prod", "commit": B}]
    assert at(after(event("hold", all=word, saltenvs=rows))) is None
    state = after(stop(), event("unhold", all=word))
    assert at(state) == B


def test_its_commits_are_kept_with_it() -> None:
    assert {A, B} <= set(stop().names())
    assert go_on().names() == []


def test_its_line_for_people() -> None:
    assert stop().message().startswith("hold all id-hold-")


def test_a_push_that_undoes_a_promotion_ends_no_stop() -> None:
    """The hold that the promotion had lifted is back, below it."""
    before = after(own(C, "rollback")).holds["prod"].as_dict()
    details = {"saltenv": "prod", "branch": "master", "old": B, "new": A, "good": A, "number": 0}
    undone = event("push", **details, restores_hold=before)
    assert at(after(undone)) == C
    assert at(after(stop(), undone)) == B
    assert at(after(stop(), undone, go_on())) == C
