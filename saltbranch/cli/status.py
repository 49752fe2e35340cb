"""``saltbranch status``."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.tree import Tree

from saltbranch.actions.status import CloneStatus, SaltenvStatus, Status, now, tell
from saltbranch.actions.status import status as status_action
from saltbranch.base import asked_by
from saltbranch.base.durations import ago, from_iso, local_time, shown_duration
from saltbranch.base.errors import UsageError
from saltbranch.base.text import many, printable
from saltbranch.cli.console import Terminal, shown
from saltbranch.cli.options.common import ConfigOption, JsonOption, print_json
from saltbranch.cli.show.applies import apply_lines
from saltbranch.cli.show.commits import FetchOption, Reader
from saltbranch.cli.show.labs import lab_line
from saltbranch.cli.show.sync import unread_lines
from saltbranch.config import drain
from saltbranch.git.program import mask
from saltbranch.promote.waiting import Outlook
from saltbranch.serve import drain_record

_STATES = {
    "in_sync": "[green]in sync[/]",
    "behind": "[yellow]behind[/]",
    "diverged": "[red]the branch was rewritten[/]",
    "missing": "[red]the remote has no such branch or tag[/]",
    "unread": "[red]the remote's branch cannot be read[/]",
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
    masters: Annotated[
        bool,
        typer.Option(
            "--masters", help="What each master serves, by the journal, and which ones lag."
        ),
    ] = False,
    fetch: FetchOption = True,
) -> int:
    """Show what every saltenv serves, what waits for it, and how the last sync went.

    On a master the network is not touched: "behind" is what the last sync saw. In a clone, where nothing is
    served, it shows what the remote and the journal say; with --no-fetch as they were when last read.

    \b
    Examples:
      saltbranch status
      saltbranch status --watch
      saltbranch status --masters
      saltbranch status --json | jq '.saltenvs[] | {saltenv, state}'
    """
    if masters:
        return _masters(config, as_json=as_json, watch=watch, fetch=fetch)
    found = tell(Reader(config, quiet=as_json), config, fetch=fetch)
    if as_json:
        print_json(found.as_dict())
        return 0
    console = Terminal()
    if isinstance(found, CloneStatus) or not watch:
        picture = _clone(found, fetch=fetch) if isinstance(found, CloneStatus) else tree(found)
        if not console.is_terminal:
            console = Terminal(width=10_000)  # a file keeps the lines whole
        console.print(picture, soft_wrap=not console.is_terminal)
        return 0
    with Live(tree(found), console=console, auto_refresh=False) as live:
        while True:
            time.sleep(interval)
            live.update(tree(status_action(found.config)), refresh=True)


def _masters(config: str | None, *, as_json: bool, watch: bool, fetch: bool) -> int:
    if watch:
        raise UsageError(
            "--watch and --masters exclude each other",
            hint="promote --wait-masters 60s waits for the masters",
        )
    # Who only asks for the status does not wait for these.
    from saltbranch.actions import masters as masters_action
    from saltbranch.cli.show import masters as masters_picture

    found = masters_action.tell(Reader(config, quiet=as_json), config, fetch=fetch)
    if as_json:
        print_json(found.as_dict())
        return 0
    console = Terminal()
    if not console.is_terminal:
        console = Terminal(width=10_000)  # a file keeps the lines whole
    console.print(masters_picture.tree(found), soft_wrap=not console.is_terminal)
    return 0


def _clone(status: CloneStatus, *, fetch: bool) -> Tree:
    """The picture of a clone for people."""
    when = "is now" if fetch and not status.foreign else "was last read"
    root = Tree(f"[bold]{shown(mask(status.remote))}[/]  as it {when}")
    if status.foreign:
        root.add(f"[yellow]the remote was not read: {shown(status.foreign)}[/]")
    holds = [r.hold.as_dict() | {"pending": False} for r in status.saltenvs if r.hold]
    _held_all(root, holds)
    for row in status.saltenvs:
        _outlook(root, row)
    _model(root, status.model)
    return root


def _outlook(root: Tree, row: Outlook) -> None:
    why = {"tag": f"tag {row.wanted.tag}", "hold": "held", "nothing": "nothing to serve"}.get(
        row.wanted.why, ""
    )
    node = root.add(f"[bold]{row.saltenv}[/] <- {shown(row.branch)}  {shown(why)}")
    if row.commit:
        node.add(
            f"to serve [cyan]{row.commit.commit[:12]}[/] {shown(row.commit.subject)}"
            f" [dim]({shown(row.commit.author)}, {ago(row.commit.age(now()))} ago)[/]"
        )
    if row.hold:
        texts = {
            "reason": printable(row.hold.reason),
            "by": printable(row.hold.by),
            "pending": False,
        }
        node.add(_hold(row.hold.as_dict() | texts))
    for master in row.served_by:
        text = f"{master.master} serves {master.commit[:12]} since {ago(now() - master.since)}"
        node.add(shown(text))
    if row.waiting:
        node.add(f"{many(row.waiting, 'commit')} of {row.promote_from} not promoted yet")
    if row.lacking:
        node.add(f"[red]{row.promote_from} lacks {many(row.lacking, 'commit')} of it[/]")
    if row.pushed:
        node.add(
            _pushed(row.saltenv, row.pushed.told() + (", refused" if row.pushed.is_refused else ""))
        )
    _proposed(node, row.branch, [p.branch for p in row.proposed])
    if row.trouble:
        node.add(f"[yellow]{shown(row.trouble)}[/]")
    if row.next:
        promotion_lines(node, row.saltenv, [d.as_dict() for d in row.debts], row.next.as_dict())


def tree(status: Status) -> Tree:
    """The picture for people."""
    root = Tree(f"[bold]{shown(status.remote)}[/]  {_last_sync(status)}")
    _held_all(root, [row.hold for row in status.saltenvs if row.hold])
    for saltenv in status.saltenvs:
        _branch(root, saltenv)
    for lab in status.labs:
        lab_line(root, lab)
    _model(root, status.model)
    for problem in status.problems:
        root.add(f"[red]{shown(problem)}[/]")
    for line in unread_lines(status.unread):
        root.add(f"[red]{shown(line)}[/]")
    if status.unreported:
        root.add("[yellow]the journal does not know yet what this master serves[/]")
    for line in status.notifications.told():
        root.add(f"[yellow]{shown(line)}[/]")
    if status.restart_needed:
        root.add(f"[yellow]restart the salt-master:[/] {shown(status.restart_needed)}")
    if status.unclaimed:
        root.add(f"[yellow]no saltenv claims:[/] {shown(_some(status.unclaimed))}")
    if status.claimed_twice:
        root.add(f"[red]two saltenvs claim:[/] {shown(_some(status.claimed_twice))}")
    return root


def _model(root: Tree, model: Mapping[str, Any]) -> None:
    """Which model decided, and what is wrong with it."""
    at = f" at {model['commit'][:12]}" if model["commit"] else ""
    node = root.add(f"[dim]model: {shown(model['place'] + at)}[/]")
    if model["problem"]:
        node.add(f"[red]{shown(model['problem'])}[/]")
    if model["differs"]:
        what = f"the machine's own saltenvs, by which it serves, differ in {', '.join(model['differs'])}"
        node.add(f"[yellow]{shown(what)}[/]")
    if model["ignored"]:
        what = f"without effect there: {', '.join(model['ignored'])} (a machine's file sets these)"
        node.add(f"[yellow]{shown(what)}[/]")


def _last_sync(status: Status) -> str:
    good = status.last_good_sync
    when = f"last good sync {ago(now() - good)} ago" if good else "never synced"
    if not status.failure:
        return when
    # What a saltenv's own line tells is not told here, too.
    below = {row.saltenv for row in status.saltenvs if row.refused is not None and row.problem}
    lines = [line.strip() for line in status.failure.splitlines()]
    named = [line.partition(": ")[0] for line in lines]
    failure = "; ".join(
        f"{name}: refused, see below" if name in below else line
        for name, line in zip(named, lines, strict=True)
    )
    return f"{when}; [red]failed since: {shown(failure)}[/]"


def _branch(root: Tree, row: SaltenvStatus) -> None:
    mark = " protected" if row.protected else ""
    node = root.add(
        f"[bold]{row.saltenv}[/] <- {shown(row.branch)}  {_STATES[row.state]}"
        f"  [dim]{many(row.minions, 'minion')}{mark}[/]"
    )
    if row.served:
        age = ago(row.served.age(now()))
        node.add(
            f"serves [cyan]{row.served.commit[:12]}[/]{_tag(row) if not row.drift else ''}"
            f" {shown(row.served.subject)}"
            f" [dim]({shown(row.served.author)}, {age} ago)[/]"
        )
    served = row.served.commit if row.served else ""
    if row.signed_by:
        node.add(f"signed by {shown(', '.join(row.signed_by))}")
    apply_lines(node, applied=row.applied, apply=row.apply, served=served)
    if row.hold:
        node.add(_hold(row.hold))
    _trouble(node, row)
    if row.remote_ahead and row.why == "branch":
        node.add(f"[yellow]{many(row.remote_ahead, 'commit')} on the remote not served yet[/]")
    elif row.remote_ahead:
        node.add(f"{many(row.remote_ahead, 'commit')} of {shown(row.branch)} beyond it")
    if row.waiting:
        node.add(f"{many(row.waiting, 'commit')} of {row.promote_from} not promoted yet")
    if row.lacking:
        node.add(f"[red]{row.promote_from} lacks {many(row.lacking, 'commit')} of it[/]")
    _proposed(node, row.branch, [str(p["branch"]) for p in row.proposed])
    if row.next is not None:
        promotion_lines(node, row.saltenv, row.debts, row.next)
    if row.auto:
        _auto(node, row.auto, row.next)


_AUTO = {
    "nothing": "[dim]promoted to by itself[/]",
    "elsewhere": "[dim]promoted to by itself, not by this machine (promotes: false)[/]",
    "waiting": "promoted to by itself",
    "failed": "[red]not promoted to by itself[/]",
    "trouble": "[yellow]not promoted to by itself yet[/]",
}


def _auto(node: Tree, auto: Mapping[str, Any], following: Mapping[str, Any] | None) -> None:
    waits = auto["state"] == "waiting"
    at = f" at {local_time(from_iso(auto['passes_at']))}" if auto["passes_at"] and waits else ""
    gates = (
        [f"{g['gate']}: " for g in following["gates"] if g["verdict"] != "pass"]
        if following
        else []
    )
    if auto["passes_at"] and auto["state"] == "trouble":
        at = f" (tried again {local_time(from_iso(auto['passes_at']))})"
    # What a gate waits for stands in its own line, and there as it is now.
    is_told = waits and auto["reason"].startswith(tuple(gates))
    why = f": {printable(auto['reason'])}" if auto["reason"] and not is_told else ""
    node.add(f"{_AUTO[auto['state']]}{shown(at + why)}")


def _trouble(node: Tree, row: SaltenvStatus) -> None:
    """What is wrong with what it serves, or is to serve."""
    if row.problem:
        node.add(f"[red]{shown(row.problem)}[/]")
    elif row.verified and row.verified["told"]:
        node.add(f"[yellow]{shown(str(row.verified['told']))}[/]")
    # Where the push itself is what is refused, the problem has told it.
    if row.pushed and str(row.pushed["told"]) not in (row.problem or ""):
        node.add(_pushed(row.saltenv, str(row.pushed["told"])))
    if row.waits:
        node.add(_waits(row.waits))
    refused = row.refused is not None or (row.verified and row.verified["refused"])
    if row.drift and row.wanted and not refused:
        node.add(f"[yellow]to serve {row.wanted[:12]}{_tag(row)}: saltbranch sync[/]")


def _pushed(saltenv: str, told: str) -> str:
    return f"[yellow]{shown(told)}: saltbranch accept {saltenv} --reason TEXT, or promote to it[/]"


def _proposed(node: Tree, branch: str, waiting: list[str]) -> None:
    for name in waiting:
        node.add(f"[yellow]{shown(name)} waits to be merged into {shown(branch)}[/]")


def promotion_lines(
    node: Tree, saltenv: str, debts: Iterable[Mapping[str, Any]], following: Mapping[str, Any]
) -> None:
    """Debts, and what the next promotion waits for."""
    for debt in debts:
        what = (
            f"debt: lacks {debt['commit'][:12]} of {debt['origin']}: saltbranch backmerge {saltenv}"
        )
        node.add(f"[red]{shown(what)}[/]")
    for path in following["conflicts"]:
        node.add(f"[red]the next promotion conflicts in {shown(repr(path))}[/]")
    if following["nothing_to_promote"]:
        return
    closed = [gate for gate in following["gates"] if gate["verdict"] != "pass"]
    for gate in closed:
        passes = gate["passes_at"]
        ends = f"; passes {local_time(from_iso(passes))}" if passes else ""
        node.add(f"gate {shown(gate['gate'] + ': ' + gate['reason'] + ends)}")
    if (whole := following["passes_at"]) and len(closed) > 1:
        node.add(f"all of it passes {local_time(from_iso(whole))}")
    if following["possible"]:
        node.add(f"[green]can be promoted: saltbranch promote {saltenv}[/]")


def _held_all(root: Tree, holds: Iterable[dict[str, object]]) -> None:
    """That all are held is said once, and not of each."""
    for hold in [hold for hold in holds if hold["all"]][:1]:
        root.add(f"[bold yellow]all saltenvs are held[/][yellow]{shown(_who_and_why(hold))}[/]")


def _hold(hold: dict[str, object]) -> str:
    what = "rolled back to" if hold["kind"] == "rollback" else "held at"
    at = f"{what} {str(hold['commit'])[:12]}"
    return f"[yellow]{shown(at + (', as all are' if hold['all'] else _who_and_why(hold)))}[/]"


def _who_and_why(hold: dict[str, object]) -> str:
    until = f" until {hold['until']}" if hold["until"] else ""
    pending = ", known to this master alone yet" if hold["pending"] else ""
    asked, claimed = (str(hold[key] or "") for key in (asked_by.ASKED_BY, asked_by.CLAIMED_BY))
    by = asked_by.shown(str(hold["by"]), asked, claimed)
    return f"{until}: {printable(str(hold['reason']))} ({printable(by)}{pending})"


def _waits(waits: Mapping[str, Any]) -> str:
    runs = drain_record.told_runs(waits["runs"]) or "state runs that are not known"
    left = waits["until"] - now()
    if left > 0:
        when = f"for {shown_duration(left)} more at most"
    else:
        when = "the next sync " + ("goes on" if waits["then"] == drain.WAIT else "switches")
    return f"[yellow]not switched since {ago(now() - waits['since'])}:[/] {shown(runs)} [dim]({when})[/]"


def _tag(row: SaltenvStatus) -> str:
    return f" (tag {shown(row.tag)})" if row.tag else ""


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(names[:10]) + more
