"""A limit on the time that something of strangers may take."""

from __future__ import annotations

import gc
import signal
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SECONDS = 10.0
# The rest of an outer limit that is over already: none would switch it off (setitimer(2)).
_SOON = 1e-6
# Python ignores what is raised in a finalizer (data model, object.__del__) and in a callback of a weak
# reference (weakref.ref), so the timer asks again.
_AGAIN = 0.05
# Where the callbacks of weak dictionaries and sets are.
_WEAK = frozenset(
    function.__code__.co_filename
    for function in (weakref.WeakValueDictionary.__init__, weakref.WeakSet.__init__)
)


class TooSlow(BaseException):
    """The time is over. No Exception: what parses a hostile file may catch those."""


@contextmanager
def limited(seconds: float = SECONDS) -> Iterator[None]:
    """Raise TooSlow in the block after `seconds` of this process's own computing.

    Not of the clock: what is judged must not depend on how busy a machine is. A block within a block has its own
    limit, and its time counts for the outer one. Only in a process's main thread, where signals arrive; the size
    limits hold elsewhere, too.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_signal: int, frame: FrameType | None) -> None:
        if not _is_finalizing(frame):
            raise TooSlow

    before = signal.signal(signal.SIGVTALRM, stop)
    outer, _ = signal.setitimer(signal.ITIMER_VIRTUAL, seconds, _AGAIN)
    try:
        yield
    finally:
        left, _ = signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
        if outer:
            signal.setitimer(signal.ITIMER_VIRTUAL, max(outer - (seconds - left), _SOON), _AGAIN)


def _is_finalizing(frame: FrameType | None) -> bool:
    collecting = {getattr(callback, "__code__", None) for callback in gc.callbacks}
    while frame is not None:
        code = frame.f_code
        if code in collecting or code.co_name == "__del__" or code.co_filename in _WEAK:
            return True
        frame = frame.f_back
    return False
