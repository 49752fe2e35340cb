"""On how many minions something runs, by the ends of applies that the journal has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from saltbranch.history.applied import OnMinions, on_minions, told_of
from saltbranch.journal.events import APPLY, Event, from_dict

OLD, NEW = "a" * 40, "b" * 40


def event(time: float, commit: str, counts: dict[str, int], **details: Any) -> Event:
    given = {"saltenv": "prod", "commit": commit, "counts": counts, "of": 12, "master": "m1"}
    return Event(
        APPLY, f"e{time}", time, "Ann", {"status": "done", "apply": f"a{time}", **given, **details}
    )


def runs(*given: Event, has: tuple[str, ...] = (NEW,)) -> list[tuple[str, int, int, float | None]]:
    told = [one for one in map(told_of, given) if one]
    found = on_minions(told, "prod", lambda commit: commit in has)
    return [(row.master, row.runs, row.of, row.since) for row in found]


FIRST = event(1.0, OLD, {"applied": 12})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((), []),
        ((event(1.0, NEW, {"applied": 11, "failed": 1}),), [("m1", 11, 12, 1.0)]),
        ((FIRST,), [("m1", 0, 12, None)]),
        ((FIRST, event(2.0, NEW, {"applied": 3, "pending": 9})), [("m1", 3, 12, 2.0)]),
        # With less left to do the same again: since when it was first on so many.
        ((event(1.0, NEW, {"applied": 12}), event(2.0, NEW, {"applied": 12})), [("m1", 12, 12, 1.0)]),
        # Of one that failed later nobody knows what it has; of those that were not reached it is known.
        ((event(1.0, NEW, {"applied": 12}), event(2.0, NEW, {"failed": 2, "pending": 10})),
         [("m1", 10, 12, 1.0)]),
        # Something without it was applied to three.
        ((event(1.0, NEW, {"applied": 12}), event(2.0, OLD, {"applied": 3})), [("m1", 9, 12, 1.0)]),
        # A test run found nothing on nine.
        ((event(2.0, NEW, {"applied": 3}, unchanged=9),), [("m1", 12, 12, 2.0)]),
        # Rolled back where it was applied or failed.
        ((FIRST, event(2.0, NEW, {"applied": 3, "failed": 1}, rolled_back_to=OLD, back=4)),
         [("m1", 0, 12, None)]),
        ((event(1.0, NEW, {"applied": 4}, of=4), event(2.0, OLD, {"applied": 7}, master="m2", of=7)),
         [("m1", 4, 4, 1.0), ("m2", 0, 7, None)]),
        # One that stopped tells the same again when it is gone on with, or aborted.
        ((event(1.0, NEW, {"applied": 12}), *(event(t, OLD, {"applied": t, "pending": 12 - t},
          status=status, apply="y") for t, status in ((4, "stopped"), (8, "stopped"), (8, "aborted")))),
         [("m1", 4, 12, 1.0)]),
        # An older one that is aborted does nothing more.
        ((event(1.0, OLD, {"applied": 4}, apply="1", status="stopped"), event(2.0, NEW, {"applied": 12},
          apply="2"), event(3.0, OLD, {"applied": 4}, apply="1", status="aborted")),
         [("m1", 12, 12, 2.0)]),
        # Fewer minions than before.
        ((event(1.0, NEW, {"applied": 12}), event(2.0, NEW, {"failed": 1, "applied": 4}, of=5)),
         [("m1", 5, 5, 1.0)]),
        ((event(1.0, NEW, {"applied": 1}, saltenv="stage"),), []),
    ],
)  # fmt: skip
def test_the_least_that_is_certain(given: tuple[Event, ...], expected: list[Any]) -> None:
    assert runs(*given) == expected


def test_what_a_rollback_goes_back_to_runs() -> None:
    last = event(2.0, NEW, {"applied": 3, "failed": 1}, rolled_back_to=OLD, back=4)
    assert runs(FIRST, last, has=(OLD,)) == [("m1", 12, 12, 1.0)]
    assert runs(last, has=(OLD,)) == [("m1", 4, 12, 2.0)]


@pytest.mark.parametrize(
    "odd",
    [
        {"commit": "x"},
        {"commit": None},
        {"saltenv": 3},
        {"counts": []},
        {"counts": {"applied": -1, "failed": True, "x": 3, "gone": 10**30}},
        {"of": "twelve"},
        {"of": -1, "unchanged": [1], "back": {}},
        {"since": "yesterday"},
        {"since": ["x"], "status": {"a": 1}, "apply": 3, "master": []},
        {"rolled_back_to": "\x1b[2J"},
    ],
)
def test_an_entry_that_anybody_wrote_breaks_nothing(odd: dict[str, Any]) -> None:
    given = event(1.0, NEW, {"applied": 2})
    told = told_of(replace(given, details={**given.details, **odd}))
    if told:
        (row,) = on_minions([told], "prod", lambda commit: True) or [None]
        assert isinstance(row, OnMinions) and 0 <= row.runs <= row.of <= 12
        assert set(row.as_dict()) == {"master", "apply", "commit", "time", "runs", "of", "since"}
    assert told_of(Event("verify", "x", 1.0, "Ann", {"saltenv": "prod", "commit": NEW})) is None


def test_it_comes_through_the_journal() -> None:
    found = from_dict(event(1.0, NEW, {"applied": 2}, since="1970-01-01T00:00:00Z").as_dict())
    told = told_of(found) if found else None
    assert told and (told.since, told.time, told.counts) == (0.0, 1.0, {"applied": 2})
