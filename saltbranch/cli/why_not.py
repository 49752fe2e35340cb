"""``saltbranch why-not``."""

from __future__ import annotations

from typing import Annotated

import typer

from saltbranch.actions.why_not import why_not
from saltbranch.base.durations import when_passing
from saltbranch.base.text import printable
from saltbranch.cli import run_merge
from saltbranch.cli.options.common import ConfigOption, JsonOption, SaltenvArgument, print_json
from saltbranch.cli.options.merging import RunCommandsOption
from saltbranch.cli.show import plan as plan_text
from saltbranch.cli.terminal import echo


def register(app: typer.Typer) -> None:
    """Add the verb to `app`."""
    app.command("why-not")(_why_not)


def _why_not(
    saltenv: SaltenvArgument,
    config: ConfigOption = None,
    commit: Annotated[
        str | None,
        typer.Option(metavar="REF", help="An earlier commit of the source.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
    run_commands: RunCommandsOption = False,
) -> int:
    """Say what stands in the way of the next promotion to SALTENV, and when it will pass.

    Exit 0 when nothing does, 4 when something does.

    \b
    Example:
      saltbranch why-not prod
    """
    terminal = run_merge.MergeTerminal(config=config, as_json=as_json, run_commands=run_commands)
    work, found = why_not(terminal, saltenv, commit=commit)
    if as_json:
        print_json(found.as_dict())
    elif found.plan.is_empty:
        echo(plan_text.lines(found.plan, work.now)[0])
    else:
        for gate in found.plan.gates:
            echo(plan_text.gate_line(gate, work.now))
        for conflict in found.plan.target.conflicts:
            echo(printable(f"conflict in {conflict.path!r}"))
        if found.passes_at is not None:
            echo(f"all of it {when_passing(found.passes_at, work.now)}")
        elif found.is_possible:
            echo(f"nothing is in the way: saltbranch promote {saltenv}")
        elif found.never:
            echo(f"time alone does not open: {', '.join(gate.name for gate in found.never)}")
        if work.config.saltenv(saltenv).auto_promote and not found.plan.is_conflict:
            echo("auto_promote: it moves by itself as soon as all gates pass")
    return found.exit_code
