"""What follows a push on a machine that serves saltenvs itself: a sync, so that nobody has to wait for its timer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from saltbranch.actions.sync import sync
from saltbranch.base.errors import EXIT_PARTIAL, SaltbranchError
from saltbranch.repository.prepared import Prepared
from saltbranch.repository.workplace import Workplace
from saltbranch.serve.run import SaltenvResult, SyncResult

WAIT = 60  # seconds for another saltbranch, most likely the timer's sync

Notify = Callable[[Prepared, list[SaltenvResult]], str | None]


@dataclass(frozen=True, slots=True)
class Followed:
    """The sync, None where this machine serves nothing or `problem` says why there was none."""

    sync: SyncResult | None = None
    problem: str = ""

    @property
    def exit_code(self) -> int:
        """That of the sync; 20 when there should have been one: what was pushed is pushed."""
        if self.problem:
            return EXIT_PARTIAL
        return self.sync.exit_code if self.sync else 0


def follow(work: Workplace, notify: Notify | None) -> Followed:
    """Sync the saltenvs of this machine, if it has any; an expected failure is part of the result.

    What state runs are under way for is left to the next sync: nobody has to sit and wait for them.
    """
    if not work.serves:
        return Followed()
    try:
        return Followed(sync(work.config_path, wait=WAIT, patience=0, notify=notify))
    except SaltbranchError as err:
        return Followed(problem=err.message)
