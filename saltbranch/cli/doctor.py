"""``saltbranch doctor``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.padding import Padding

from saltbranch.actions.doctor import DoctorResult
from saltbranch.actions.doctor import doctor as doctor_action
from saltbranch.base.text import many
from saltbranch.cli.console import Terminal, shown
from saltbranch.cli.options.common import ConfigOption, JsonOption, print_json
from saltbranch.doctor.finding import SEVERITIES, Finding

_STYLES = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}


def register(app: typer.Typer) -> None:
    """Add the verb to `app`."""
    app.command("doctor")(_doctor)


def _doctor(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    minion_config: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Main configuration file of a minion. Otherwise that of this machine's minion.",
            show_default=False,
        ),
    ] = None,
) -> int:
    """Find the settings that break saltenvs, and say how to fix each.

    Looks at the master's configuration, at what is served, at the minions and at the branches' top
    files. Changes nothing. Ends with 1 when there is an error or a warning; notes do not count.

    \b
    Examples:
      saltbranch doctor
      saltbranch doctor --minion-config /etc/salt/minion
      saltbranch doctor --json | jq -r '.findings[].id'
    """
    result = doctor_action(config, minion_config=minion_config)
    if as_json:
        print_json(result.as_dict())
    else:
        _show(result)
    return result.exit_code


def _show(result: DoctorResult) -> None:
    console = Terminal()
    for finding in result.findings:
        show_finding(console, finding)
    if result.model and result.model != result.config:
        console.print(f"the saltenvs come from {shown(result.model)}", soft_wrap=True)
    console.print(_summary(result), soft_wrap=True)


def show_finding(console: Terminal, finding: Finding) -> None:
    """One finding: what, why, and the fix below it."""
    style = _STYLES[finding.severity]
    head = f"[{style}]{finding.severity}[/] [bold]{finding.id}[/] {shown(finding.message)}"
    console.print(head, soft_wrap=not console.is_terminal)
    for text in (shown(finding.why), f"[green]->[/] {shown(finding.fix)}"):
        if console.is_terminal:
            console.print(Padding(text, (0, 0, 0, 2)))
        else:
            console.print(f"  {text}", soft_wrap=True)


def _summary(result: DoctorResult) -> str:
    severities = [finding.severity for finding in result.findings]
    parts = [many(severities.count(s), s) for s in SEVERITIES if s in severities]
    found = ", ".join(parts) or "nothing found"
    return f"[green]healthy[/]: {found}" if result.exit_code == 0 else found
