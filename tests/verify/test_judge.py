"""Whether an answer is what was expected, and what is said of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saltbranch.config.verify import Expect
from saltbranch.salt_master.jobs import Return
from saltbranch.verify import judge


def expect(kind: Any, value: Any) -> Expect:
    return Expect(kind, json.dumps(value))


def value(kind: Any, wanted: Any, answer: Any) -> judge.Judged:
    return judge.of_value(expect(kind, wanted), answer)


@pytest.mark.parametrize(
    ("kind", "wanted", "answer", "passed"),
    [
        ("equals", True, True, True),
        ("equals", True, 1, False),
        ("equals", 1, True, False),
        ("equals", 1, 1.0, True),
        ("equals", "1", 1, False),
        ("equals", None, None, True),
        ("equals", None, False, False),
        ("equals", [1, "a"], [1, "a"], True),
        ("equals", [1, True], [1, 1], False),
        ("equals", [1], [1, 2], False),
        ("equals", {"a": {"b": 1}}, {"a": {"b": 1}}, True),
        ("equals", {"a": 1}, {"a": 1, "b": 2}, False),
        ("equals", "x", b"x", False),
        ("matches", "^1\\.2", "1.2.3", True),
        ("matches", "^1\\.2", "11.2", False),
        ("matches", "^1", 1, False),
        ("matches", "x", ["x"], False),
        ("contains", "run", "running", True),
        ("contains", "run", "stopped", False),
        ("contains", 22, [21, 22], True),
        ("contains", True, [1], False),
        ("contains", "nginx", {"nginx": False}, True),
        ("contains", "nginx", {"other": "nginx"}, False),
        ("contains", 1, "1", False),
        ("contains", "x", None, False),
        ("at_most", 5, 5, True),
        ("at_most", 5, 5.1, False),
        ("at_most", 5, True, False),
        ("at_most", 5, "1", False),
        ("at_most", 5, float("nan"), False),
        ("at_most", 5, None, False),
    ],
)
def test_what_an_answer_has_to_be(kind: str, wanted: Any, answer: Any, *, passed: bool) -> None:
    found = value(kind, wanted, answer)
    assert found.passed is passed
    assert bool(found.reason) is not passed


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        (None, "no answer"),
        (Return("m", False), "it answered false"),
        (Return("m", None), "it answered nothing"),
        (Return("m", {"a": True, "b": False}), "it answered a table with 2 keys, 1 of them false"),
        (
            Return("m", "hunter2", retcode=3),
            "the function failed (3), and returned a text of 7 characters",
        ),
        (
            Return("m", "x", success=False),
            "the function failed (0), and returned a text of 1 character",
        ),
        (
            Return("m", None, problem="it is too large"),
            "the answer is not there: it is too large",
        ),
    ],
)
def test_a_function_without_expect_has_to_succeed(returned: Return | None, reason: str) -> None:
    assert judge.of_return(None, returned) == judge.failed(reason)


@pytest.mark.parametrize("answer", [True, 0, "", "x", [], {}, {"a": True}, {"a": None}])
def test_answers_that_are_good_without_expect(answer: Any) -> None:
    assert judge.of_return(None, Return("m", answer)).passed


def test_a_function_that_failed_fails_whatever_it_answered() -> None:
    wanted = expect("equals", "ok")
    assert judge.of_return(wanted, Return("m", "ok")).passed
    assert not judge.of_return(wanted, Return("m", "ok", retcode=1)).passed
    assert not judge.of_return(wanted, Return("m", "ok", problem="cut")).passed
    assert not judge.of_return(expect("equals", None), None).passed


def test_a_call_may_return_nothing_but_not_false() -> None:
    assert judge.of_call(Return("m", None)).passed
    assert not judge.of_call(Return("m", None, problem="too large")).passed
    assert not judge.of_call(Return("m", False)).passed
    assert not judge.of_call(Return("m", None, retcode=1)).passed
    assert not judge.of_call(None).passed


def test_a_text_that_was_cut_is_not_judged() -> None:
    cut = "x" * judge.LONGEST + "..."
    for kind, wanted in (("matches", "^(?!.*ERROR)"), ("contains", "x"), ("equals", "x")):
        found = value(kind, wanted, cut)
        assert not found.passed and "too long to be judged" in found.reason


def test_what_a_server_answered_is_not_said() -> None:
    secret = "hunter2\x1b[31m"
    for answer in (secret, [secret], {secret: secret}, secret.encode()):
        for kind, wanted in (("equals", "x"), ("contains", "x"), ("matches", "x"), ("at_most", 1)):
            reason = value(kind, wanted, answer).reason
            assert reason and "hunter2" not in reason and "\x1b" not in reason


@pytest.mark.parametrize(
    ("status", "body", "whole", "reason"),
    [
        (404, b"Welcome", True, "it answered 404, and 200 was expected"),
        (
            302,
            b"Welcome",
            True,
            "it answered 302, a redirect, which is not followed, and 200 was expected",
        ),
        (200, b"Hello", True, 'it answered a page of 5 bytes without "Welcome"'),
        (200, b"Hello", False, 'it answered a page whose first 5 bytes lack "Welcome"'),
        (200, b"\xff Welcome \xff", True, ""),
    ],
)
def test_a_page(status: int, body: bytes, reason: str, *, whole: bool) -> None:
    found = judge.of_page(status, body, wanted=200, contains="Welcome", is_whole=whole)
    assert (found.passed, found.reason) == (not reason, reason)


def deep(levels: int) -> Any:
    found: Any = []
    for _ in range(levels):
        found = [found]
    return found


def test_deep_huge_and_odd_answers_are_judged() -> None:
    for answer in (deep(100_000), 10**5000, object(), b"x" * 10**6, {1: deep(5000)}, float("inf")):
        for kind, wanted in (
            ("equals", [[1]]),
            ("contains", [[1]]),
            ("matches", "x"),
            ("at_most", 10),
        ):
            found = value(kind, wanted, answer)
            assert not found.passed and len(found.reason) < judge.LONGEST_REASON + 4


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(plain)
def test_a_value_is_the_same_as_what_json_makes_of_it(found: Any) -> None:
    assert judge.same(json.loads(json.dumps(found)), found)


@given(plain, plain)
def test_two_values_are_the_same_where_json_says_so(a: Any, b: Any) -> None:
    alike = json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)
    assert judge.same(a, b) or not alike
    assert judge.same(a, b) == judge.same(b, a)


@given(plain | st.binary(), st.sampled_from(["equals", "matches", "contains", "at_most"]), plain)
def test_every_answer_gets_a_verdict_on_one_line(answer: Any, kind: Any, wanted: Any) -> None:
    if kind == "matches":
        wanted = "^a?$"
    if kind == "at_most":
        wanted = 3
    found = value(kind, wanted, answer)
    assert found.passed != bool(found.reason)
    assert found.reason.isprintable() and len(found.reason) < judge.LONGEST_REASON + 4
