"""How an apply goes, as a person asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from saltbranch.apply.batches import Share, parse_share
from saltbranch.apply.limits import Limits
from saltbranch.base.durations import parse_duration
from saltbranch.base.errors import UsageError

ASK = "ask"
STOP, ROLLBACK = "stop", "rollback"
ON_FAILURE = (STOP, ROLLBACK, ASK)
CHANGED = "changed"
_LONGEST = 30 * 86400.0


@dataclass(frozen=True, slots=True)
class Options:
    """All as it is written on the command line; an empty text stands for none."""

    canary: str = ""
    batch: str = ""
    pause: str = ""
    timeout: str = "30m"
    max_failures: str = "0"
    max_failures_per_batch: str = ""
    only: str = ""
    on_failure: str = STOP

    def as_dict(self) -> dict[str, str]:
        """Plain data."""
        return {key: getattr(self, key) for key in self.__slots__}

    def check(self) -> None:
        """Raises UsageError for what means nothing."""
        _ = self.size, self.limits, self.seconds
        if not self.asks:
            _ = self.pause_seconds
        for value, known, option in (
            (self.only, ("", CHANGED), "--only"),
            (self.on_failure, ON_FAILURE, "--on-failure"),
        ):
            if value not in known:
                listed = " or ".join(filter(None, known))
                raise UsageError(f"{option} {value!r} is not known", hint=f"it is {listed}")

    @property
    def size(self) -> Share | None:
        """Of a batch; None for all at once."""
        return parse_share(self.batch, "--batch", least=1) if self.batch else None

    @property
    def limits(self) -> Limits:
        """When it ends."""
        per_batch = self.max_failures_per_batch
        return Limits(
            parse_share(self.max_failures, "--max-failures"),
            parse_share(per_batch, "--max-failures-per-batch") if per_batch else None,
        )

    @property
    def seconds(self) -> float:
        """How long a minion may take."""
        return _within(parse_duration(self.timeout, "--timeout"), "--timeout", least=1)

    @property
    def asks(self) -> bool:
        """Whether a person says after each batch that it goes on."""
        return self.pause == ASK

    @property
    def pause_seconds(self) -> float:
        """How long it waits after each batch."""
        return _within(parse_duration(self.pause, "--pause"), "--pause") if self.pause else 0.0


def _within(seconds: float, option: str, least: float = 0.0) -> float:
    if not least <= seconds <= _LONGEST:
        raise UsageError(f"{option}: that is from {least:g} s to 30 d")
    return seconds


def options_from_dict(data: Mapping[str, Any]) -> Options:
    """What Options.as_dict() gave. Raises ValueError."""
    if not all(isinstance(value, str) for value in data.values()):
        raise ValueError(f"no options: {data!r}")
    try:
        return Options(**data)
    except TypeError as err:
        raise ValueError(f"no options: {data!r}") from err
