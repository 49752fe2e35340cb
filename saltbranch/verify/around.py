"""What an apply runs around each batch, told before anything is run. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from saltbranch.config.batch_hooks import SaltHook
from saltbranch.config.model import Config, Saltenv
from saltbranch.config.verify import ProgramCheck
from saltbranch.repository.programs import Argv


@dataclass(frozen=True, slots=True)
class Around:
    """Hooks `before` and `after`, checks in between. problems: programs that will fail, as they may not run here."""

    before: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "before_batch": list(self.before),
            "verify": list(self.checks),
            "after_batch": list(self.after),
            "problems": list(self.problems),
        }


def around(config: Config, saltenv: Saltenv, why_not: Callable[[Argv], str]) -> Around:
    """What `saltenv` has. why_not: says of a program of the model why it may not run here."""
    hooks = (*saltenv.before_batch, *saltenv.after_batch)
    programs = [h.argv for h in hooks if not isinstance(h, SaltHook)]
    programs += [c.argv for c in saltenv.verify if isinstance(c, ProgramCheck)]
    return Around(
        before=tuple(h.shown for h in saltenv.before_batch),
        checks=tuple(c.name if c.on == "all" else f"{c.name} (on: {c.on})" for c in saltenv.verify),
        after=tuple(h.shown for h in saltenv.after_batch),
        problems=tuple(dict.fromkeys(why_not(a) for a in programs if a not in config.programs)),
    )


def checks_digest(saltenv: Saltenv) -> str:
    """The same for the same checks."""
    return hashlib.sha256(repr(saltenv.verify).encode()).hexdigest()[:16]
