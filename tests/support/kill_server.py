"""The process that runs saltbranch and kills it; see kill_at.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from tests.support import warm

KILL_AT = Path(__file__).with_name("kill_at.py")


class KillServer:
    """Runs command lines of saltbranch, each in a fork that can be killed at one step."""

    def __enter__(self) -> KillServer:
        self.process = subprocess.Popen(
            [sys.executable, str(KILL_AT)],
            env={**os.environ, warm.VARIABLE: warm.server().path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.communicate()

    def run(self, log: Path, step: str, let_through: int, *arguments: str) -> int:
        """Run ``saltbranch arguments``; its exit code, or the signal that killed it as a negative number.

        log: gets the names of all its steps. step: it is killed just before it; "" for never, "any" for
        whichever comes. let_through: how often it is let through before.
        """
        return self.run_all([(log, step, let_through, *arguments)])[0]

    def run_all(self, orders: Sequence[Sequence[object]]) -> list[int]:
        """Run several at once, each as `run` does; their exit codes."""
        assert self.process.stdin and self.process.stdout
        lines = [[str(order[0]), *order[1:]] for order in orders]
        self.process.stdin.write(json.dumps(lines) + "\n")
        self.process.stdin.flush()
        codes: list[int] = json.loads(self.process.stdout.readline())
        return codes
