"""A line on the terminal while git works: what it does and how far it is."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_STEP = re.compile(r"(?:remote: )?(?P<what>[A-Z][A-Za-z ]+): +(?P<percent>\d+)%")


def compiling(say: Callable[[str], None] | None) -> Callable[[int, int], None] | None:
    """What takes (done, total) of compiles and shows them by `say`; None where that is None."""
    if say is None:
        return None
    return lambda done, total: say(f"Compiling: {100 * done // max(1, total)}%")


@contextmanager
def shown(*, enabled: bool = True) -> Iterator[Callable[[str], None] | None]:
    """Give a function that takes git's progress lines and shows them as bars on stderr.

    Without a terminal there is None to give, and git is told to be quiet.
    """
    if not enabled or not sys.stderr.isatty():
        yield None
        return
    from rich.progress import BarColumn, Progress, TaskID, TextColumn

    from saltbranch.cli.console import Terminal

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
    )
    with Progress(*columns, console=Terminal(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def say(line: str) -> None:
            found = _STEP.match(line)
            if found is None:
                if line.startswith("pid "):
                    bars.console.print(f"waiting for another saltbranch ({line})", markup=False)
                return
            what = found["what"]
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=100)
            bars.update(tasks[what], completed=int(found["percent"]))

        yield say
