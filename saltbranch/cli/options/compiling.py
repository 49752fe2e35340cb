"""Options of the verbs that compile."""

from __future__ import annotations

from typing import Annotated

import typer

MinionsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--minions",
        metavar="GLOB|@FILE",
        help="Only these minions: globs of ids, or a file with an id on each line.",
        show_default=False,
    ),
]
JobsOption = Annotated[
    int | None,
    typer.Option("--jobs", "-j", min=1, help="Processes; all cores otherwise.", show_default=False),
]
CacheOption = Annotated[
    bool, typer.Option("--cache/--no-cache", help="Use results of earlier runs.")
]
