"""The options of the verbs that set a machine up."""

from __future__ import annotations

from typing import Annotated

import typer

from saltbranch.actions.init_text import ROOT

RootOption = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER",
        help=f"For mirror and checkouts. Default: {ROOT}.",
        show_default=False,
    ),
]
GroupOption = Annotated[
    str | None,
    typer.Option(
        help="Group that may read the checkouts. Default: that of the salt-master's user.",
        show_default=False,
    ),
]
