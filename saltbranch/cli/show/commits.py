"""What the verbs that look back share: where they read, and how they show times and commits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

import typer

from saltbranch.actions.shared.caller import Opener, Watcher
from saltbranch.base.errors import RefusedError, RemoteError
from saltbranch.base.text import printable
from saltbranch.cli.show import progress
from saltbranch.cli.terminal import echo
from saltbranch.git.program import mask
from saltbranch.repository.workplace import Workplace, open_workplace

FetchOption = Annotated[
    bool,
    typer.Option(
        "--fetch/--no-fetch",
        help="Read the remote first; otherwise what it had when it was last read counts.",
    ),
]


@dataclass(frozen=True, slots=True)
class Reader(Opener):
    """A person who looks back, or their script. quiet: what is wrong is told elsewhere."""

    config: str | None
    quiet: bool

    def open(self, *, fetch: bool = True) -> Workplace:
        """Where the verb reads. Raises SaltbranchError."""
        return workplace(self.config, fetch=fetch, quiet=self.quiet)

    @contextmanager
    def watching(self) -> Iterator[Watcher]:
        """What git does, on stderr."""
        with progress.shown(enabled=not self.quiet) as say:
            yield Watcher(say)


def workplace(config: str | None, *, fetch: bool, quiet: bool) -> Workplace:
    """Where the verb reads. Raises SaltbranchError."""
    try:
        with progress.shown(enabled=fetch and not quiet) as say:
            work = open_workplace(config, say, fetch=fetch)
    except RemoteError as err:
        err.hint = "\n  -> ".join(
            [*filter(None, [err.hint]), "--no-fetch shows what was last read"]
        )
        raise
    if not work.refs.branches:
        raise RefusedError(
            f"nothing is known of the remote {mask(work.repo.remote)}: it has no branches",
            hint="" if fetch else "it was not read here yet: leave --no-fetch out",
        )
    for line in () if quiet else work.problems:
        echo(f"saltbranch: {printable(line)}", err=True)
    return work


def local_time(seconds: float) -> str:
    """`seconds` since 1970 on the clock of this machine."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
