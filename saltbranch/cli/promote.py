"""``saltbranch promote``."""

from __future__ import annotations

from typing import Annotated

import typer

from saltbranch.actions.promote import promote
from saltbranch.cli import run_merge
from saltbranch.cli.options.common import saltenv_names
from saltbranch.cli.options.completion import points
from saltbranch.cli.options.merging import pushing


def register(app: typer.Typer) -> None:
    """Add the verb to `app`."""
    app.command("promote")(_promote)


@pushing
def _promote(
    saltenv: Annotated[str, typer.Argument(metavar="SALTENV", autocompletion=saltenv_names)],
    commit: Annotated[
        str | None,
        typer.Option(
            metavar="REF",
            help="An earlier commit of the source.",
            autocompletion=points,
            show_default=False,
        ),
    ] = None,
    tag: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Make this annotated tag in the same push; auto: the next version.",
            show_default=False,
        ),
    ] = None,
    *,
    options: run_merge.FlowOptions,
) -> int:
    """Merge what the saltenv before SALTENV serves into the branch of SALTENV.

    The merge is made without a work tree; nothing that Salt serves is touched. Branch, back-merges, tag and
    journal move by one atomic push, or none of them does. It works in a clone, and on a master.

    \b
    Examples:
      saltbranch promote stage --plan            what would go, and may it?
      saltbranch promote stage                   shows it and asks
      saltbranch promote prod --yes --expect 5f3c2a81b0d94e67
      saltbranch promote prod --reviewed a0a37a46   the diff that was looked at
      saltbranch promote prod --wait 2h          as soon as its window opens
      saltbranch promote prod --tag auto         with the next version as tag
      saltbranch promote stage --resolve /tmp/c  resolve, then --continue
    """

    return run_merge.run(
        options, lambda caller: promote(caller, options, saltenv, commit=commit, tag=tag)
    )
