"""Whether an answer is what a check expects, and why not: values in, words out.

Answers are by minions and servers, who may say anything, and the reasons go to terminals, events and the journal: what
was answered is told by its kind and size only, numbers and truth values aside, as a text may hold a secret.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from saltbranch.base.text import many, one_line
from saltbranch.config.verify import Expect

LONGEST = 20_000
"""Characters of a text that is judged; of longer ones the rest does not come here (salt_master/jobs_child.py)."""
LONGEST_REASON = 300
_SHOWN = 80  # characters of what a model expects


class Returned(Protocol):
    """What a minion returned of a job; salt_master/jobs.py has it."""

    @property
    def value(self) -> Any:
        """Plain data."""

    @property
    def retcode(self) -> int:
        """Not 0 where the function failed."""

    @property
    def success(self) -> bool:
        """As the minion says."""

    @property
    def problem(self) -> str:
        """Why there is no value, though something was returned."""


@dataclass(frozen=True, slots=True)
class Judged:
    """reason: why it did not pass, in one line; empty where it did."""

    passed: bool
    reason: str = ""


PASSED = Judged(passed=True)


def failed(reason: str) -> Judged:
    """It did not pass: why, cut to one line that steers no terminal."""
    line = one_line(reason)
    return Judged(
        passed=False,
        reason=line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON]}...",
    )


def of_return(expect: Expect | None, answer: Returned | None) -> Judged:
    """What a minion returned, None where it did not. expect: None asks for success, and no `false` in the answer."""
    if answer is None:
        return failed("no answer")
    if answer.problem:
        return failed(f"the answer is not there: {answer.problem}")
    if answer.retcode or not answer.success:
        return failed(
            f"the function failed ({told(answer.retcode)}), and returned {told(answer.value)}"
        )
    if expect is None:
        return _without_false(answer.value)
    return of_value(expect, answer.value)


def of_call(answer: Returned | None) -> Judged:
    """Whether a function that was called to do something did it: it may return nothing, but not `false`."""
    if answer is None or answer.value is not None or answer.retcode or not answer.success:
        return of_return(None, answer)
    return failed(f"the answer is not there: {answer.problem}") if answer.problem else PASSED


def of_value(expect: Expect, value: Any) -> Judged:
    """Whether `value` is as expected."""
    wanted = expect.wanted
    if isinstance(value, str) and len(value) > LONGEST:
        return failed(f"it answered {told(value)}, which is too long to be judged")
    match expect.kind:
        case "equals":
            passed = same(value, wanted)
            what = f"and not {_expected(wanted)}"
        case "matches":
            passed = isinstance(value, str) and re.search(wanted, value) is not None
            what = f"which does not match {_expected(wanted)}"
        case "contains":
            passed = _contains(value, wanted)
            what = f"which does not contain {_expected(wanted)}"
        case "at_most":
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            passed = is_number and value <= wanted
            what = f"and at most {wanted} was expected" if is_number else "which is no number"
    return PASSED if passed else failed(f"it answered {told(value)}, {what}")


def of_page(status: int, body: bytes, *, wanted: int, contains: str, is_whole: bool) -> Judged:
    """Whether a server's answer is as expected. is_whole: `body` is all of it, and not only its beginning."""
    if status != wanted:
        moved = ", a redirect, which is not followed" if 300 <= status < 400 else ""
        return failed(f"it answered {status}{moved}, and {wanted} was expected")
    if contains and contains.encode() not in body:
        what = (
            f"a page of {len(body):,} bytes"
            if is_whole
            else f"a page whose first {len(body):,} bytes"
        )
        link = "without" if is_whole else "lack"
        return failed(f"it answered {what} {link} {_expected(contains)}")
    return PASSED


def same(value: Any, wanted: Any) -> bool:
    """Equality as JSON has it: true is not 1, 1 is 1.0. It goes as deep as `wanted` does, however deep `value` is."""
    if isinstance(wanted, bool) or isinstance(value, bool):
        return value is wanted
    if isinstance(wanted, int | float):
        return isinstance(value, int | float) and value == wanted
    if isinstance(wanted, list):
        return (
            isinstance(value, list)
            and len(value) == len(wanted)
            and all(same(a, b) for a, b in zip(value, wanted, strict=True))
        )
    if isinstance(wanted, dict):
        return (
            isinstance(value, dict)
            and value.keys() == wanted.keys()
            and all(same(value[key], wanted[key]) for key in wanted)
        )
    return type(value) is type(wanted) and bool(value == wanted)


def told(value: Any) -> str:
    """An answer for people: numbers, true, false and nothing as they are, of all else the kind and the size."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"{value}" if isinstance(value, float) or abs(value) < 1e30 else "a huge number"
    if isinstance(value, str):
        return f"a text of {many(len(value), 'character')}" if value else "an empty text"
    if isinstance(value, bytes):
        return many(len(value), "byte")
    if isinstance(value, Mapping):
        return f"a table with {many(len(value), 'key')}"
    if isinstance(value, Sequence):
        return f"a list of {many(len(value), 'entry').replace('entrys', 'entries')}"
    return "something else"


def _without_false(value: Any) -> Judged:
    if value is None or value is False:
        return failed(f"it answered {told(value)}")
    if isinstance(value, Mapping) and (bad := sum(one is False for one in value.values())):
        return failed(f"it answered {told(value)}, {bad} of them false")
    return PASSED


def _contains(value: Any, wanted: Any) -> bool:
    if isinstance(value, str):
        return isinstance(wanted, str) and wanted in value
    if isinstance(value, list):
        return any(same(one, wanted) for one in value)
    return isinstance(value, dict) and isinstance(wanted, str) and wanted in value


def _expected(wanted: Any) -> str:
    """What the model expects, which everybody may read who reads the repository."""
    text = json.dumps(wanted, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
