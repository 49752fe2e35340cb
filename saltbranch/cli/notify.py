"""``saltbranch notify``."""

from __future__ import annotations

from typing import Annotated

import typer

from saltbranch.actions.notify import notify as notify_action
from saltbranch.base.text import many, printable
from saltbranch.cli.options.common import ConfigOption, JsonOption, config_path, print_json
from saltbranch.cli.terminal import echo


def register(app: typer.Typer) -> None:
    """Add the verb to `app`."""
    app.command("notify")(_notify)


def _notify(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TARGET]...", help="Names of targets; all otherwise.", show_default=False
        ),
    ] = None,
    config: ConfigOption = None,
    test: Annotated[
        bool,
        typer.Option("--test", help="Send a message to each target now, and say what came of it."),
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Show which notifications wait to be sent, and what went wrong last; with --test try the targets.

    Who is told of what stands in `notify:` of the model, where the names lead in `notify_targets:` of this machine's
    file. Syncs send by themselves. Exit 20: a target could not be reached.

    \b
    Examples:
      saltbranch notify             what waits, and why
      saltbranch notify --test ops  does a message arrive?
    """
    done = notify_action(config_path(config), targets or (), test=test)
    if as_json:
        print_json(done.as_dict())
        return done.exit_code
    for tried in done.tried:
        echo(f"{tried.name}: {printable(tried.problem) or 'sent'}")
    if not test:
        lines = done.left.told()
        waiting = many(done.left.waiting, "message")
        for line in lines or [
            f"notifications: {waiting} to be sent" if done.left.waiting else "nothing waits"
        ]:
            echo(line)
    return done.exit_code
