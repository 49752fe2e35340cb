"""Which claims of labs count: by machine and model, whatever the journal says."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saltbranch.config.labs import DAY, LONGEST
from saltbranch.config.minions import Matcher
from saltbranch.labs.judge import Rules, free_number, given_out, judge
from saltbranch.labs.lab import Claim, Lab

NOW = 1_800_000_000.0
RULES = Rules(
    count=4,
    ends={"feature/": "develop", "hotfix/": "master", "release/": "master"},
    groups={
        "test": (Matcher("glob", "test*"),),
        "stage": (Matcher("list", "stage1,stage2"), Matcher("nodegroup", "staging")),
        "prod": (Matcher("pcre", "web[0-9]+$"),),
        "other": (Matcher("glob", "other*"),),
    },
    here=frozenset({"test", "stage", "prod"}),
    lends=frozenset({"test", "stage"}),
    first="test",
    served=frozenset({"develop", "stage", "master", "release/kept"}),
    nodegroups={"staging": "L@s1,s2"},
)


def claim(number: int = 1, branch: str = "feature/a", *minions: str, ends: float = DAY) -> Claim:
    return Claim(
        f"id-{number}-{branch}", number, branch, minions, since=NOW - 60, until=NOW - 60 + ends, by="Ann"
    )  # fmt: skip


def refused(*claims: Claim, rules: Rules = RULES, branches: set[str] | None = None) -> str:
    """Why the last of `claims` does not count; empty where it does."""
    known = {c.branch for c in claims} if branches is None else branches
    lab = judge(claims, rules, known, NOW)[claims[-1].number - 1]
    assert lab.claim is claims[-1]
    assert bool(lab.branch) == (not lab.refused)
    assert lab.lent == (() if lab.refused else lab.claim.minions)
    return lab.refused


def test_without_claims_each_is_free() -> None:
    labs = judge([], RULES, {"feature/a"}, NOW)
    assert labs == [Lab(1), Lab(2), Lab(3), Lab(4)]
    assert (labs[0].name, labs[0].dirname, labs[0].branch) == ("lab1", "lab1+", "")
    assert judge([claim()], replace(RULES, count=0), {"feature/a"}, NOW) == []


@pytest.mark.parametrize(
    ("minions", "saltenv"),
    [((), "test"), (("test1", "test.b"), "test"), (("stage1", "s2"), "stage")],
)
def test_whose_pillar_it_has(minions: tuple[str, ...], saltenv: str) -> None:
    found = judge([claim(2, "hotfix/b", *minions)], RULES, {"hotfix/b"}, NOW)[1]
    assert (found.saltenv, found.lent, found.branch) == (saltenv, minions, "hotfix/b")


@pytest.mark.parametrize(
    ("branch", "minions", "why"),
    [
        ("develop", (), "is the branch of a saltenv"),
        ("release/kept", (), "is the branch of a saltenv"),
        ("wip/a", (), "does not begin with feature/, hotfix/, release/"),
        ("feature/a", ("web1",), "prod lends no minions"),
        ("feature/a", ("other1",), "this machine does not serve other"),
        ("feature/a", ("nobody",), "nobody is of no saltenv"),
        ("feature/a", ("test1", "stage1"), "a lab has the pillar of one"),
        ("feature/a", ("test*",), "is not a minion id"),
        ("feature/a", ("*",), "is not a minion id"),
        ("feature/a", ("test1,test2",), "is not a minion id"),
        ("feature/a", ("test1\n",), "is not a minion id"),
        ("feature/a", ("test1 or *",), "is not a minion id"),
        ("feature/a", ("test[1]",), "is not a minion id"),
        ("feature/a", ("G@os:*",), "is not a minion id"),
        ("feature/a", ("../test1",), "is not a minion id"),
        ("feature/a", ("",), "is not a minion id"),
    ],
)  # fmt: skip
def test_what_does_not_count(branch: str, minions: tuple[str, ...], why: str) -> None:
    assert why in refused(claim(1, branch, *minions))


def test_a_minion_that_two_saltenvs_claim_is_not_lent() -> None:
    both = {**RULES.groups, "stage": (Matcher("glob", "*1"),)}
    assert "test1 is of test and stage" in refused(
        claim(1, "feature/a", "test1"), rules=replace(RULES, groups=both)
    )


def test_how_long() -> None:
    assert refused(claim(ends=LONGEST)) == ""
    assert "it is for more than 30 d" in refused(claim(ends=LONGEST + 1))
    ahead = replace(claim(), since=NOW + 40 * DAY, until=NOW + 41 * DAY)
    assert "it is for more than 30 d" in refused(ahead)


def test_the_first_of_the_journal_counts() -> None:
    assert refused(claim(1, "feature/a", "test1"), claim(2, "feature/b", "test1")) == (
        "test1 is lent to lab1"
    )
    assert refused(claim(2, "feature/a"), claim(1, "feature/a")) == "feature/a has lab2"
    # What does not count takes nothing away.
    assert refused(claim(1, "wip/a", "test1"), claim(2, "feature/b", "test1")) == ""
    older = replace(claim(2, "feature/b", "test1"), since=NOW - 9 * DAY)
    assert refused(claim(1, "feature/a", "test1"), older) == "test1 is lent to lab1"


@pytest.mark.parametrize("gone", ["time", "branch", "merged"])
def test_when_it_is_free_again(gone: str) -> None:
    one = claim(ends=61 if gone == "time" else DAY)
    now = NOW + 1 if gone == "time" else NOW
    branches = set() if gone == "branch" else {"feature/a"}
    merged = {"feature/a": "c" * 40} if gone == "merged" else {}
    labs = judge([one], RULES, branches, now, merged=merged)
    assert labs[0].claim is None
    assert labs[0].freed
    assert free_number(labs) == 1


def test_a_branch_without_commits_of_its_own_is_not_merged() -> None:
    one = replace(claim(), empty_at="c" * 40)
    merged = {"feature/a": "c" * 40}
    assert judge([one], RULES, {"feature/a"}, NOW, merged=merged)[0].branch == "feature/a"
    merged = {"feature/a": "d" * 40}
    assert judge([one], RULES, {"feature/a"}, NOW, merged=merged)[0].branch == ""


AUTO = replace(RULES, auto="feature/*", count=2)


def autos(claims: list[Claim], branches: set[str], before: dict[int, str]) -> dict[int, str]:
    labs = judge(claims, AUTO, branches, NOW, auto=before)
    assert all(not lab.lent for lab in labs if lab.claim and lab.claim.is_auto)
    return given_out(labs)


def test_lab_auto_gives_free_labs_to_branches_that_match() -> None:
    assert autos([], {"feature/b", "feature/a", "hotfix/c", "develop"}, {}) == {
        1: "feature/a",
        2: "feature/b",
    }
    lab = judge([], AUTO, {"feature/a"}, NOW)[0]
    assert (lab.branch, lab.saltenv, lab.lent) == ("feature/a", "test", ())
    assert lab.claim
    assert math.isinf(lab.claim.until)


def test_lab_auto_keeps_what_it_gave() -> None:
    branches = {"feature/a", "feature/b", "feature/c"}
    assert autos([], branches, {1: "feature/c", 2: "feature/b"}) == {1: "feature/c", 2: "feature/b"}
    assert autos([], branches - {"feature/b"}, {1: "feature/c", 2: "feature/b"}) == {
        1: "feature/c",
        2: "feature/a",
    }
    # What may not have one never keeps one: the file may be anybody's.
    assert autos([], branches, {1: "develop", 2: "../x", 7: "feature/c"})[1] != "develop"


def test_a_claim_takes_a_lab_of_lab_auto() -> None:
    branches = {"feature/a", "feature/b", "hotfix/c"}
    before = {1: "feature/a", 2: "feature/b"}
    labs = judge([claim(1, "hotfix/c", "test1")], AUTO, branches, NOW, auto=before)
    assert (labs[0].branch, labs[0].lent) == ("hotfix/c", ("test1",))
    assert labs[1].branch == "feature/b", "it keeps its own"
    # Whose lab is taken comes before those that never had one.
    wider = judge([claim(2, "hotfix/c")], replace(AUTO, count=3), branches, NOW, auto=before)
    assert [lab.branch for lab in wider] == ["feature/a", "hotfix/c", "feature/b"]
    assert free_number(judge([], AUTO, branches, NOW, auto=before)) == 1


IDS = st.sampled_from(["test1", "test2", "stage1", "s1", "web1", "other1", "*", "", "x\n"])
CLAIMS = st.lists(
    st.builds(
        Claim,
        id=st.uuids().map(str),
        number=st.integers(-1, 6),
        branch=st.sampled_from(["feature/a", "feature/b", "hotfix/c", "develop", "-x", "feature/"]),
        minions=st.lists(IDS, max_size=3, unique=True).map(tuple),
        since=st.floats(NOW - 99 * DAY, NOW + 99 * DAY),
        until=st.floats(NOW - 99 * DAY, NOW + 99 * DAY),
        by=st.text(max_size=3),
        empty_at=st.sampled_from(["", "c" * 40]),
    ),
    max_size=8,
)
BRANCHES = st.sets(st.sampled_from(["feature/a", "feature/b", "feature/d", "hotfix/c", "develop"]))


@given(
    claims=CLAIMS,
    branches=BRANCHES,
    auto=st.sampled_from(["", "feature/*", "*"]),
    kept=st.dictionaries(st.integers(0, 6), st.sampled_from(["feature/a", "feature/d", "develop", "x"])),
    merged=st.dictionaries(st.sampled_from(["feature/a", "feature/d"]), st.just("c" * 40)),
)  # fmt: skip
def test_whatever_the_journal_says(
    claims: list[Claim],
    branches: set[str],
    auto: str,
    kept: dict[int, str],
    merged: dict[str, str],
) -> None:
    rules = replace(RULES, auto=auto)
    labs = judge(claims, rules, branches, NOW, merged=merged, auto=kept)
    assert [lab.number for lab in labs] == [1, 2, 3, 4]
    lent = [minion for lab in labs for minion in lab.lent]
    assert len(lent) == len(set(lent)), "no minion is lent twice"
    assert set(lent) <= {"test1", "test2", "stage1", "s1"}
    served = [lab.branch for lab in labs if lab.branch]
    assert len(served) == len(set(served)), "a branch has one lab"
    assert set(served) <= branches - {"develop"}
    for lab in labs:
        assert lab.claim is None or lab.claim.number == lab.number
        homes = {("test" if m.startswith("test") else "stage") for m in lab.lent}
        assert not homes or homes == {lab.saltenv}
        if lab.claim and not lab.claim.is_auto:
            assert lab.claim.until > NOW
            assert lab.refused or lab.claim.until - lab.claim.since <= LONGEST
    assert labs == judge(claims, rules, branches, NOW, merged=merged, auto=kept)
    again = judge(claims, rules, branches, NOW, merged=merged, auto=given_out(labs))
    assert again == labs, "lab_auto comes to rest"
    without = judge(claims, replace(rules, auto=""), branches, NOW, merged=merged)
    for plain, lab in zip(without, labs, strict=True):
        assert plain.claim is None or plain == lab, "lab_auto takes nothing from a claim"
