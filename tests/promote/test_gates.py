"""Gates as functions of values: every verdict with its reason."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saltbranch.base.errors import ConfigError, UsageError
from saltbranch.base.tickets import DEFAULT_PATTERN, CommitLine, Group
from saltbranch.check.finding import Finding
from saltbranch.config.gates import (
    CheckGate,
    CommandGate,
    DiffGate,
    Gate,
    IdenticalGate,
    SoakGate,
    TicketGate,
    parse_gates,
)
from saltbranch.journal.facts import Debt, Hold, Residence
from saltbranch.promote import gates
from saltbranch.promote.gates import CANNOT_TELL, FAIL, PASS, DiffFacts, GateResult

PATTERN = re.compile(DEFAULT_PATTERN)
NOW = 1_800_000_000.0
HOUR = 3600.0


def hold(saltenv: str = "prod", kind: str = "hold", until: float | None = None) -> Hold:
    return Hold(saltenv, "a" * 40, kind, "why", "Ann", NOW - HOUR, until, "id")


# Reading them


def test_hold_debts_and_model_are_always_there_and_first() -> None:
    names = [g.name for g in parse_gates(["ticket", "hold", {"soak": "2h"}], "x")]
    assert names == ["hold", "debts", "model", "ticket", "soak"]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("ticket", TicketGate()),
        ("identical", IdenticalGate()),
        ({"soak": "1d12h"}, SoakGate(36 * HOUR)),
        ({"soak": 90}, None),
        ({"command": "/usr/bin/lint --all"}, CommandGate("lint", ("/usr/bin/lint", "--all"))),
        ({"command": ["lint", "a b"], "name": "x"}, CommandGate("x", ("lint", "a b"))),
        ("soak", None),
        ("command", None),
        ("tickets", None),
        ({}, None),
        ({"soak": "soon"}, None),
        ({"command": "lint", "nam": "x"}, None),
        ({"command": "lint", "name": "a b"}, None),
        ({"command": "./lint"}, None),
        ({"command": "bin/lint"}, None),
        ({"command": []}, None),
        ({"command": ""}, None),
        ({"command": "'"}, None),
        ({"command": ["lint", 1]}, None),
        ({"command": "lint", "timeout": "never"}, None),
        (None, None),
        (7, None),
        (["ticket"], None),
        ("diff", DiffGate()),
        ("check", CheckGate()),
        ({"check": "static"}, CheckGate(static=True)),
        ({"check": "compiled"}, None),
        ({"check": None}, None),
        ({"diff": {}}, DiffGate()),
        ({"diff": None}, None),
        ({"diff": 5}, None),
        ({"diff": {"minion": 5}}, None),
        ({"diff": {"minions": -1}}, None),
        ({"diff": {"minions": "5"}}, None),
        ({"diff": {"minions": 1.5}}, None),
        ({"diff": {"minions": True}}, None),
        ({"diff": {"reviewed": 1}}, None),
        ({"diff": {"expect": None}}, None),
        ({"diff": {}, "minions": 5}, None),
    ],
)
def test_entries(entry: Any, expected: Gate | None) -> None:
    if expected is None:
        with pytest.raises(ConfigError, match="somewhere"):
            parse_gates([entry], "somewhere")
        return
    assert parse_gates([entry], "somewhere")[-1] == expected


def test_two_gates_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="two gates are called 'lint'"):
        parse_gates([{"command": "lint a"}, {"command": "/bin/lint b"}], "x")


@pytest.mark.parametrize("name", ["hold", "debts", "model"])
def test_a_program_with_the_name_of_a_built_in_gate_is_not_left_out_silently(name: str) -> None:
    with pytest.raises(ConfigError, match=f"two gates are called '{name}'"):
        parse_gates([{"command": f"/usr/local/bin/{name}"}], "prod")
    assert parse_gates([name], "prod") == parse_gates([], "prod")


def test_the_rule_of_diff_and_what_check_looks_at() -> None:
    rule = {"minions": 0, "removed_states": 10, "reviewed": True, "expect": False}
    diff, check = parse_gates([{"diff": rule}, {"check": "static"}], "x")[-2:]
    assert diff == DiffGate(minions=0, removed_states=10, reviewed=True)
    assert check == CheckGate(static=True) != parse_gates(["check"], "x")[-1]


# hold


@pytest.mark.parametrize(
    ("target", "source", "beyond", "news", "hotfix", "verdict"),
    [
        (None, None, False, True, False, PASS),
        (hold(), None, False, True, False, FAIL),
        (hold(), None, False, True, True, PASS),
        (hold(kind="rollback"), None, False, True, False, PASS),
        (hold(kind="rollback"), None, False, False, False, FAIL),
        (None, hold("stage"), True, True, False, FAIL),
        (None, hold("stage"), False, True, False, PASS),
        (None, hold("stage", "rollback"), True, True, False, FAIL),
        (hold(kind="rollback"), hold("stage"), True, True, False, FAIL),
    ],
)
def test_hold(
    target: Hold | None, source: Hold | None, beyond: bool, news: bool, hotfix: bool, verdict: str
) -> None:
    result = gates.hold_gate(target, source, beyond_source=beyond, brings_news=news, hotfix=hotfix)
    assert result.verdict == verdict


def test_a_hold_that_ends_says_when_it_passes() -> None:
    result = gates.hold_gate(
        hold(until=NOW), None, beyond_source=False, brings_news=True, hotfix=False
    )
    assert result.passes_at == NOW
    assert result.as_dict()["passes_at"] == "2027-01-15T08:00:00Z"


# diff, check

DIGEST = "0123456789abcdef" * 4
FACTS = DiffFacts(DIGEST, changed=3, removed_states=2)


@pytest.mark.parametrize(
    ("rule", "facts", "reviewed", "expected", "reason"),
    [
        (DiffGate(), FACTS, "", False, ""),
        (DiffGate(minions=3, removed_states=2), FACTS, "", False, ""),
        (DiffGate(minions=2), FACTS, "", False, "3 minions changed, 2 may be"),
        (DiffGate(minions=0), FACTS, "", False, "3 minions changed, 0 may be"),
        (DiffGate(removed_states=1), FACTS, "", False, "2 states removed, 1 may be"),
        (DiffGate(), replace(FACTS, failed=("a",)), "", False, "not compiled: a"),
        (DiffGate(), replace(FACTS, worse=tuple("abcde")), "", False,
         "compiled in part only: a, b, c and 2 more"),
        (DiffGate(), replace(FACTS, as_bad=("a",)), "", False, ""),
        (DiffGate(reviewed=True), FACTS, "", False, "the diff is not marked as reviewed: pass --reviewed"),
        (DiffGate(reviewed=True), FACTS, DIGEST[:6], False, ""),
        (DiffGate(reviewed=True), FACTS, DIGEST, False, ""),
        (DiffGate(reviewed=True), FACTS, DIGEST[1:], False, "what was reviewed is 123456789abcdef0"),
        (DiffGate(expect=True), FACTS, "", False, "no plan was named: pass --expect"),
        (DiffGate(expect=True), FACTS, "", True, ""),
        (DiffGate(minions=1, expect=True), FACTS, "", False, "; no plan was named"),
    ],
)  # fmt: skip
def test_diff(rule: DiffGate, facts: DiffFacts, reviewed: str, expected: bool, reason: str) -> None:
    result = gates.diff_gate(rule, facts, why_none="", reviewed=reviewed, expected=expected)
    assert result.verdict == (FAIL if reason else PASS)
    assert reason in result.reason


@given(
    st.integers(0, 5),
    st.integers(0, 5),
    st.none() | st.integers(0, 5),
    st.none() | st.integers(0, 5),
)
def test_diff_passes_exactly_within_its_limits(
    changed: int, removed: int, minions: int | None, states: int | None
) -> None:
    facts = DiffFacts(DIGEST, changed, removed)
    rule = DiffGate(minions, states)
    result = gates.diff_gate(rule, facts, why_none="", reviewed="", expected=False)
    within = (minions is None or changed <= minions) and (states is None or removed <= states)
    assert (result.verdict == PASS) == within


def test_code_that_nobody_can_count_is_named() -> None:
    facts = replace(FACTS, code=("salt/_states/own.py",))
    result = gates.diff_gate(DiffGate(3), facts, why_none="", reviewed="", expected=False)
    assert result.verdict == PASS
    assert result.reason.endswith("; in addition, synced code differs: salt/_states/own.py")


def test_diff_cannot_tell_without_one_whatever_is_said() -> None:
    result = gates.diff_gate(
        DiffGate(), None, why_none="no bubblewrap", reviewed=DIGEST, expected=True
    )
    assert (result.verdict, result.reason) == (CANNOT_TELL, "no diff: no bubblewrap")


@pytest.mark.parametrize("word", ["", "12345", "g" * 8, "ABCDEF", "1" * 65, "123 456", "--help"])
def test_what_is_no_digest_of_a_diff_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="is not the digest of a diff"):
        gates.check_reviewed(word)


def test_check_names_the_first_three_errors() -> None:
    errors = [Finding(f"salt/{n}.sls", n, "r", "error", f"wrong {n}", "fix") for n in range(5)]
    assert gates.check_gate([]).verdict == PASS
    one = gates.check_gate(errors[:1])
    assert (one.verdict, one.reason) == (FAIL, "1 new error: salt/0.sls:0 wrong 0")
    all_of_them = gates.check_gate(errors).reason
    assert all_of_them.endswith("salt/1.sls:1 wrong 1; salt/2.sls:2 wrong 2 and 2 more")


# debts, ticket, identical


def test_debts_of_the_branches_that_it_moves_between_count() -> None:
    debts = [Debt("1", b, "c" * 40, "hotfix/1", ("a",), NOW) for b in ("develop", "release/1")]
    assert gates.debts_gate(debts, ["stage", "master"]).verdict == PASS
    result = gates.debts_gate(debts, ["stage", "develop"])
    assert result.verdict == FAIL
    assert "develop lacks cccccccccccc of hotfix/1" in result.reason
    assert "saltbranch backmerge develop" in result.reason
    assert "release/1" not in result.reason


def line(subject: str, *tickets: str) -> CommitLine:
    return CommitLine("c" * 40, subject, "Ann", tickets=tickets)


@pytest.mark.parametrize(
    ("groups", "verdict"),
    [
        ([], PASS),
        ([Group("KEY-1", (line("a", "KEY-1"), line("b")))], PASS),
        ([Group("tidy", (line("a", "KEY-1"),))], PASS),
        ([Group("tidy", (line("a"),))], FAIL),
        ([Group("", (line("a"),))], FAIL),
        ([Group("KEY-1", (line("a", "KEY-1"),)), Group("", (line("b"),))], FAIL),
    ],
)
def test_ticket(groups: list[Group], verdict: str) -> None:
    assert gates.ticket_gate(groups, PATTERN).verdict == verdict


def test_identical() -> None:
    assert gates.identical_gate("a" * 40, "a" * 40, "stage").verdict == PASS
    assert gates.identical_gate("a" * 40, "b" * 40, "stage").verdict == FAIL


# soak

OLD, MID, NEW = "1" * 40, "2" * 40, "3" * 40
ORDER = {OLD: 1, MID: 2, NEW: 3}


def served(*rows: tuple[str, str, float]) -> list[Residence]:
    """(master, commit, hours ago), as the journal has them."""
    return [Residence(m, "stage", c, NOW - h * HOUR, None) for m, c, h in rows]


@pytest.mark.parametrize(
    ("rows", "verdict", "hours_left"),
    [
        pytest.param([], CANNOT_TELL, None, id="no master says anything"),
        pytest.param([("a", OLD, 9)], FAIL, None, id="not served yet"),
        pytest.param([("a", MID, 1)], FAIL, 1, id="half way"),
        pytest.param([("a", MID, 2)], PASS, None, id="just enough"),
        pytest.param([("a", MID, 3), ("a", NEW, 1)], PASS, None, id="a newer commit goes on"),
        pytest.param([("a", NEW, 3)], PASS, None, id="a newer commit alone contains it"),
        pytest.param([("a", MID, 9), ("a", OLD, 1)], FAIL, None, id="rolled back"),
        pytest.param([("a", MID, 9), ("a", OLD, 4), ("a", MID, 1)], FAIL, 1, id="and back again"),
        pytest.param(
            [("a", MID, 1), ("b", MID, 3)], PASS, None, id="another master served it longer"
        ),
        pytest.param(
            [("a", MID, 9), ("a", OLD, 8), ("b", MID, 1)], FAIL, 1, id="each master alone"
        ),
    ],
)
def test_soak(rows: list[tuple[str, str, float]], verdict: str, hours_left: float | None) -> None:
    def contains(commit: str) -> bool:
        return ORDER[commit] >= ORDER[MID]

    result = gates.soak_gate(SoakGate(2 * HOUR), "stage", served(*rows), contains, now=NOW)
    assert result.verdict == verdict
    expected = None if hours_left is None else NOW + hours_left * HOUR
    assert result.passes_at == expected


def test_soak_of_another_saltenv_does_not_count() -> None:
    rows = [Residence("a", "test", MID, NOW - 9 * HOUR, None)]
    assert (
        gates.soak_gate(SoakGate(1), "stage", rows, lambda _: True, now=NOW).verdict == CANNOT_TELL
    )


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from([OLD, MID, NEW]), st.integers(0, 100)),
        max_size=8,
    ),
    st.integers(0, 100),
)
def test_soak_never_passes_earlier_than_it_said(
    rows: list[tuple[str, str, float]], wanted: int
) -> None:
    """What passes_at promises holds when nothing new is served until then, and not a second before."""

    def contains(commit: str) -> bool:
        return ORDER[commit] >= ORDER[MID]

    def ask(now: float) -> GateResult:
        return gates.soak_gate(SoakGate(wanted * HOUR), "stage", served(*rows), contains, now=now)

    first = ask(NOW)
    if first.passes_at is not None:
        assert first.verdict == FAIL
        assert ask(first.passes_at).verdict == PASS
        assert ask(first.passes_at - 1).verdict == FAIL
    elif first.verdict == FAIL:
        assert ask(NOW + 1000 * HOUR).verdict == FAIL, "waiting alone does not help"


def soaked(*rows: tuple[str, str, float], now: float = NOW, made: float = 0) -> GateResult:
    """Two hours are asked for. rows: master, commit, since, in the journal's order."""
    told = [Residence(m, "stage", c, since, None) for m, c, since in rows]
    return gates.soak_gate(
        SoakGate(2 * HOUR), "stage", told, lambda c: ORDER[c] >= ORDER[MID], now=now, made=made
    )


