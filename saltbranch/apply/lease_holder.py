"""The lease of one apply: taken when it begins, moved on while it lives, dropped at its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from saltbranch.base import files
from saltbranch.base.errors import RefusedError
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

    def take(self, commit: str = "") -> str:
        """Hold what is served; the commit. commit: what it must be; empty for any.

        The lock of the root is held for a moment, so no switch is under way. Raises RefusedError, LockedError, OSError.
        """
        with files.Lock(f"{self.root}/lock", wait=_WAIT):
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
        age = time.time() - self._written
        if 0 <= age < _RENEW:
            return
        if 0 <= age < SECONDS:
            self._write()
        else:
            self.take(self.commit)  # this process slept, or the clock was set

    def move_to(self, commit: str) -> None:
        """Let the saltenv be switched to `commit`, and nothing else. Raises OSError."""
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
