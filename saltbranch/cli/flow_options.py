"""Options of the verbs that merge, each meaning the same everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

ExpectOption = Annotated[
    str | None,
    typer.Option(
        "--expect",
        metavar="DIGEST",
        help="Do it only if the plan has this digest, the one that was looked at.",
        show_default=False,
    ),
]
ResolveOption = Annotated[
    str | None,
    typer.Option(
        "--resolve",
        metavar="DIR",
        help="Open a worktree at DIR with the conflict in it, to resolve it there.",
        show_default=False,
    ),
]
ContinueOption = Annotated[
    bool, typer.Option("--continue", help="Go on with the conflict that was resolved.")
]
AbortOption = Annotated[
    bool, typer.Option("--abort", help="Forget the conflict and remove its worktree.")
]
OverrideOption = Annotated[
    list[str] | None,
    typer.Option(
        "--override",
        metavar="GATE",
        help="Pass over a gate, where the configuration allows it; it is recorded.",
        show_default=False,
    ),
]
ReasonOption = Annotated[
    str | None,
    typer.Option("--reason", metavar="TEXT", help="Why; it is recorded.", show_default=False),
]
RunCommandsOption = Annotated[
    bool,
    typer.Option(
        "--run-commands",
        help="Run the programs that the model names, its gates and hooks, without asking. In a clone only: on a"
        " master, programs: in its own file lists what may run.",
    ),
]
NoDiffOption = Annotated[
    bool,
    typer.Option("--no-diff", help="Compile nothing: leave out what changes for the minions."),
]
ReviewedOption = Annotated[
    str | None,
    typer.Option(
        "--reviewed",
        metavar="DIGEST",
        help="Do it only if the diff has this digest, the one that was reviewed, or begins so.",
        show_default=False,
    ),
]
ViaOption = Annotated[
    str,
    typer.Option(
        "--via",
        metavar="push|branch",
        help="branch: push promote/SALTENV/ID for a pull request instead of the protected branch.",
    ),
]
