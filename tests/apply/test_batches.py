"""Batches, shares and limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saltbranch.apply.batches import Share, batches_of, only, parse_share
from saltbranch.apply.limits import Limits
from saltbranch.apply.options import Options
from saltbranch.base.errors import UsageError

IDS = [f"web{n:02}" for n in range(1, 11)]


@pytest.mark.parametrize(
    ("size", "canary", "sizes"),
    [
        ("", "", [10]),
        ("3", "", [3, 3, 3, 1]),
        ("10%", "", [1] * 10),
        ("25%", "", [3, 3, 3, 1]),
        ("100%", "", [10]),
        ("99", "", [10]),
        ("4", "1", [1, 4, 4, 1]),
        ("4", "2", [2, 4, 4]),
        ("", "web05", [1, 9]),
        ("50%", "1", [1, 5, 4]),
        ("", "99", [10]),
    ],
)
def test_sizes(size: str, canary: str, sizes: list[int]) -> None:
    share = parse_share(size, "--batch", least=1) if size else None
    found = batches_of(reversed(IDS), share, canary)  # type: ignore[arg-type]
    assert [len(batch) for batch in found] == sizes


def test_the_order_is_that_of_the_ids() -> None:
    assert batches_of(["b", "a", "c"], Share(2)) == (("a", "b"), ("c",))
    assert batches_of(["b", "a", "c"], Share(2), "c") == (("c",), ("a", "b"))
    assert batches_of([], Share(2), "c") == ()
    assert only((("a", "b"), ("c",)), {"b"}) == (("b",),)


@given(st.sets(st.text(min_size=1, max_size=4)), st.integers(1, 9), st.integers(0, 4))
def test_everybody_is_in_one_batch(ids: set[str], size: int, canary: int) -> None:
    ids -= {str(canary)}
    found = batches_of(ids, Share(size), str(canary) if canary else "")
    assert sorted(m for batch in found for m in batch) == sorted(ids)
    assert all(found)


@pytest.mark.parametrize("text", ["", "0", "-1", "x", "101%", "1.5", "%", "1 %", "9" * 12, "²"])
def test_no_batch(text: str) -> None:
    with pytest.raises(UsageError, match="not a number of minions"):
        parse_share(text, "--batch", least=1)


@pytest.mark.parametrize("canary", ["web99", "0", "-1", "*"])
def test_no_canary(canary: str) -> None:
    with pytest.raises(UsageError, match="none of the minions"):
        batches_of(IDS, None, canary)


@pytest.mark.parametrize(
    ("over_all", "per_batch", "wrong", "in_batch", "ends"),
    [
        ("0", "", 0, 0, False),
        ("0", "", 1, 1, True),
        ("2", "", 2, 2, False),
        ("2", "", 3, 1, True),
        ("10%", "", 2, 2, False),
        ("10%", "", 3, 1, True),
        ("100%", "", 20, 5, False),
        ("100%", "1", 2, 2, True),
        ("100%", "50%", 2, 2, False),
        ("100%", "50%", 3, 3, True),
    ],
)
def test_limits(over_all: str, per_batch: str, wrong: int, in_batch: int, ends: bool) -> None:  # noqa: FBT001
    limits = Options(max_failures=over_all, max_failures_per_batch=per_batch).limits
    assert isinstance(limits, Limits)
    said = limits.exceeded(wrong=wrong, total=20, in_batch=in_batch, size=5)
    assert bool(said) == ends


@pytest.mark.parametrize(
    "options",
    [
        Options(batch="0"),
        Options(timeout="0s"),
        Options(timeout="31d"),
        Options(pause="x"),
        Options(only="all"),
        Options(on_failure="panic"),
        Options(max_failures="-1"),
    ],
)
def test_options_that_mean_nothing(options: Options) -> None:
    with pytest.raises(UsageError):
        options.check()


def test_options_that_mean_something() -> None:
    Options().check()
    Options(batch="10%", pause="ask", only="changed", on_failure="rollback").check()
