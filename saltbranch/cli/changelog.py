"""``saltbranch changelog``."""

from __future__ import annotations

from typing import Annotated

import typer

from saltbranch.actions import changelog as action
from saltbranch.cli.options.common import ConfigOption, JsonOption, print_json, saltenv_names
from saltbranch.cli.options.completion import points
from saltbranch.cli.show.commits import FetchOption, Reader
from saltbranch.cli.terminal import block


def register(app: typer.Typer) -> None:
    """Add the verb to `app`."""
    app.command("changelog")(_changelog)


def _changelog(
    saltenv: Annotated[str, typer.Argument(metavar="SALTENV", autocompletion=saltenv_names)],
    config: ConfigOption = None,
    as_json: JsonOption = False,
    old: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="X",
            help="Begin after this commit, tag, branch or promotion.",
            autocompletion=points,
            show_default=False,
        ),
    ] = None,
    new: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="Y",
            help="End with this one. With --from alone: the head of the branch.",
            autocompletion=points,
            show_default=False,
        ),
    ] = None,
    fetch: FetchOption = True,
) -> int:
    """Write what SALTENV got, as Markdown grouped by ticket or feature.

    Without --from and --to: by its last promotion. With --to alone: by the promotion that brought that.

    \b
    Examples:
      saltbranch changelog prod
      saltbranch changelog prod --from v1.2.0 --to v1.3.0 > notes.md
      saltbranch changelog stage --to 20260301T101500Z-5f3c2a81
    """
    reader = Reader(config, quiet=as_json)
    work, result = action.tell(reader, saltenv, old=old, new=new, fetch=fetch)
    if as_json:
        print_json({**result.as_dict(), "problems": work.problems})
    else:
        block(result.markdown())
    return 0
