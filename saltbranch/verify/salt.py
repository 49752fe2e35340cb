"""What checks and hooks ask of Salt; salt_master/jobs.py does it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from saltbranch.verify.judge import Returned


class Salt(Protocol):
    """A running master, and its minions."""

    def up(self, minions: Collection[str], /) -> set[str]:
        """Who of them answers."""

    def run_and_wait(
        self,
        minions: Collection[str],
        function: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] = {},
        *,
        timeout: float,
    ) -> Mapping[str, Returned | None]:
        """What each returns in time."""

    def runner(
        self,
        function: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] = {},
        *,
        timeout: float,
    ) -> object:
        """What a runner returns."""
