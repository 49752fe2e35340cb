"""``saltbranch flow``: settings of git-flow."""

from __future__ import annotations

import os

import typer

from saltbranch.actions import flow_init
from saltbranch.base.errors import EXIT_PENDING
from saltbranch.base.text import printable
from saltbranch.cli import run_merge
from saltbranch.cli.options.common import JsonOption, PlanOption, YesOption, print_json
from saltbranch.cli.terminal import block, echo


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    group = typer.Typer(
        help="Settings of git-flow.",
        no_args_is_help=True,
    )
    app.add_typer(group, name="flow")
    group.command("init")(_init)


def _init(plan: PlanOption = False, yes: YesOption = False, as_json: JsonOption = False) -> int:
    """Take over the prefixes that git-flow AVH or git-flow-next were told in this clone.

    They are written as flow: into saltbranch.yaml at the root of the clone.

    \b
    Example:
      saltbranch flow init --plan
    """
    found = flow_init.flow_init(
        os.getcwd(),
        show=lambda found: _show(found, as_json=as_json),
        agree=lambda path: run_merge.confirm(f"Write {path}?", yes=yes, what="flow init"),
        plan=plan,
    )
    return EXIT_PENDING if plan and found.text else 0


def _show(found: flow_init.FlowInit, *, as_json: bool) -> None:
    if as_json:
        print_json(found.as_dict())
        return
    for note in found.notes:
        echo(note)
    echo(f"{found.path}: {'nothing to change' if not found.text else 'gets'}")
    block(_printable_lines(found.text))


def _printable_lines(text: str) -> str:
    """`text` cleaned, its line ends kept."""
    return "".join(f"{printable(line)}\n" for line in text.splitlines())
