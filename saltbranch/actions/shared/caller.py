"""Who calls a verb that merges, records or looks back: a person at a terminal, or Salt's master.

A verb's action opens, plans, applies and syncs; by its caller it is told where, and tells it of what it does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from saltbranch.actions.shared.after_push import Notify
from saltbranch.repository.programs import Argv
from saltbranch.repository.workplace import Say, Workplace

P = TypeVar("P")
"""The kind of plan that the verb makes."""


@dataclass(frozen=True, slots=True)
class Watcher:
    """Who looks on while a verb works. say: takes git's lines of progress. compiled: (done, total) of compiles."""

    say: Say | None = None
    compiled: Callable[[int, int], None] | None = None


class Opener(ABC):
    """All that a verb needs that only looks back."""

    @abstractmethod
    def open(self, *, fetch: bool = True) -> Workplace:
        """Where the verb works, the remote read unless `fetch` is False. Raises SaltbranchError."""

    @contextmanager
    def watching(self) -> Iterator[Watcher]:
        """Around what may take a while."""
        yield Watcher()


class Caller(Opener, Generic[P]):
    """By itself it agrees to everything and looks at nothing, as a program does that calls a verb."""

    @property
    @abstractmethod
    def notify(self) -> Notify:
        """Told of the saltenvs that the sync switches."""

    @property
    def has_person(self) -> bool:
        """Whether somebody may be asked for a passphrase."""
        return False

    @abstractmethod
    def open_mirror(self) -> Workplace:
        """What the last sync of this master saw. Raises ConfigError, GitError."""

    def settle(self, work: Workplace, wanted: Callable[[], Sequence[Argv]]) -> None:
        """Find out which of the model's programs may run here; `wanted` are those that the verb would run."""

    def show(self, work: Workplace, plan: P, *, is_result: bool) -> None:
        """Look at `plan`. is_result: nothing more is done, so the plan is what the verb says."""

    def waits(self, text: str) -> None:
        """Take a sentence about what a verb waits for."""

    def agree(self, verb: str) -> None:
        """Raises RefusedError when `verb` shall not be done after all."""
