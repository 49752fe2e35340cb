"""The command line: parses words, calls one action, shows its result. Decides nothing."""

from __future__ import annotations

import importlib
import sys
from typing import Annotated, Any

import typer

from saltbranch import __version__
from saltbranch.cli.options import print_error, wants_json
from saltbranch.errors import Interrupted

# Verb to the module that has it, in the order of the help text.
_MODULES = {
    "init": "init", "sync": "sync", "status": "status", "promote": "promote", "why-not": "hold",
    "hold": "hold", "unhold": "hold", "rollback": "hold", "accept": "hold",
    "feature": "flow", "release": "flow", "hotfix": "flow",
    "backmerge": "flow", "flow": "flow", "history": "history", "where": "where", "changelog": "changelog",
    "explain": "explain", "doctor": "doctor", "check": "check", "diff": "diff", "fleet": "fleet",
    "install": "install", "uninstall": "install",
    "prune": "prune", "demo": "demo", "schema": "schema",
}  # fmt: skip

# click's base class of wrong usage; newer typers bring a click of their own.
_ClickException: Any = typer.BadParameter.__mro__[2]

_HELP = "Serve the branches of one Salt repository as Salt environments, and keep them apart."


def build(verb: str | None = None) -> typer.Typer:
    """The command line with `verb` alone, with all verbs where it is none.

    Each verb would pay for the imports of the others.
    """
    app = typer.Typer(
        name="saltbranch",
        help=_HELP,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(help=_HELP)(_main)
    names = [_MODULES[verb]] if verb in _MODULES else dict.fromkeys(_MODULES.values())
    for name in names:
        importlib.import_module(f"saltbranch.cli.{name}").register(app)
    return app


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"saltbranch {__version__}")
        raise typer.Exit


def _main(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Serve the branches of one Salt repository as Salt environments, and keep them apart."""


def run() -> int:
    """Run the command line of this process; its exit code. Expected errors come out as exceptions."""
    words = sys.argv[1:]
    app = build(words[0] if words else None)
    try:
        code = app(args=sys.argv[1:], prog_name="saltbranch", standalone_mode=False)
    except _ClickException as err:
        err.show()
        if wants_json(words):
            print_error(err.format_message(), "", int(err.exit_code))
        return int(err.exit_code)
    except typer.Abort:
        raise KeyboardInterrupt from None
    if code == Interrupted.exit_code:  # what newer typers make of ^C
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0
