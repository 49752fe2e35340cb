"""A person at a command line: what they type is run as a process of its own, and shown with its output."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from saltbranch.base import proc
from saltbranch.base.errors import SaltbranchError
from saltbranch.demo.steps import Note

_CODE: Final = """\
import os, sys; os.chdir(sys.argv.pop(1)); from saltbranch.entry import main; main()"""
_SECONDS: Final = 120
_END: Final = 4  # lines at each end of a long output
_MARK: Final = "  ..."


@dataclass(frozen=True, slots=True)
class Shell:
    """Somebody who stands in `folder`. variables: of the environment, beside those of the demo itself."""

    prompt: str
    folder: Path
    note: Note
    variables: Mapping[str, str] = field(default_factory=dict)

    def saltbranch(self, *words: str, code: int = 0) -> list[str]:
        """Run ``saltbranch words``; the lines of its stdout.

        Of a long output only the ends are shown. Raises SaltbranchError when its exit code is not `code`.
        """
        self.typed("saltbranch", *words)
        argv = proc.python(_CODE, str(self.folder), *words)
        done = proc.run(argv, self._environment(), timeout=_SECONDS)
        lines = done.text.splitlines()
        for line in _shortened(lines):
            self.note(f"    {line}")
        if done.code != code:
            raise SaltbranchError(
                f"saltbranch {shlex.join(words)} ended with {done.code}: {done.complaint.strip()}"
            )
        return lines

    def typed(self, *words: str) -> None:
        """Show a command line."""
        self.note(f"{self.prompt} {shlex.join(words)}")

    def _environment(self) -> dict[str, str]:
        """The demo's own, without what leads saltbranch elsewhere."""
        own = {n: v for n, v in os.environ.items() if not n.startswith("SALTBRANCH_")}
        return {**own, **self.variables}


def _shortened(lines: list[str]) -> list[str]:
    """`lines` without the middle of many."""
    if len(lines) <= 2 * _END + 1:
        return lines
    return [*lines[:_END], _MARK, *lines[-_END:]]
