"""``saltbranch fleet``."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from saltbranch.actions import fleet as fleet_action
from saltbranch.cli.console import Terminal, shown
from saltbranch.cli.options.common import ConfigOption, JsonOption, print_json
from saltbranch.cli.options.compiling import MinionsOption

_OLD = 30 * 86400


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    group = typer.Typer(
        name="fleet", help="The minions that diff and check compile for.", no_args_is_help=True
    )
    group.command("list")(_list)
    group.command("record")(_record)
    app.add_typer(group, name="fleet")


def _list(
    config: ConfigOption = None,
    minions: MinionsOption = None,
    saltenv: Annotated[
        str | None, typer.Option(metavar="SALTENV", help="Only this saltenv.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """List the minions of the fleet, with their saltenv and the age of their grains.

    \b
    Examples:
      saltbranch fleet list
      saltbranch fleet list --saltenv prod --json
    """
    result = fleet_action.show(config, wanted=minions or (), saltenv=saltenv)
    if as_json:
        print_json(result.as_dict())
        return 0
    console = Terminal()
    width = max((len(m.id) for m in result.minions), default=0)
    for minion in result.minions:
        age = _age(minion.recorded)
        console.print(f"{shown(minion.id):{width}}  {minion.saltenv:10}  {age}", soft_wrap=True)
    for name in result.unclaimed:
        console.print(f"[yellow]{shown(name)}: not in exactly one saltenv[/]", soft_wrap=True)
    number = len(result.minions)
    console.print(f"{number} minion{'' if number == 1 else 's'} from {shown(result.source)}")
    return 0


def _age(recorded: float | None) -> str:
    if recorded is None:
        return "[dim]age unknown[/]"
    seconds = max(0.0, time.time() - recorded)
    days = int(seconds // 86400)
    text = f"{days} days" if days > 1 else f"{int(seconds // 3600)} hours"
    return f"[yellow]{text}[/]" if seconds > _OLD else text


def _record(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Where the files go.")],
    config: ConfigOption = None,
    minions: MinionsOption = None,
    returns: Annotated[
        bool,
        typer.Option("--returns", help="Also ask the minions for what their highstates call."),
    ] = False,
    acting: Annotated[
        bool,
        typer.Option("--acting", help="With --returns: also functions that act, as cmd.run may."),
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Write what the master remembers of its minions to files, for a laptop or for CI.

    One file for each minion with its grains, less what looks like a secret. `pillar:` and `returns:`
    that were written into a file by hand stay.

    --returns compiles each minion's highstate as it is served now, and asks the minion for exactly those
    functions that were answered neutrally, so that the next compile knows. It has to run on the master.

    \b
    Examples:
      saltbranch fleet record fleet
      saltbranch fleet record fleet --minions 'web*'
      saltbranch fleet record fleet --returns
    """
    result = fleet_action.record(
        config, folder, wanted=minions or (), returns=returns, acting=acting
    )
    if as_json:
        print_json(result.as_dict())
        return 0
    console = Terminal()
    for name in result.written:
        console.print(f"{shown(folder)}/{shown(name)}.yaml", soft_wrap=True)
    for name, calls in result.returns.items():
        console.print(f"{shown(name)} answered {shown(', '.join(calls))}", soft_wrap=True)
    for call, why in result.left.items():
        console.print(f"[yellow]not recorded: {shown(call)}: {shown(why)}[/]", soft_wrap=True)
    answered = len(set(result.returns) - set(result.written))
    written, unchanged = len(result.written) + answered, result.unchanged - answered
    console.print(f"{written} written, {unchanged} as they were")
    return 0
