"""saltbranch as a contender of a benchmark that keeps one checkout for each branch of a repository.

A plug-in in the sense of the harness's README: `contenders(bench)` returns objects that prepare a
configuration and name the command to time. Every branch gets a saltenv, as r10k and g10k give it an
environment.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any


def contenders(bench: Any) -> list[Any]:
    """The contender: `saltbranch sync --quiet`, as the timer runs it."""

    class Saltbranch(bench.Contender):  # type: ignore[misc]
        name = "saltbranch"
        kind = "candidate"

        def missing(self) -> str | None:
            return (
                None if _command() else "saltbranch is not installed beside this Python or in PATH"
            )

        def prepare(self) -> None:
            self.state.mkdir(parents=True)
            lines = [
                f"remote: {self.url}",
                f"root: {self.state}/root",
                f"master_config: {self.state}/master.d/saltbranch.conf",
                f"salt_config: {self.state}/master",
                "saltenvs:",
            ]
            lines += [
                f"  env{n}: {{branch: {branch}, minions: [env{n}-*]}}"
                for n, branch in enumerate(self.branches)
            ]
            (self.state / "saltbranch.yaml").write_text("\n".join(lines) + "\n")
            self.envs.symlink_to(self.state / "root" / "checkouts")

        def command(self) -> list[str]:
            return [
                _command() or "",
                "sync",
                "--quiet",
                "--config",
                f"{self.state}/saltbranch.yaml",
            ]

    return [Saltbranch()]


def _command() -> str | None:
    beside = Path(sys.executable).with_name("saltbranch")
    return os.environ.get("SALTBRANCH") or (
        str(beside) if beside.exists() else shutil.which("saltbranch")
    )
