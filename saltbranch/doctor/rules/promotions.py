"""Whether anybody makes the promotions that the model wants to move by themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from saltbranch.base.text import some
from saltbranch.doctor.finding import Finding


def nobody_promotes(saltenvs: Sequence[str], seen: Sequence[str], path: str) -> Iterator[Finding]:
    """saltenvs: with `auto_promote`, to which this machine, whose file is `path`, does not promote.

    seen: those of them to which the journal knows that some machine has.
    """
    never = [name for name in saltenvs if name not in seen]
    if never:
        yield Finding(
            "nobody-promotes",
            "warning",
            f"auto_promote is set for {some(never)}, and no machine is known to do it",
            why="What the model wants to move by itself waits for a machine that may, and nobody is told.",
            fix=f"set promotes: true in {path} on one machine at least, whose user may push to the branches",
            items=tuple(never),
        )
