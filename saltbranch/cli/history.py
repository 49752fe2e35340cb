"""``saltbranch history``."""

from __future__ import annotations

import time
from typing import Annotated, TypeGuard

import typer
from rich.text import Text

from saltbranch.actions import history as action
from saltbranch.actions.history import PROMOTIONS, Entry
from saltbranch.base.durations import parse_since, shown_duration
from saltbranch.base.text import printable
from saltbranch.cli.console import Terminal
from saltbranch.cli.options.common import ConfigOption, JsonOption, print_json, saltenv_names
from saltbranch.cli.show.commits import FetchOption, Reader, local_time

_STYLES = {
    "promotion": "green",
    "release": "green",
    "hotfix": "magenta",
    "hold": "yellow",
    "push": "red",
    "accept": "yellow",
    "lab": "cyan",
    "verify": "cyan",
    "apply": "green",
    "rollback": "red",
    "override": "red",
    "debt": "red",
}


def register(app: typer.Typer) -> None:
    """Add the verb to `app`."""
    app.command("history")(_history)


def _history(
    saltenv: Annotated[
        str | None,
        typer.Argument(
            metavar="[SALTENV]",
            help="Only this saltenv; all of them otherwise.",
            autocompletion=saltenv_names,
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    limit: Annotated[
        int, typer.Option(metavar="N", min=0, help="How many entries; 0 for all.")
    ] = 50,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Not what is older: a length of time (2d) or a date (2026-03-01).",
            show_default=False,
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="The syncs of masters, too, where they are recorded.")
    ] = False,
    fetch: FetchOption = True,
) -> int:
    """List what was done with the saltenvs: promotions, hotfixes, holds, rollbacks, pushes by hand; the newest first.

    It is read from the journal, and from the merge commits where the journal lacks something.

    \b
    Examples:
      saltbranch history
      saltbranch history prod --since 7d
      saltbranch history --all --limit 0
      saltbranch history prod --json | jq '.entries[] | {time, by, tickets}'
    """
    begin = parse_since(since, time.time()) if since else None
    reader = Reader(config, quiet=as_json)
    work, result = action.tell(
        reader, saltenv, limit=limit, since=begin, syncs=everything, fetch=fetch
    )
    if as_json:
        print_json({**result.as_dict(), "problems": work.problems})
        return 0
    console = Terminal()
    for entry in result.entries:
        console.print(_line(entry), soft_wrap=True)
    if not result.entries:
        console.print("nothing yet" if not (saltenv or since) else "nothing that fits")
    if result.more:
        console.print(f"and {result.more} older: --limit 0 shows all", style="dim")
    return 0


def _line(entry: Entry) -> Text:
    """When, what, where, from -> to, tickets, who, why."""
    line = Text(f"{local_time(entry.time)}  ", style="dim")
    line.append(f"{entry.what:<9} ", _STYLES.get(entry.what, ""))
    name = "all saltenvs" if entry.all else printable(entry.saltenv)
    line.append(name or "-", "bold")
    words = [_from_to(entry)]
    words += [f"tag {entry.tag}"] if entry.tag else []
    words += [", ".join(entry.tickets)] if entry.tickets else []
    words += [f"by {entry.who}"] if entry.who else []
    words += [f"until {entry.until}"] if entry.until else []
    words += [entry.outcome] if entry.outcome else []
    words += [f"in {shown_duration(entry.seconds)}"] if _is_length(entry.seconds) else []
    words += [f"({entry.reason})"] if entry.reason else []
    line.append("  ".join(["", *(printable(w) for w in words if w)]), "not bold")
    if entry.what in PROMOTIONS:
        line.append(f"  {printable(entry.id)}", "dim")
    if entry.via != "journal":
        line.append(f"  (known by its {entry.via})", "dim")
    return line


def _is_length(seconds: float | None) -> TypeGuard[float]:
    """Whether it may be shown as one: the clock may have gone back, and anybody may have written it."""
    return seconds is not None and 0 <= seconds < 366 * 86400


def _from_to(entry: Entry) -> str:
    old, new = (c[:12] if c else "" for c in (entry.old, entry.new))
    if entry.all:
        return ""
    if entry.what in ("hold", "rollback"):
        return f"at {new}" + (f" instead of {old}" if old and old != new else "")
    moved = f"{old} -> {new}" if old else new
    if entry.what in PROMOTIONS and entry.source:
        return f"{moved} from {entry.source}"
    return f"{entry.source} {moved}".strip()