def test_soak_goes_by_the_order_of_the_journal_and_not_by_clocks() -> None:
    """A rollback whose master's clock had gone back by a day: what is served now lacks the commit."""
    back = soaked(("a", MID, NOW - 3 * HOUR), ("a", OLD, NOW - 30 * HOUR))
    assert back.verdict == FAIL
    again = soaked(("a", OLD, NOW - HOUR), ("a", MID, NOW - 3 * HOUR))
    assert again.verdict == PASS


def test_a_start_that_lies_ahead_is_no_soak_yet_and_ends_when_the_clock_is_right() -> None:
    ahead = soaked(("a", MID, NOW + 1000 * HOUR))
    assert (ahead.verdict, ahead.passes_at) == (FAIL, NOW + 2 * HOUR)
    assert ahead.reason == "served by stage for 0 s of 2 h"
    fixed = soaked(("a", MID, NOW + 1000 * HOUR), ("a", NEW, NOW - 3 * HOUR))
    assert fixed.verdict == PASS


def test_a_master_without_a_clock_has_not_served_a_commit_before_it_was_made() -> None:
    assert soaked(("a", MID, 0), made=NOW - HOUR).verdict == FAIL
    assert soaked(("a", MID, 0), made=NOW - HOUR).passes_at == NOW + HOUR
    assert soaked(("a", MID, 0), made=NOW - 3 * HOUR).verdict == PASS
    assert soaked(("a", MID, NOW - 3 * HOUR), made=NOW - HOUR).verdict == PASS, "a small difference"
    assert soaked(("a", MID, 0), made=NOW + 9 * HOUR).passes_at == NOW + 2 * HOUR


def test_soak_looks_no_further_back_than_it_has_to() -> None:
    """Each question is a git process, and a master that is years old has told of thousands of commits."""
    asked = []

    def contains(commit: str) -> bool:
        asked.append(commit)
        return commit == MID

    old = [Residence("a", "stage", f"{n:040x}", NOW - 5000 * HOUR + n, None) for n in range(1000)]
    rows = [*old, Residence("a", "stage", MID, NOW - 3 * HOUR, None)]

    assert gates.soak_gate(SoakGate(HOUR), "stage", rows, contains, now=NOW).verdict == PASS
    assert len(asked) == 2


# override


def test_override_marks_only_what_is_closed() -> None:
    results = [GateResult("ticket", FAIL, "x"), GateResult("lint", PASS, "y")]
    marked = gates.override(results, {"ticket": "r", "lint": "r"})
    assert [(g.overridden, g.is_open) for g in marked] == [("r", True), (None, True)]
    assert not results[0].is_open
    assert gates.override([GateResult("soak", CANNOT_TELL, "z")], {"soak": "r"})[0].is_open
