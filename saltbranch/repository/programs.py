"""Which programs that a model names, its gates and hooks, run on this machine.

Whoever may change the model would otherwise run what they like wherever somebody promotes. A machine's own file lists
what may run there unasked (`programs:`); a person on a terminal is shown the words and asked once, which is remembered
in the git folder by their digest; `--run-commands` says yes to all for one run.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import stat
from collections.abc import Callable, Collection, Sequence

from saltbranch.base import files

Argv = tuple[str, ...]
Ask = Callable[[Sequence[Argv]], bool]
"""Shows programs to a person; whether they may run."""


class Programs:
    """``programs.settle(...)`` before planning, then ``programs.may_run(argv)`` wherever one would be started."""

    def __init__(
        self, listed: Collection[Argv] = (), *, where: str = "", git_dir: str = ""
    ) -> None:
        """listed: by the machine's own file, which `where` names. git_dir: what is agreed to is kept there."""
        self.listed = frozenset(listed)
        self.where = where
        self.git_dir = git_dir
        self.run_all = False
        self.ask: Ask | None = None
        self._answers: dict[Argv, bool] = {}

    def settle(self, wanted: Sequence[Argv]) -> None:
        """Ask the person, where there is one, about those of `wanted` that nobody has agreed to."""
        new = [
            argv
            for argv in dict.fromkeys(wanted)
            if not self.may_run(argv) and argv not in self._answers
        ]
        if not new or self.ask is None:
            return
        agreed = self.ask(new)
        self._answers.update(dict.fromkeys(new, agreed))
        if agreed:
            self._remember(new)

    def may_run(self, argv: Argv) -> bool:
        """Whether it may be started here."""
        if self.run_all or argv in self.listed or self._answers.get(argv):
            return True
        return _digest(argv) in self._remembered()

    def why_not(self, argv: Argv) -> str:
        """Why it may not, and what to do."""
        shown = shlex.join(argv)
        if self.where:
            return f"{shown} is not listed under programs: in {self.where}, so it does not run here"
        return (
            f"{shown} was not agreed to in this clone: run it on a terminal, or with --run-commands"
        )

    def _remembered(self) -> set[str]:
        """What this user has agreed to; a file that somebody else could have written counts for nothing."""
        if not self.git_dir:
            return set()
        try:
            st = os.lstat(self._path())
            if not stat.S_ISREG(st.st_mode) or st.st_uid != os.geteuid() or st.st_mode & 0o022:
                return set()
            text = (files.read_or_none(self._path()) or b"").decode("utf-8", "replace")
        except OSError:
            return set()
        return {line.split(" ")[0] for line in text.splitlines() if line}

    def _remember(self, agreed: Sequence[Argv]) -> None:
        if not self.git_dir:
            return
        old = sorted(self._remembered())
        new = [f"{_digest(argv)} {json.dumps(argv)}" for argv in agreed]
        try:
            files.write_atomic(
                self._path(), "".join(f"{line}\n" for line in [*old, *new]), mode=0o600
            )
        except OSError:
            pass  # they are asked again

    def _path(self) -> str:
        """One for each user, as a clone may be shared."""
        return f"{self.git_dir}/saltbranch-agreed-{os.geteuid()}"


def _digest(argv: Argv) -> str:
    return hashlib.sha256(json.dumps(argv).encode()).hexdigest()
