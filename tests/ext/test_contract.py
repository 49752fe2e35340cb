"""What callers of runners may say, and how it is answered when they may not."""

import pytest

from saltbranch.base.errors import UsageError
from saltbranch.ext import contract


@pytest.mark.parametrize("length", [1001, 9_999, 100_000])
def test_a_long_reason_is_refused_by_its_length(length: int) -> None:
    with pytest.raises(UsageError) as err:
        contract.reason("x" * length)
    assert err.value.message == f"reason has {length:,} characters, and 1,000 is the most"
    assert contract.reason("x" * 1000) == "x" * 1000 and contract.reason(None) == ""


def test_a_long_word_is_told_by_its_beginning() -> None:
    with pytest.raises(UsageError) as err:
        contract.word("y" * 100_000)
    assert "100,000 characters, and 10,000 is the most" in err.value.message
    assert len(err.value.message) < 200


def test_what_a_caller_said_does_not_flood_the_answer() -> None:
    @contract.plain
    def fails() -> contract.Result:
        raise UsageError("z" * 9_000, hint="w" * 9_000)

    fails.__wrapped__.__globals__["__context__"] = {}  # type: ignore[attr-defined]
    answer = fails()
    assert answer["retcode"] == 2
    assert len(answer["error"]) < 2_010 > len(answer["hint"])


def test_nobody_claims_the_name_that_stands_for_no_one() -> None:
    assert contract.asked("bob").claimed == "bob"
    with pytest.raises(UsageError, match="for what no one asked for"):
        contract.asked("auto_promote")
