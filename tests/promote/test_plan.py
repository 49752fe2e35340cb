"""The plan as a value: its digest, its shape, its messages."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saltbranch.base.tickets import CommitLine, Group
from saltbranch.config.roots import plain
from saltbranch.git.merge import CONFLICT, MERGE, UP_TO_DATE
from saltbranch.journal.facts import Debt, Hold
from saltbranch.promote import plan as plans
from saltbranch.promote.gates import FAIL, PASS, GateResult
from saltbranch.promote.plan import BACK_MERGE, DELETE, TARGET, Changes, Plan, Step

A, B, C, TREE = "a" * 40, "b" * 40, "c" * 40, "d" * 40
STEP = Step(TARGET, "stage", "stage", A, B, "develop", MERGE, TREE)
BACK = Step(BACK_MERGE, "develop", "test", B, C, "stage", MERGE, TREE)
PLAN = Plan("promote stage", "promotion", "stage", "test", "test", (STEP,), Changes())
DEBT = Debt("", "develop", A, "hotfix/1", ("a",), 1.0)


# The digest


@pytest.mark.parametrize(
    "change",
    [
        {"verb": "promote prod"},
        {"saltenv": "prod"},
        {"steps": (replace(STEP, old=C),)},
        {"steps": (replace(STEP, source=C),)},
        {"steps": (replace(STEP, tree=C),)},
        {"steps": (replace(STEP, kind=CONFLICT),)},
        {"steps": (replace(STEP, branch="master"),)},
        {"steps": (STEP, BACK)},
        {"steps": (STEP, Step(DELETE, "feature/x", "", A, "", "", MERGE, ""))},
        {"tag": "v1"},
        {"tag": "v1", "tag_source": True},
        {"lifts_hold": True},
        {"hold_moves_to": C},
        {"debts": (DEBT,)},
        {"via_branch": True},
        {"overrides": {"soak": "r"}},
    ],
)
def test_another_deed_has_another_digest(change: dict[str, Any]) -> None:
    assert replace(PLAN, **change).digest != PLAN.digest


@pytest.mark.parametrize(
    "change",
    [
        {"gates": (GateResult("soak", FAIL, "1 h of 2 h", 7.0),)},
        {"notes": ("a note",)},
        {"left_behind": (CommitLine(A, "x", "Ann"),)},
        {"changes": Changes(tickets=("KEY-1",))},
        {"hold": Hold("stage", A, "hold", "r", "Ann", 1.0, None, "id")},
    ],
)
def test_what_is_only_said_does_not_change_the_digest(change: dict[str, Any]) -> None:
    assert replace(PLAN, **change).digest == PLAN.digest


def test_the_commit_that_a_back_merge_takes_is_not_there_yet() -> None:
    """It holds the time of its making, so it may not be part of the digest."""
    one, two = (
        replace(PLAN, steps=(STEP, BACK)),
        replace(PLAN, steps=(STEP, replace(BACK, source=A))),
    )
    assert one.digest == two.digest


def test_the_time_of_a_debt_is_not_part_of_the_digest() -> None:
    one, two = (
        replace(PLAN, debts=(replace(DEBT, time=t, commit=c),)) for t, c in ((1.0, A), (2.0, B))
    )
    assert one.digest == two.digest


@given(st.permutations(["soak", "ticket", "lint"]), st.text(max_size=20))
def test_the_order_and_the_reason_of_overrides_do_not_matter(names: list[str], why: str) -> None:
    one = replace(PLAN, overrides=dict.fromkeys(names, why))
    two = replace(PLAN, overrides=dict.fromkeys(sorted(names), "other"))
    assert one.digest == two.digest
    assert len(one.digest) == 16
    assert not one.digest.strip("0123456789abcdef")


@given(st.lists(st.sampled_from([A, B, C]), min_size=2, max_size=2), st.text(max_size=8))
def test_fields_cannot_run_into_one_another(commits: list[str], branch: str) -> None:
    one = replace(STEP, branch=f"{branch}x", old=commits[0], source=commits[1])
    two = replace(STEP, branch=branch, old=commits[0], source=commits[1])
    assert replace(PLAN, steps=(one,)).digest != replace(PLAN, steps=(two,)).digest


# What it is


def test_empty_conflict_closed() -> None:
    nothing = replace(PLAN, steps=(replace(STEP, kind=UP_TO_DATE),))
    assert nothing.is_empty
    assert not PLAN.is_empty
    assert not replace(nothing, tag="v1").is_empty
    assert not replace(nothing, steps=(*nothing.steps, BACK)).is_empty
    conflict = replace(PLAN, steps=(replace(STEP, kind=CONFLICT),))
    assert conflict.is_conflict
    assert not conflict.is_empty
    gates = (
        GateResult("a", PASS, ""),
        GateResult("b", FAIL, ""),
        GateResult("c", FAIL, "", None, "r"),
    )
    assert [g.name for g in replace(PLAN, gates=gates).closed_gates] == ["b"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("salt/web.sls", "web"),
        ("salt/web/init.sls", "web"),
        ("salt/web/tls/init.sls", "web.tls"),
        ("salt/web/tls.sls", "web.tls"),
        ("salt/init.sls", "init"),
        ("salt/web/files/a.conf", None),
        ("salty/web.sls", None),
        ("pillar/web.sls", None),
        ("salt/initial/x.sls", "initial.x"),
    ],
)
def test_sls_names(path: str, name: str | None) -> None:
    assert plans.sls_names([("M", path)], plain("salt", "pillar"), "states") == (
        (name,) if name else ()
    )


def test_an_sls_that_moved_between_its_two_places_is_one() -> None:
    files = [("D", "salt/web.sls"), ("A", "salt/web/init.sls")]
    assert plans.sls_names(files, plain("salt", "pillar"), "states") == ("web",)


# Its messages


def test_the_message_ends_in_trailers_and_lists_what_it_brings() -> None:
    commits = tuple(CommitLine(f"{n:040x}", f"Change {n}", "Ann") for n in range(52))
    changes = Changes(groups=(Group("KEY-1", commits),), tickets=("KEY-1",))
    text = plans.message(replace(PLAN, changes=changes, served_before=A), "ID", "Ann <a@b>")
    lines = text.splitlines()
    assert lines[0] == "Promote develop to stage (KEY-1)"
    assert lines[2] == "KEY-1:"
    assert "  and 2 more" in lines
    assert text.split("\n\n")[-1].splitlines() == [
        "Promotion-Id: ID",
        "Promotion-Kind: promotion",
        f"Promoted-From: test {B}",
        "Promoted-To: stage",
        "Promoted-By: Ann <a@b>",
        "Tickets: KEY-1",
        f"Plan-Digest: {replace(PLAN, changes=changes).digest}",
        f"Served-Before: {A}",
    ]


@given(st.text(alphabet="ab \n\r\t:", min_size=1, max_size=30))
def test_no_name_breaks_out_of_its_trailer(name: str) -> None:
    text = plans.message(PLAN, "ID", f"{name} <a@b>")
    last = text.rstrip("\n").split("\n\n")[-1].splitlines()
    assert [line.partition(": ")[0] for line in last] == [
        "Promotion-Id", "Promotion-Kind", "Promoted-From", "Promoted-To", "Promoted-By", "Plan-Digest",
    ]  # fmt: skip
