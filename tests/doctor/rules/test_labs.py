"""What doctor says of labs."""

from __future__ import annotations

from saltbranch.doctor.rules import labs


def test_a_claim_that_does_not_count_is_told() -> None:
    (found,) = labs.refused({"lab2": "prod lends no minions"})
    assert (found.id, found.severity) == ("lab-refused", "warning")
    assert found.message == "the claim of lab2 does not count here: prod lends no minions"
    assert list(labs.refused({})) == []


def test_minions_that_are_unknown_or_pinned_are_told() -> None:
    found = list(labs.minions(["test1", "tets2"], {"test3": "saltenv: test"}, ["test1", "test3"]))
    assert [(f.id, f.items) for f in found] == [
        ("lab-minion-unknown", ("tets2",)),
        ("lab-minion-pinned", ("test3",)),
    ]
    assert list(labs.minions(["test1"], {}, [])) == []


def test_pillar_of_branches_is_a_note() -> None:
    assert (labs.pillar_of_branch().id, labs.pillar_of_branch().severity) == (
        "lab-pillar-branch",
        "note",
    )
