"""The command line: parses words, calls one action, shows its result. Decides nothing."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from saltbranch import __version__
from saltbranch.cli import (
    demo,
    diff,
    doctor,
    explain,
    fleet,
    init,
    install,
    prune,
    schema,
    status,
    sync,
)

# click's base class of wrong usage; newer typers bring a click of their own.
_ClickException: Any = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="saltbranch",
    help="Serve the branches of one Salt repository as Salt environments, and keep them apart.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (init, sync, status, explain, diff, fleet, doctor, install, prune, demo, schema):
    module.register(app)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"saltbranch {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Serve the branches of one Salt repository as Salt environments, and keep them apart."""


def run() -> int:
    """Run the command line of this process; its exit code. Expected errors come out as exceptions."""
    try:
        code = app(args=sys.argv[1:], prog_name="saltbranch", standalone_mode=False)
    except _ClickException as err:
        err.show()
        return int(err.exit_code)
    except typer.Abort:
        raise KeyboardInterrupt from None
    return code if isinstance(code, int) else 0
