"""Salt's master as the caller of a verb: it agrees to what it calls, and fires events itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from saltbranch.actions.shared import caller
from saltbranch.actions.shared.after_push import Notify
from saltbranch.base.asked_by import NOBODY, Asked
from saltbranch.ext import contract
from saltbranch.repository.workplace import Workplace, open_machine, open_mirror

P = TypeVar("P")


@dataclass(slots=True)
class Runner(caller.Caller[P]):
    """A runner of the master with the options `opts`. asked: who called it."""

    opts: Mapping[str, Any]
    asked: Asked = NOBODY

    @property
    def notify(self) -> Notify:
        """Fires the events of a sync on the master's bus."""
        return contract.notifier(self.opts)

    def open(self, *, fetch: bool = True) -> Workplace:
        """The mirror of this machine, whatever folder the master was started in. Raises SaltbranchError."""
        return self._asked(open_machine(contract.config_path(self.opts), fetch=fetch))

    def open_mirror(self) -> Workplace:
        """What the last sync of this master saw. Raises ConfigError, GitError."""
        return self._asked(open_mirror(contract.config_path(self.opts)))

    def _asked(self, work: Workplace) -> Workplace:
        work.asked = self.asked
        return work
