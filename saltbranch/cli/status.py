"""``saltbranch status``."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.tree import Tree

from saltbranch.actions.status import SaltenvStatus, Status, ago, now
from saltbranch.actions.status import status as status_action
from saltbranch.cli.options import ConfigOption, JsonOption, config_path, print_json

_STATES = {
    "in_sync": "[green]in sync[/]",
    "behind": "[yellow]behind[/]",
    "diverged": "[red]the branch was rewritten[/]",
    "missing": "[red]the remote has no such branch or tag[/]",
    "absent": "[yellow]nothing served yet[/]",
    "drift": "[red]not at what it is held at[/]",
}


def register(app: typer.Typer) -> None:
    """Add the verb to `app`."""
    app.command("status")(_status)


def _status(
    config: ConfigOption = None,
    as_json: JsonOption = False,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show it anew until you press ^C.")
    ] = False,
    interval: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.2, help="How often with --watch.")
    ] = 2,
) -> int:
    """Show what every saltenv serves, what waits for it, and how the last sync went.

    The network is not touched: "behind" is what the last sync saw.

    \b
    Examples:
      saltbranch status
      saltbranch status --watch
      saltbranch status --json | jq '.saltenvs[] | {saltenv, state}'
    """
    path = config_path(config)
    if as_json:
        print_json(status_action(path).as_dict())
        return 0
    console = Console(highlight=False)
    if not watch:
        if not console.is_terminal:
            console = Console(highlight=False, width=10_000)  # a file keeps the lines whole
        console.print(tree(status_action(path)), soft_wrap=not console.is_terminal)
        return 0
    with Live(tree(status_action(path)), console=console, auto_refresh=False) as live:
        while True:
            time.sleep(interval)
            live.update(tree(status_action(path)), refresh=True)


def tree(status: Status) -> Tree:
    """The picture for people."""
    root = Tree(f"[bold]{escape(status.remote)}[/]  {_last_sync(status)}")
    for saltenv in status.saltenvs:
        _branch(root, saltenv)
    for problem in status.problems:
        root.add(f"[red]{escape(problem)}[/]")
    if status.unreported:
        root.add("[yellow]the journal does not know yet what this master serves[/]")
    if status.restart_needed:
        root.add(f"[yellow]restart the salt-master:[/] {escape(status.restart_needed)}")
    if status.unclaimed:
        root.add(f"[yellow]no saltenv claims:[/] {escape(_some(status.unclaimed))}")
    if status.claimed_twice:
        root.add(f"[red]two saltenvs claim:[/] {escape(_some(status.claimed_twice))}")
    return root


def _last_sync(status: Status) -> str:
    good = status.last_good_sync
    when = f"last good sync {ago(now() - good)} ago" if good else "never synced"
    return f"{when}; [red]failed since: {escape(status.failure)}[/]" if status.failure else when


def _branch(root: Tree, row: SaltenvStatus) -> None:
    mark = " protected" if row.protected else ""
    node = root.add(
        f"[bold]{row.saltenv}[/] <- {escape(row.branch)}  {_STATES[row.state]}"
        f"  [dim]{_many(row.minions, 'minion')}{mark}[/]"
    )
    if row.served:
        age = ago(row.served.age(now()))
        node.add(
            f"serves [cyan]{row.served.commit[:12]}[/]{_tag(row) if not row.drift else ''}"
            f" {escape(row.served.subject)}"
            f" [dim]({escape(row.served.author)}, {age} ago)[/]"
        )
    if row.hold:
        node.add(_hold(row.hold))
    if row.problem:
        node.add(f"[red]{escape(row.problem)}[/]")
    if row.drift and row.wanted:
        node.add(f"[yellow]to serve {row.wanted[:12]}{_tag(row)}: saltbranch sync[/]")
    if row.remote_ahead and row.why == "branch":
        node.add(f"[yellow]{_many(row.remote_ahead, 'commit')} on the remote not served yet[/]")
    elif row.remote_ahead:
        node.add(f"{_many(row.remote_ahead, 'commit')} of {escape(row.branch)} beyond it")
    if row.waiting:
        node.add(f"{_many(row.waiting, 'commit')} of {row.promote_from} not promoted yet")
    if row.lacking:
        node.add(f"[red]{row.promote_from} lacks {_many(row.lacking, 'commit')} of it[/]")


def _hold(hold: dict[str, object]) -> str:
    until = f" until {hold['until']}" if hold["until"] else ""
    pending = ", known to this master alone yet" if hold["pending"] else ""
    what = "rolled back to" if hold["kind"] == "rollback" else "held at"
    text = f"{what} {str(hold['commit'])[:12]}{until}: {hold['reason']} ({hold['by']}{pending})"
    return f"[yellow]{escape(text)}[/]"


def _tag(row: SaltenvStatus) -> str:
    return f" (tag {escape(row.tag)})" if row.tag else ""


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(names[:10]) + more
