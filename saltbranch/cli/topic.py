"""What the verbs of topic branches share on the command line."""

from __future__ import annotations

from typing import Annotated

import typer

from saltbranch.actions.shared.topic import Started
from saltbranch.cli.options.common import print_json
from saltbranch.cli.options.completion import branches
from saltbranch.cli.run_merge import Terminal, confirm
from saltbranch.cli.terminal import echo

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="With or without the prefix.")]
SomeName = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME]",
        help="The branch that is checked out otherwise.",
        autocompletion=branches,
        show_default=False,
    ),
]


class TopicTerminal(Terminal[Started]):
    """A person who makes or pushes a topic branch."""

    def agree(self, verb: str) -> None:
        """Ask, unless --yes was said. Raises RefusedError."""
        confirm(f"{verb}?", yes=self.yes, what=verb)


def said(started: Started, *, as_json: bool, what: str) -> int:
    """Say what was made or pushed; the exit code."""
    if as_json:
        print_json(started.as_dict())
    else:
        echo(f"{started.branch}: {what} at {started.commit[:12]}")
    return 0
