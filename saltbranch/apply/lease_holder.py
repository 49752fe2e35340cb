"""The lease of one apply: taken when it begins, moved on while it lives, dropped at its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from saltbranch.base import files
from saltbranch.base.errors import RefusedError, SaltbranchError
from saltbranch.serve import leased
from saltbranch.serve.leased import SECONDS, Lease

_RENEW = 60.0
_WAIT = 60.0  # seconds for the lock of the root


@dataclass(slots=True)
class LeaseHolder:
    """root, dirname: whose lease. served: the commit that is served now. apply, by, since: as in `Lease`."""

    root: str
    dirname: str
    served: Callable[[], str]
    apply: str
    by: str
    since: float
    commit: str = ""
    _written: float = 0.0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def take(self, commit: str = "") -> str:
        """Hold what is served; the commit. commit: what it must be; empty for any.

        The lock of the root is held for a moment, so no switch is under way. Raises RefusedError, LockedError, OSError.
        """
        with self._lock, files.Lock(f"{self.root}/lock", wait=_WAIT):
            found = self.served()
            if commit and found != commit:
                raise RefusedError(
                    f"{found[:12]} is served by now, not {commit[:12]}",
                    hint="look at it again: saltbranch apply --plan",
                )
            self.commit = found
            self._write()
        return found

    def renew(self) -> None:
        """Move its end on; now and then is enough. Raises what `take` raises where it had ended."""
        with self._lock:
            age = time.time() - self._written
            if 0 <= age < _RENEW:
                return
            if 0 <= age < SECONDS:
                self._write()
            else:
                self.take(self.commit)  # this process slept, or the clock was set

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Move its end on meanwhile, whatever is waited for: a hook, a check, a person."""
        over = threading.Event()

        def go_on() -> None:
            while not over.wait(_RENEW):
                try:
                    self.renew()
                except (SaltbranchError, OSError):
                    return  # who goes on is told so by a `renew` of its own

        thread = threading.Thread(target=go_on, name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def move_to(self, commit: str) -> None:
        """Let the saltenv be switched to `commit`, and nothing else. Raises OSError."""
        with self._lock:
            self.commit = commit
            self._write()

    def drop(self) -> None:
        """Let go of it. Raises OSError."""
        leased.drop(self.root, self.dirname)

    def _write(self) -> None:
        now = time.time()
        lease = Lease(self.apply, self.commit, self.by, self.since, now + SECONDS)
        leased.write(self.root, self.dirname, lease)
        self._written = now
