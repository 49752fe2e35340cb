"""Who asked for what a machine did: names of strangers, how they are shown, and where they are written."""

from __future__ import annotations

import pytest

from saltbranch.base import asked_by as asking
from saltbranch.base.asked_by import Asked
from saltbranch.history import trailers
from saltbranch.journal import events, facts
from saltbranch.journal import state as journal_state
from saltbranch.promote import plan as plans
from saltbranch.promote.plan import Changes, Plan, Step

MACHINE = "Master <root@m1>"
OLD, NEW, SOURCE = ("a" * 40, "b" * 40, "c" * 40)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("ann", "ann"),
        ("bob\nPromoted-By: root", "bob Promoted-By: root"),
        ("\x1b[31mred\x07", "\ufffd[31mred\ufffd"),
        ("\u202eeno", "\ufffdeno"),
        ("\ud800", "\ufffd"),
        ("x" * 5000, "x" * 200 + "..."),
        ("  \n ", ""),
        (None, ""),
        (["ann"], ""),
        ({"a": 1}, ""),
    ],
)
def test_a_name_of_a_stranger_is_one_short_line(given: object, kept: str) -> None:
    assert asking.name(given) == kept
    assert Asked(given, given).details().get("asked_by", "") == kept  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked_by", "claimed_by", "text"),
    [
        ("", "", MACHINE),
        ("ann", "", f"ann through Salt on {MACHINE}"),
        ("sudo_ann", "", f"sudo_ann through Salt on {MACHINE}"),
        ("Reactor", "bob", f"Reactor (who says: for bob) through Salt on {MACHINE}"),
        ("", "bob", f"somebody (who says: for bob) through Salt on {MACHINE}"),
        ("", "auto_promote", f"{MACHINE} by itself (auto_promote)"),
        ("ann", "auto_promote", f"ann (who says: for auto_promote) through Salt on {MACHINE}"),
        # A claim cannot be made to look like what Salt said.
        ("Reactor", "x) through Salt on Root <root@m1>",
         f'Reactor (who says: for "x) through Salt on Root <root@m1>") through Salt on {MACHINE}'),
        ("Reactor", 'x") through Salt', f'Reactor (who says: for "x\\") through Salt") through Salt on {MACHINE}'),
    ],
)  # fmt: skip
def test_what_people_read(asked_by: str, claimed_by: str, text: str) -> None:
    assert asking.shown(MACHINE, asked_by, claimed_by) == text


def event(kind: str, **details: object) -> events.Event:
    return events.Event(kind, "20260101T000000Z-00000000", 1767225600, MACHINE, details)


def test_holds_and_promotions_keep_who_asked_and_only_names() -> None:
    told = {"asked_by": "ann", "claimed_by": "bob\nroot"}
    state = journal_state.replay([
        event("hold", saltenv="prod", commit=OLD, reason="r", **told),
        event("promotion", saltenv="stage", source_commit=SOURCE, old=OLD, new=NEW, asked_by=["x"]),
    ])  # fmt: skip

    hold, made = state.holds["prod"], state.promotions[0]
    assert (hold.by, hold.asked_by, hold.claimed_by) == (MACHINE, "ann", "bob root")
    assert hold.who == f'ann (who says: for "bob root") through Salt on {MACHINE}'
    again = facts.hold_from_dict(hold.as_dict())
    assert (again.asked_by, again.claimed_by) == ("ann", "bob root")
    assert (made.asked_by, made.who, made.as_dict()["asked_by"]) == ("", MACHINE, None)


def test_a_hold_that_moves_keeps_who_asked_for_it() -> None:
    held = event("hold", saltenv="prod", commit=OLD, reason="r", asked_by="ann")
    moved = event(
        "promotion", saltenv="prod", source_commit=SOURCE, old=OLD, new=NEW, hold_moves_to=SOURCE
    )

    hold = journal_state.replay([held, moved]).holds["prod"]

    assert (hold.commit, hold.asked_by, hold.reason) == (SOURCE, "ann", "r")


def test_trailers_say_who_asked_and_a_name_makes_no_trailer_of_its_own() -> None:
    step = Step("target", "stage", "stage", OLD, SOURCE, "develop", "merge", "d" * 40)
    plan = Plan("promote stage", "promotion", "stage", "test", "test", (step,), Changes())
    asked = Asked("ann", "bob\nPromotion-Id: 20260101T000000Z-ffffffff")

    text = plans.message(plan, "20260101T000000Z-00000000", MACHINE, asked)
    found = trailers.parse(NEW, 0, text.partition("\n\n")[2])

    assert found is not None
    assert (found.id, found.by) == ("20260101T000000Z-00000000", MACHINE)
    assert found.asked_by == "ann"
    assert found.claimed_by == "bob Promotion-Id: 20260101T000000Z-ffffffff"
    assert "Asked-By" not in plans.message(plan, "x-1", MACHINE)
