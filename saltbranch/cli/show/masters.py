"""``saltbranch status --masters``, for people."""

from __future__ import annotations

from rich.tree import Tree

from saltbranch.actions.masters import Masters
from saltbranch.base.durations import ago
from saltbranch.base.text import many
from saltbranch.cli.console import shown
from saltbranch.repository.masters import Master, ServedThere

_MOST = 100  # masters


def tree(found: Masters) -> Tree:
    """The picture of it: those that lag first."""
    root = Tree(
        f"[bold]{shown(found.remote)}[/]  {many(len(found.masters) + found.more, 'master')}"
    )
    order = {"behind": 0, "in_step": 1, "silent": 2}
    rows = sorted(found.masters, key=lambda m: order[m.state])
    for master in rows[:_MOST]:
        _master(root, master, found.now)
    more = len(rows) - _MOST + found.more
    if more > 0:
        root.add(f"and {more} more (--json lists up to 500)")
    if found.masters:
        root.add(
            "[dim]a master records each switch, and nothing while it has nothing new to serve[/]"
        )
    for note in found.notes:
        root.add(f"[yellow]{shown(note)}[/]")
    for problem in found.problems:
        root.add(f"[red]{shown(problem)}[/]")
    return root


def _master(root: Tree, master: Master, now: float) -> None:
    last = f"last recorded {ago(now - master.recorded)} ago"
    if master.clock_ahead:
        last = "last recorded at a time that is still to come"
    here = ", this master" if master.is_here else ""
    states = {
        "in_step": "[green]serves what it is to serve[/]",
        "behind": "[yellow]lags[/]",
        "silent": "[red]nothing heard of it for a week: not waited for[/]",
    }
    node = root.add(
        f"[bold]{shown(master.name)}[/]  {states[master.state]}  [dim]({last}{here})[/]"
    )
    for row in master.saltenvs:
        node.add(_saltenv(row, now))
    if not master.saltenvs:
        node.add("[dim]no saltenv of the model[/]")


def _saltenv(row: ServedThere, now: float) -> str:
    serves = f"{row.saltenv} serves [cyan]{row.commit[:12]}[/] since {ago(now - row.since)}"
    if row.state == "in_step":
        return serves
    if row.state == "unknown":
        if row.wanted is None:
            return f"{serves}, [yellow]and what it is to serve is not known here[/]"
        return f"{serves}, [yellow]a commit that is not known here[/]"
    lag = [f"lacks {many(row.lacks, 'commit')}"] if row.lacks else []
    lag += (
        [f"has {many(row.beyond, 'commit')} that {row.saltenv} is not to serve"]
        if row.beyond
        else []
    )
    since = f", for {ago(now - row.behind_since)}" if row.behind_since is not None else ""
    return f"{serves}: [yellow]{' and '.join(lag)}{since}[/] [dim](to serve {(row.wanted or '')[:12]})[/]"
