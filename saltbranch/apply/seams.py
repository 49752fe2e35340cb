"""What is done around a batch by others: the load balancer, and the checks that prove it.

Each may be called again for the same batch, by a process that goes on after a kill.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch of an apply. number: from 1 on, `of` them. commit: what is applied. is_rollback: to take one back."""

    apply: str
    saltenv: str
    commit: str
    number: int
    of: int
    minions: tuple[str, ...]
    is_rollback: bool = False


class Seams(Protocol):
    """What is done around each batch. What fails raises SaltbranchError, and the apply stops."""

    def before(self, batch: Batch) -> None:
        """Before anything of the batch is applied."""

    def verify(
        self, batch: Batch, good: Sequence[str], changed: Sequence[str]
    ) -> Mapping[str, str]:
        """Those of `good`, to which it was applied, that are not as they should be, and why.

        changed: those of them on which a state changed something, or may have.
        """

    def after(self, batch: Batch, good: Sequence[str]) -> None:
        """After the batch. good: those that were applied to and are as they should be."""
