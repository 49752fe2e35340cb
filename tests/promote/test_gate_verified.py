"""The gate `verified`, and a soak that begins at a verification: as functions of values, and at work."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from saltbranch.base.durations import from_iso
from saltbranch.base.errors import ConfigError
from saltbranch.config.gates import Gate, SoakGate, VerifiedGate, parse_gates
from saltbranch.config.read import check_model
from saltbranch.git.program import Git
from saltbranch.journal import cache, facts, store
from saltbranch.journal.facts import Verification
from saltbranch.journal.state import replay
from saltbranch.promote import gate_verified, gates_by_verb
from saltbranch.promote.gates import FAIL, PASS
from tests.support.flow_site import FlowSite
from tests.support.site import event

NOW = 1_800_000_000.0
HOUR = 3600.0
ONE, TWO, OLD = "1" * 40, "2" * 40, "0" * 40


def contains(*commits: str) -> Callable[[str], bool]:
    return lambda commit: commit in commits


def told(
    commit: str, ago: float, *, passed: bool = True, reason: str = "4 checks", took: float = 0
) -> Verification:
    return Verification("stage", commit, passed, True, NOW - ago, reason, NOW - ago - took)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("verified", VerifiedGate()),
        ({"verified": {"within": "1d"}}, VerifiedGate(24 * HOUR)),
        ({"soak": {"for": "2h", "from": "verified"}}, SoakGate(2 * HOUR, from_verified=True)),
        ({"soak": {"for": "2h"}}, SoakGate(2 * HOUR)),
        ({"soak": {"for": "2h", "from": "served"}}, SoakGate(2 * HOUR)),
        ({"verified": None}, None),
        ({"verified": "1d"}, None),
        ({"verified": {}}, None),
        ({"verified": {"within": "soon"}}, None),
        ({"verified": {"within": "1d", "of": "x"}}, None),
        ({"soak": {"from": "verified"}}, None),
        ({"soak": {"for": "2h", "from": "applied"}}, None),
        ({"soak": {"for": "2h", "form": "verified"}}, None),
    ],
)
def test_entries(entry: Any, expected: Gate | None) -> None:
    if expected is None:
        with pytest.raises(ConfigError, match="^somewhere"):
            parse_gates([entry], "somewhere")
        return
    assert parse_gates([entry], "somewhere")[-1] == expected


@pytest.mark.parametrize(
    ("rows", "within", "reason"),
    [
        ([], None, "was not verified yet"),
        ([told(ONE, HOUR)], None, ""),
        ([told(TWO, HOUR)], None, ""),
        ([told(OLD, HOUR)], None, "was verified with 000000000000, which lacks this commit"),
        ([told(ONE, 2 * HOUR), told(OLD, HOUR)], None, "lacks this commit"),
        ([told(ONE, HOUR, passed=False, reason="web1")], None, "did not pass its checks: web1"),
        ([told(ONE, HOUR)], HOUR, ""),
        ([told(ONE, 60, took=HOUR)], HOUR, "was verified 61 min ago, and 60 min is the most"),
        ([told(ONE, HOUR + 1)], HOUR, "was verified 60 min ago, and 60 min is the most"),
        ([told(ONE, -9 * HOUR)], HOUR, ""),
    ],
)
def test_verified(rows: list[Verification], within: float | None, reason: str) -> None:
    found = gate_verified.verified_gate(
        VerifiedGate(within), "stage", rows, contains(ONE, TWO), now=NOW
    )
    assert found.verdict == (FAIL if reason else PASS)
    assert reason in found.reason
    if reason:
        assert "saltbranch verify stage" in found.reason


@pytest.mark.parametrize(
    ("rows", "passes_in"),
    [
        ([told(ONE, 3 * HOUR)], 0),
        ([told(ONE, 3 * HOUR), told(TWO, HOUR)], 0),
        ([told(OLD, 3 * HOUR), told(ONE, HOUR)], HOUR),
        ([told(ONE, 3 * HOUR), told(OLD, 2 * HOUR), told(ONE, HOUR)], HOUR),
        ([told(ONE, -HOUR)], 2 * HOUR),
        ([], None),
        ([told(ONE, HOUR, passed=False)], None),
        ([told(ONE, 3 * HOUR), told(OLD, HOUR)], None),
    ],
)
def test_soak_since_it_was_verified(rows: list[Verification], passes_in: float | None) -> None:
    gate = SoakGate(2 * HOUR, from_verified=True)
    found = gate_verified.soak_since_verified(
        gate, "stage", rows, contains(ONE, TWO), now=NOW, made=NOW - 3 * HOUR
    )
    assert found.verdict == (PASS if passes_in == 0 else FAIL)
    assert found.passes_at == (NOW + passes_in if passes_in else None)


def test_a_verification_long_before_the_commit_was_made_is_by_a_wrong_clock() -> None:
    found = gate_verified.soak_since_verified(
        SoakGate(2 * HOUR),
        "stage",
        [told(ONE, 999 * HOUR)],
        contains(ONE),
        now=NOW,
        made=NOW - HOUR,
    )
    assert (found.verdict, found.passes_at) == (FAIL, NOW + HOUR)


# What of the journal counts


def verified(**details: Any) -> Any:
    given = {"saltenv": "stage", "commit": ONE, "passed": True, "complete": True, "reason": "4"}
    return event("verify", **{**given, **details})


def rows(*events: Any) -> list[tuple[str, bool]]:
    found = replay(events).verified.get("stage", [])
    return [(row.commit, row.passed) for row in found]


def test_what_was_seen_before_a_failure_does_not_pass_after_it() -> None:
    early = {"apply": "x", "begun": "2026-01-01T00:00:00Z"}  # an apply's first batch
    assert rows(verified(passed=False), verified(**early)) == [(ONE, False)]
    assert rows(verified(passed=False), verified(**early), verified()) == [(ONE, True)]
    assert rows(verified(), verified(**early)) == [(ONE, True), (ONE, True)]


def test_those_in_a_row_that_passed_count() -> None:
    assert rows(verified(), verified(commit=TWO)) == [(ONE, True), (TWO, True)]
    assert rows(verified(), verified(saltenv="test", passed=False)) == [(ONE, True)]


def test_a_failure_makes_void_what_was_before_it() -> None:
    assert rows(verified(), verified(passed=False)) == [(ONE, False)]
    assert rows(verified(), verified(passed=False), verified()) == [(ONE, True)]
    assert rows(verified(), verified(passed=False, complete=False)) == [(ONE, False)]


def test_some_of_the_minions_do_not_speak_for_all() -> None:
    assert rows(verified(complete=False)) == []
    assert rows(verified(complete=None)) == []
    assert rows(verified(passed=False), verified(complete=False)) == [(ONE, False)]


def test_a_rollback_asks_for_a_new_one() -> None:
    back = event("rollback", saltenv="stage", commit=OLD, reason="slow")
    assert rows(verified(), back) == []
    assert rows(verified(), back, verified(commit=OLD)) == [(OLD, True)]
    assert rows(verified(), event("hold", saltenv="stage", commit=OLD)) == [(ONE, True)]


@pytest.mark.parametrize(
    "wrong",
    [{"commit": "abc"}, {"commit": None}, {"passed": 1}, {"passed": "true"}, {"saltenv": ""},
     {"saltenv": ["stage"]}, {"passed": None}],
)  # fmt: skip
def test_what_a_stranger_wrote_is_passed_over(wrong: dict[str, Any]) -> None:
    assert rows(verified(**wrong)) == []


def test_what_follows_is_kept_between_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "_MANY", 0)
    git = Git(str(tmp_path / "repository.git"))
    git.out("init", "--bare", "--quiet", git.directory)
    head, _ = store.append(git, None, [verified(), verified(commit=TWO)])
    first = cache.state(git, head).verified
    assert Path(cache.path(git)).exists()
    assert cache.state(git, head).verified == first
    assert [row.commit for row in first["stage"]] == [ONE, TWO]


def test_a_reason_of_a_stranger_is_cut() -> None:
    found = facts.verification_of(verified(reason="x" * 10_000))
    assert found and len(found.reason) < 2000


# At work


def gated(flow: FlowSite, gate: Any) -> str:
    flow.configure(prod={"gates": [gate]})
    flow.push("develop")
    return flow.promoted("stage")


def note(flow: FlowSite, commit: str, *, passed: bool = True, ago: float = 0) -> None:
    reason = "2 checks, 3 minions" if passed else "service.status nginx: web1: it answered false"
    details = {"saltenv": "stage", "commit": commit, "passed": passed, "complete": True}
    flow.record("verify", ago=ago, reason=reason, **details)


def test_nothing_goes_on_that_was_not_verified(flow: FlowSite) -> None:
    commit = gated(flow, {"verified": {"within": "1d"}})

    def gate() -> tuple[str, str]:
        return flow.gates("promote", "prod")["verified"]

    verdict, reason = gate()
    assert verdict == "fail" and "saltbranch verify stage, on its master" in reason
    assert "verified" in flow.refused("promote", "prod", "--yes")
    note(flow, commit, ago=30 * HOUR)
    assert gate()[0] == "fail"
    note(flow, commit, ago=HOUR)
    assert gate() == ("pass", "stage passed its checks 60 min ago (2 checks, 3 minions)")
    note(flow, commit, passed=False)
    assert "service.status nginx: web1: it answered false" in gate()[1]
    ran = flow.run("why-not", "prod")
    assert ran.code == 4 and "did not pass its checks" in ran.out
    note(flow, commit)
    flow.promoted("prod")


def test_a_newer_commit_that_was_verified_speaks_for_an_older_one(flow: FlowSite) -> None:
    first = gated(flow, "verified")
    flow.push("develop")
    second = flow.promoted("stage")
    note(flow, first)
    assert flow.gates("promote", "prod", "--commit", first)["verified"][0] == "pass"
    assert "lacks this commit" in flow.gates("promote", "prod")["verified"][1]
    note(flow, second)
    assert flow.gates("promote", "prod", "--commit", first)["verified"][0] == "pass"


def test_why_not_says_when_a_soak_since_the_verification_passes(flow: FlowSite) -> None:
    commit = gated(flow, {"soak": {"for": "2h", "from": "verified"}})
    assert "was not verified yet" in flow.gates("promote", "prod")["soak"][1]
    note(flow, commit, ago=HOUR)
    gate = next(g for g in flow.plan("promote", "prod")["gates"] if g["gate"] == "soak")
    assert gate["reason"] == "verified by stage for 60 min of 2 h"
    assert from_iso(gate["passes_at"]) == pytest.approx(time.time() + HOUR, abs=60)
    assert "passes in 60 min" in flow.run("why-not", "prod").out


def test_who_asks_it() -> None:
    asked = {kind: not gates_by_verb.why_not(kind, "verified") for kind in gates_by_verb.VERBS}
    assert [kind for kind, does in asked.items() if does] == ["promotion", "release"]


def test_the_first_saltenv_has_none_before_it() -> None:
    text = "saltenvs: {test: {branch: develop, minions: ['test*'], gates: [verified]}}"
    with pytest.raises(ConfigError, match="verified cannot be checked"):
        check_model(text, "M")


def test_history_tells_of_verifications(flow: FlowSite) -> None:
    commit = gated(flow, "verified")
    note(flow, commit, passed=False)
    said = flow.well("history", "stage").out
    line = next(one for one in said.splitlines() if "verify" in one)
    assert commit[:12] in line and "(service.status nginx: web1: it answered false)" in line
