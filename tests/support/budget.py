"""How much of an exhaustive test an ordinary run does: `./dev nightly` does all of it.

What is left out is the same each time: whether a change is good depends on no luck.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

IS_NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
# Before these and after them something else is served, promoted or believed.
_TURNING_POINTS = ("os.rename", "os.symlink", "start git push", "start git update-ref")


def some(items: Sequence[T], number: int, always: Callable[[T], bool] = lambda _: False) -> list[T]:
    """`number` of `items` in their order, the first, the last and the rest spread evenly, and those that `always`
    holds for. All of them at night.
    """
    if IS_NIGHTLY or len(items) <= number:
        return [*items]
    spread = {round(n * (len(items) - 1) / max(1, number - 1)) for n in range(number)}
    return [item for n, item in enumerate(items) if n in spread or always(item)]


def is_turning_point(step: str) -> bool:
    """Whether a process that is killed before or after this step (kill_at.py) leaves something else behind."""
    return step.startswith(_TURNING_POINTS)


def around(steps: Sequence[str], number: int) -> list[int]:
    """Numbers of `steps`: `some` of them, with the turning points and those that follow one."""
    near = [any(map(is_turning_point, steps[max(0, n - 1) : n + 1])) for n in range(len(steps))]
    return some([*range(len(steps))], number, lambda n: near[n])


def calls(steps: Sequence[str], number: int) -> list[int]:
    """Which calls of a run that took `steps` to be killed before: those `around` its turning points, and the one after
    the last, which is never reached.
    """
    return [*around(steps, number), len(steps)]


def cases(values: Sequence[T], is_kept: Callable[[T], bool]) -> list[Any]:
    """`values` for `pytest.mark.parametrize`, those that are not kept for the night."""
    several = [v if isinstance(v, tuple) else (v,) for v in values]
    slow = [() if is_kept(v) else (pytest.mark.slow,) for v in values]
    return [pytest.param(*v, marks=m) for v, m in zip(several, slow, strict=True)]


def examples(nightly: int, number: int) -> int:
    """How many examples Hypothesis is to try."""
    return nightly if IS_NIGHTLY else number
