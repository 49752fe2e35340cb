"""The steps of the demo: each is told when it begins, while it goes on and when it ends."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Begun:
    """A step begins."""

    title: str


@dataclass(frozen=True, slots=True)
class Noted:
    """Something worth telling about the step that is under way."""

    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A step has ended."""

    title: str
    seconds: float
    ok: bool


Progress = Begun | Noted | Ended
Tell = Callable[[Progress], None]
Note = Callable[[str], None]


@dataclass(slots=True)
class Steps:
    """Tells of each step and how long it took."""

    tell: Tell
    done: list[tuple[str, float]] = field(default_factory=list)

    @contextlib.contextmanager
    def step(self, title: str, problems: Sequence[str] = ()) -> Iterator[Note]:
        """One step; it is good while nobody has put anything into `problems`."""
        begun = time.monotonic()
        self.tell(Begun(title))
        yield lambda text: self.tell(Noted(text))
        seconds = time.monotonic() - begun
        self.done.append((title, seconds))
        self.tell(Ended(title, seconds, ok=not problems))
