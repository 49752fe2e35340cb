"""The command line: parses words, calls one action, shows its result. Decides nothing."""

from __future__ import annotations

import importlib
import inspect
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.models import CommandInfo

from saltbranch import __version__
from saltbranch.base.errors import Interrupted
from saltbranch.cli.options.common import ConfigOption, JsonOption, print_error, wants_json

# The help text's groups of verbs, in their order: verb to the module that has it.
_PANELS = {
    "Set up": {
        "init": "init", "adopt": "adopt", "install": "install", "uninstall": "install", "flow": "flow",
        "doctor": "doctor", "notify": "notify", "prune": "prune", "schema": "schema", "demo": "demo",
    },
    "Serve": {
        "sync": "sync", "apply": "apply", "verify": "verify", "status": "status", "metrics": "metrics",
        "explain": "explain",
    },
    "Develop and promote": {
        "feature": "feature", "formula": "formula", "check": "check", "diff": "diff", "fleet": "fleet",
        "lab": "lab", "promote": "promote", "why-not": "why_not",
        "approve": "approve", "release": "release", "hotfix": "hotfix",
        "backmerge": "backmerge", "accept": "hold",
    },
    "Emergency": {"rollback": "hold", "hold": "hold", "unhold": "hold"},
    "Look back": {"history": "history", "where": "where", "changelog": "changelog"},
}  # fmt: skip
_MODULES = {verb: module for verbs in _PANELS.values() for verb, module in verbs.items()}

# click's base class of wrong usage; newer typers bring a click of their own.
_ClickException: Any = typer.BadParameter.__mro__[2]

_HELP = "Serve the branches of one Salt repository as Salt environments, and keep them apart."
_EPILOG = "saltbranch help VERB shows more about a verb."


class _Verbs(TyperGroup):
    """The verbs in the order of their groups, not commands before groups of commands."""

    def list_commands(self, ctx: Any) -> list[str]:
        known = super().list_commands(ctx)
        order = list(_MODULES)
        return sorted(known, key=lambda verb: order.index(verb) if verb in order else len(order))


def build(verb: str | None = None) -> typer.Typer:
    """The command line with `verb` alone, with all verbs where it is none.

    Each verb would pay for the imports of the others.
    """
    app = typer.Typer(
        name="saltbranch",
        cls=_Verbs,
        help=_HELP,
        epilog=_EPILOG,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(help=_HELP)(_main)
    names = [_MODULES[verb]] if verb in _MODULES else dict.fromkeys(_MODULES.values())
    for name in names:
        importlib.import_module(f"saltbranch.cli.{name}").register(app)
    _arrange(app)
    return app


def _arrange(app: typer.Typer) -> None:
    """Put each verb into its group of the help text, and let the terminal wrap what it says."""
    panels = {verb: panel for panel, verbs in _PANELS.items() for verb in verbs}
    for command in app.registered_commands:
        command.rich_help_panel = panels[command.name or ""]
        command.help = _unwrapped(command)
    for group in app.registered_groups:
        group.rich_help_panel = panels[group.name or ""]
        for command in group.typer_instance.registered_commands if group.typer_instance else []:
            command.help = _unwrapped(command)


def _unwrapped(command: CommandInfo) -> str:
    """The docstring of a verb with each paragraph in one line; typer keeps the line ends of the source."""
    text = inspect.cleandoc((command.callback and command.callback.__doc__) or "")
    parts = text.split("\n\n")
    kept = [part if part.startswith("\b") else " ".join(part.split("\n")) for part in parts]
    return "\n\n".join(kept)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"saltbranch {__version__}")
        raise typer.Exit


def _main(
    _version: Annotated[
        bool,
        typer.Option("--version", "-V", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
    _config: ConfigOption = None,
    _json: JsonOption = False,
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
    # What newer typers make of ^C; a verb that has told of it itself returns an int of its own kind.
    if type(code) is int and code == Interrupted.exit_code:
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0
