"""Approvals as the journal has them: as many as are kept, and which, whatever somebody writes into it."""

from __future__ import annotations

import base64

from saltbranch.journal.approvals import MOST, MOST_OF_ALL
from saltbranch.journal.events import APPROVAL, PROMOTION, Event
from saltbranch.journal.state import replay

DIGEST = "d" * 64


def approve(id_: str, saltenv: str = "prod", signature: str = "s") -> Event:
    details = {"action": "approve", "saltenv": saltenv, "digest": DIGEST, "signature": signature}
    return Event(APPROVAL, id_, 1.0, "Ann <ann@example.com>", details)


def test_the_newest_counts_where_there_are_too_many() -> None:
    """Whoever approves after a flood of them, or after a hundred plans that nobody promoted, is not passed over."""
    told = [approve("other", "stage"), *(approve(f"x{n}") for n in range(MOST + 5)), approve("me")]
    found = replay(told).approvals
    assert len(found) == MOST + 1
    assert "me" in found and "other" in found and "x0" not in found


def test_made_up_saltenvs_are_bounded_too() -> None:
    told = [approve(f"x{n}", f"s{n}") for n in range(MOST_OF_ALL + 50)]
    found = replay([*told, approve("me")]).approvals
    assert len(found) == MOST_OF_ALL
    assert "me" in found


def test_what_was_promoted_is_not_approved_once_more_by_the_same_event() -> None:
    """The branch may be reset, and the plan be the same one again."""
    commit = "a" * 40
    rows = {"saltenv": "prod", "branch": "master", "kind": "promotion", "old": commit}
    done = Event(PROMOTION, "p", 2.0, "Ann", {**rows, "new": "b" * 40, "source_commit": "c" * 40})
    state = replay([approve("mine"), approve("other", "stage"), done, approve("mine")])
    assert list(state.approvals) == ["other"]
    assert [p.id for p in state.promotions] == ["p"]


def of_key(name: str) -> str:
    """A signature that says it is of that key."""
    key = name.encode()
    data = b"SSHSIG\0\0\0\1" + len(key).to_bytes(4, "big") + key
    return f"-----BEGIN SSH SIGNATURE-----\n{base64.b64encode(data).decode()}\n-----END SSH SIGNATURE-----\n"


def test_a_flood_takes_no_others_away() -> None:
    """What names the key that most of them name goes first."""
    mine = approve("mine", signature=of_key("dora"))
    flood = [approve(f"x{n}", signature=of_key("eve")) for n in range(2 * MOST)]
    more = [approve(f"y{n}", f"s{n}", of_key("eve")) for n in range(2 * MOST_OF_ALL)]
    found = replay([mine, *flood, *more]).approvals
    assert "mine" in found
    assert len(found) == MOST_OF_ALL
