"""^C, SIGTERM and SIGHUP become an exception, or wait while something must not be cut short."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Raise KeyboardInterrupt at the first signal; later ones change nothing: cleaning up must end.

    No SaltbranchError: code of Salt that catches every Exception must not swallow it. For a
    process's main thread only (``signal.signal``).
    """

    def __init__(self) -> None:
        """Change nothing yet."""
        self._deferred = False
        self._come = False

    def _note(self, _signum: int, _frame: FrameType | None) -> None:
        first, self._come = not self._come, True
        if first and not self._deferred:
            raise KeyboardInterrupt

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Take the signals over; one that is ignored (nohup) stays so."""
        handlers = {signum: signal.getsignal(signum) for signum in _SIGNALS}
        taken = {s: old for s, old in handlers.items() if old is not signal.SIG_IGN}
        for signum in taken:
            signal.signal(signum, self._note)
        try:
            yield
        finally:
            for signum, old in taken.items():
                signal.signal(signum, old)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Let a signal wait until this block has ended."""
        before, self._deferred = self._come, True
        try:
            yield
        finally:
            self._deferred = False
        if self._come and not before:
            raise KeyboardInterrupt
