"""What compiled highstates bring up. Compiling them is somebody else's work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from saltbranch.checks import Finding, rules


@dataclass(frozen=True, slots=True)
class Compiled:
    """What the compiler made of one minion. error: why there are no chunks, or not all of them.

    file, line: where the error is, as far as the compiler can tell.
    """

    chunks: Sequence[Mapping[str, Any]] = ()
    error: str = ""
    file: str = ""
    line: int = 0


Compile = Callable[[str, Sequence[str]], Mapping[str, Compiled]]
"""(commit, ids of minions) to the highstate of each."""


def findings(
    commit: str, minions: Sequence[str], compile_all: Compile, top: str
) -> Iterator[Finding]:
    """One finding for each error, with the minions that have it; `top` is the states' top file.

    A minion without an answer is an error, and one without states a warning: neither is "fine".
    """
    results = compile_all(commit, minions)
    broken: dict[tuple[str, int, str], list[str]] = {}
    empty = []
    for minion in minions:
        found = results.get(minion) or Compiled(error="the compiler gave no answer")
        if found.error:
            broken.setdefault((found.file or top, found.line, found.error), []).append(minion)
        elif not found.chunks:
            empty.append(minion)
    for (file, line, error), names in broken.items():
        yield rules.COMPILE.at(file, line, f"{_some(names)}: {error[:300]}")
    if empty:
        message = f"{_some(empty)}: the highstate is empty"
        yield rules.COMPILE.at(
            top, 0, message, severity="warning", fix="see the top file's targets"
        )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
