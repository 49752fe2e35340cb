"""How long something of strangers may compute."""

import gc
import signal
import time
import weakref
from collections.abc import Iterator

import pytest

from saltbranch.base.time_limit import TooSlow, limited


def compute(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        sum(range(1000))


def test_what_computes_too_long_is_stopped() -> None:
    with pytest.raises(TooSlow), limited(0.05):
        compute(20)


def test_waiting_is_not_computing() -> None:
    """A busy machine, where a process waits for its turn, comes to the same verdict."""
    with limited(0.05):
        time.sleep(0.2)


def test_an_inner_limit_leaves_the_outer_one() -> None:
    with pytest.raises(TooSlow), limited(0.3):
        with limited(10):
            compute(0.01)
        compute(20)


def test_the_time_of_an_inner_block_counts_outside() -> None:
    with pytest.raises(TooSlow), limited(0.05):
        with limited(10):
            compute(0.3)
        compute(20)


def test_nothing_is_left_behind() -> None:
    handler = signal.getsignal(signal.SIGVTALRM)
    with limited(5):
        pass
    with pytest.raises(TooSlow), limited(0.01):
        compute(20)
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGVTALRM) == handler


class Slow:
    def __del__(self) -> None:
        compute(0.2)


@pytest.fixture
def slow_collecting() -> Iterator[None]:
    def collecting(_phase: str, _info: dict[str, int]) -> None:
        compute(0.1)

    gc.callbacks.append(collecting)
    yield
    gc.callbacks.remove(collecting)


def test_a_limit_that_ends_in_a_finalizer_holds_after_it() -> None:
    """Python swallows what is raised in __del__; pytest makes an error of the warning."""
    with pytest.raises(TooSlow), limited(0.05):
        Slow()
        compute(20)


def test_a_limit_that_ends_while_garbage_is_collected_holds_after_it(slow_collecting: None) -> None:
    with pytest.raises(TooSlow), limited(0.05):
        gc.collect()
        compute(20)


class Plain:
    pass


class SlowList(list[object]):
    def append(self, one: object) -> None:
        compute(0.2)
        super().append(one)


def test_a_limit_that_ends_in_the_callback_of_a_weak_reference_holds_after_it() -> None:
    """Python swallows what is raised there, too. A dictionary that is gone through notes what went meanwhile."""
    kept = Plain()
    held = weakref.WeakValueDictionary({"x": kept})
    held._pending_removals = SlowList()  # type: ignore[attr-defined]
    iterating = held.keys()
    next(iterating)
    with pytest.raises(TooSlow), limited(0.05):
        del kept
        compute(20)
    assert held._pending_removals == ["x"] and list(iterating) == []  # type: ignore[attr-defined]
