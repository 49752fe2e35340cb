"""When so many minions went wrong that an apply ends."""

from __future__ import annotations

from dataclasses import dataclass

from saltbranch.apply.batches import Share


@dataclass(frozen=True, slots=True)
class Limits:
    """How many minions may go wrong: of all, and of each batch; None for no limit of its own."""

    over_all: Share = Share(0)
    per_batch: Share | None = None

    def exceeded(self, *, wrong: int, total: int, in_batch: int, size: int) -> str:
        """Why the apply ends after a batch; empty where it goes on.

        wrong: how many of `total` went wrong so far. in_batch: how many of the batch of `size`.
        """
        if wrong > self.over_all.at_most(total):
            return f"{wrong} of {total} went wrong, and --max-failures is {self.over_all}"
        if self.per_batch and in_batch > self.per_batch.at_most(size):
            return f"{in_batch} of {size} in this batch went wrong, and --max-failures-per-batch is {self.per_batch}"
        return ""
