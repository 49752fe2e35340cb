"""``saltbranch backmerge``."""

from __future__ import annotations

from typing import Annotated

import typer

from saltbranch.actions.backmerge import backmerge
from saltbranch.cli import run_merge
from saltbranch.cli.options.common import saltenv_names
from saltbranch.cli.options.merging import merging


def register(app: typer.Typer) -> None:
    """Add the verb to `app`."""
    app.command("backmerge")(_backmerge)


@merging
def _backmerge(
    saltenv: Annotated[str, typer.Argument(metavar="SALTENV|BRANCH", autocompletion=saltenv_names)],
    *,
    options: run_merge.FlowOptions,
) -> int:
    """Merge into a branch what it lacks of the one after it: pays the debt that a hotfix left.

    \b
    Examples:
      saltbranch backmerge stage --plan
      saltbranch backmerge stage --resolve /tmp/c   then git add, --continue
    """
    return run_merge.run(options, lambda caller: backmerge(caller, options, saltenv))
