"""``saltbranch explain``."""

from __future__ import annotations

from typing import Annotated

import typer

from saltbranch.actions.explain import Explanation, Place
from saltbranch.actions.explain import explain as explain_action
from saltbranch.actions.shared.lent_to import LentTo
from saltbranch.base.durations import iso
from saltbranch.cli.console import Terminal, shown
from saltbranch.cli.doctor import show_finding
from saltbranch.cli.options.common import ConfigOption, JsonOption, print_json
from saltbranch.salt_master.top_view import Entry, TopView

_MARKS = {True: "[green]yes[/]", False: "[dim]no [/]", None: "[yellow]?  [/]"}


def register(app: typer.Typer) -> None:
    """Add the verb to `app`."""
    app.command("explain")(_explain)


def _explain(
    minion: Annotated[str, typer.Argument(metavar="MINION", help="The id of the minion.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
    grains: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Take the grains from this YAML file. Otherwise from the master's cache.",
            show_default=False,
        ),
    ] = None,
    minion_config: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="The minion's own main configuration file, if it is at hand.",
            show_default=False,
        ),
    ] = None,
) -> int:
    """Explain which saltenv a minion belongs to and why, and what it gets.

    Says what in the master's or the minion's configuration changes that. Pillar values are never
    shown. Exit 0: explained; 1: no saltenv claims it; 4: two saltenvs do.

    \b
    Examples:
      saltbranch explain web1.example.com
      saltbranch explain web9 --grains web9.yaml   a minion that is not there yet
      saltbranch explain web1 --json | jq .states.sls
    """
    result = explain_action(config, minion, grains=grains, minion_config=minion_config)
    if as_json:
        print_json(result.as_dict())
    else:
        _show(result)
    return result.exit_code


def _show(result: Explanation) -> None:
    console = Terminal()
    lines = [_headline(result)]
    if result.lent:
        lines.append(f"  [yellow]{_lent(result.lent)}[/]")
    if result.accepted is False:
        lines.append("  [yellow]the master has no accepted key with this id[/]")
    if result.place:
        lines += _place(result.place, result.lent)
        lines += [*_view("states", result.states), *_view("pillar", result.pillar)]
        lines.append(f"grains: {shown(result.grains_from or 'none known; see --grains')}")
    _print(console, lines)
    if result.findings:
        _print(console, ["what changes that:"])
    for finding in result.findings:
        show_finding(console, finding)
    lines = [f"[dim]note:[/] {shown(note)}" for note in result.notes]
    if result.snippet:
        lines.append("to pin the minion to its saltenv, in /etc/salt/minion.d/saltenv.conf:")
        lines += [f"  {shown(line)}" for line in result.snippet.splitlines()]
    _print(console, lines)


def _print(console: Terminal, lines: list[str]) -> None:
    for line in lines:
        console.print(line, soft_wrap=True)


def _headline(result: Explanation) -> str:
    name = f"[bold]{shown(result.minion)}[/]"
    who = [f"[bold]{c.saltenv}[/] ({shown(c.matcher)})" for c in result.claims]
    if not who:
        return f"{name}: [red]no saltenv claims it[/] (minions: in {shown(result.model)})"
    if len(who) > 1:
        return f"{name}: [red]{len(who)} saltenvs claim it[/], so it gets nothing: {', '.join(who)}"
    return f"{name} belongs to {who[0]}"


def _lent(lent: LentTo) -> str:
    if lent.is_moving:
        where = f"to {lent.lab}" if lent.lab else "back from a lab"
        return f"it is on its way {where}, and gets nothing for half a minute"
    until = f" until {iso(lent.until)}" if lent.until is not None else ""
    of = f": the states of {shown(lent.branch)}" if lent.branch else ""
    pillar = f", the pillar of {lent.saltenv}" if lent.saltenv else ""
    return f"it is lent to {lent.lab}{until}{of}{pillar}, nothing else"


def _place(place: Place, lent: LentTo | None) -> list[str]:
    commit = "[red]nothing served yet[/]"
    if place.commit:
        commit = f"[cyan]{place.commit[:12]}[/]"
    source = place.saltenv
    if lent and lent.saltenv and source == lent.lab:
        source += f" (that of {lent.saltenv}, unless lab_pillar is branch)"
    if place.described:
        commit += f" {shown(place.described.subject)} [dim]({shown(place.described.author)})[/]"
    return [
        f"branch: {shown(place.branch)}, serving {commit}",
        f"folder: {shown(place.folder)} -> {shown(place.slot or 'nothing')}",
        f"pillar: only from {source}, whether pillarenv is set to that or not at all",
    ]


def _view(name: str, view: TopView | None) -> list[str]:
    if view is None:
        return []
    head = f"[bold]{name}[/] by {shown(view.path)} and the branch's own top file"
    if view.problem:
        return [head, f"  [red]{shown(view.problem)}[/]"]
    if not view.entries:
        return [head, "  [yellow]no entries for this minion[/]"]
    return [head, *map(_entry, view.entries)]


def _entry(entry: Entry) -> str:
    target = f"{shown(entry.target)} [dim]({shown(entry.match)})[/]"
    why = f"  [yellow]{shown(entry.why)}[/]" if entry.why else ""
    return f"  {_MARKS[entry.matches]} {target}: {shown(', '.join(entry.sls))}{why}"
