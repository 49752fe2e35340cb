"""Options that several verbs share, each meaning the same everywhere."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from saltbranch.config import locate

ConfigOption = Annotated[
    str | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="The machine's saltbranch.yaml. Otherwise $SALTBRANCH_CONFIG, or /etc/salt/saltbranch.yaml; verbs that"
        " are not about a machine work in the current clone.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write the result as JSON.")]
PlanOption = Annotated[
    bool,
    typer.Option(
        "--plan",
        "--dry-run",
        "-n",
        help="Only show what would be done; exit 3 if that is anything.",
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]


def config_path(config: str | None) -> str:
    """The machine's own file: --config, $SALTBRANCH_CONFIG or /etc/salt. Raises ConfigError."""
    return locate.machine_file(config, os.environ)


def print_json(data: Any) -> None:
    """Write `data` to stdout as one JSON document; text that is no UTF-8 is escaped."""
    sys.stdout.write(json_text(data))


def print_json_line(data: Any) -> None:
    """Write `data` to stdout at once, as one line of a stream of JSON."""
    sys.stdout.write(json.dumps(data) + "\n")
    sys.stdout.flush()


def print_for_program(text: str) -> None:
    """Write `text`, in a format of programs, to stdout; to a terminal without what steers one."""
    if sys.stdout.isatty():
        text = "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in text)
    sys.stdout.write(text)


def wants_json(words: Sequence[str]) -> bool:
    """Whether the command line `words` asks for JSON."""
    options = words[: words.index("--")] if "--" in words else words
    return "--json" in options


def print_error(message: str, hint: str, exit_code: int) -> None:
    """Write why a verb failed to stdout, for a program that reads JSON there; as a line, which fits a stream, too."""
    what = {"message": message, "hint": hint or None, "exit_code": exit_code}
    print_json_line({"version": 1, "error": what})


def json_text(data: Any) -> str:
    """`data` as one indented JSON document."""
    import msgspec  # its indenting is quick also for a fleet's worth of data, that of json is not

    try:
        return f"{msgspec.json.format(json.dumps(data), indent=2)}\n"
    except msgspec.DecodeError:  # half a character, as broken file names have
        return json.dumps(data, indent=2) + "\n"


def saltenv_names(incomplete: str) -> list[str]:
    """Completion: the saltenvs of the configuration at hand."""
    from saltbranch.base.errors import SaltbranchError
    from saltbranch.repository import clone_or_mirror

    try:
        config = clone_or_mirror.find(None).last_config()
    except (SaltbranchError, OSError):
        return []
    return [s.name for s in config.saltenvs if s.name.startswith(incomplete)]


SaltenvArgument = Annotated[str, typer.Argument(metavar="SALTENV", autocompletion=saltenv_names)]
SaltenvsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[SALTENV]...",
        help="Only these saltenvs; all of them otherwise.",
        autocompletion=saltenv_names,
        show_default=False,
    ),
]
