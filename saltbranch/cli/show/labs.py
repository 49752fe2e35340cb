"""A lab in `status`, for people."""

from __future__ import annotations

from rich.tree import Tree

from saltbranch.actions.lab_status import LabStatus
from saltbranch.cli.console import shown
from saltbranch.config.labs import PILLAR_OF_BRANCH


def lab_line(root: Tree, row: LabStatus) -> None:
    """One lab below `root`."""
    if row.claim is None:
        told = "free"
        if row.served or row.lent or row.moving:
            told = f"is given back: {', '.join([*row.lent, *row.moving]) or 'to be emptied'}"
        why = f" ({row.freed})" if row.freed else ""
        root.add(f"[dim]{row.lab} {shown(told + why)}[/]")
        return
    until = f" until {row.claim['until']}" if row.claim["until"] else ""
    who = shown(f"{row.claim['by']}{until}")
    node = root.add(f"[bold]{row.lab}[/] <- {shown(str(row.branch))}  [dim]{who}[/]")
    if row.refused:
        node.add(f"[red]does not count here: {shown(row.refused)}[/]")
        return
    if row.served:
        node.add(f"serves [cyan]{row.served.commit[:12]}[/] {shown(row.served.subject)}")
    branch = row.pillar == PILLAR_OF_BRANCH
    pillar = (
        "[red]the pillar of the branch itself[/]"
        if branch
        else f"the pillar of {shown(str(row.saltenv))}"
    )
    node.add(f"with {pillar}")
    if row.lent:
        node.add(f"lent to it: {shown(', '.join(row.lent))}")
    if row.moving:
        node.add(f"[yellow]being moved, they get nothing: {shown(', '.join(row.moving))}[/]")
    for minion, why in row.pinned.items():
        node.add(f"[red]{shown(f'{minion} is not lent: its own configuration has {why}')}[/]")
    if row.open:
        node.add(f"for who asks: salt ID state.apply saltenv={row.lab} test=True")
    if row.is_behind and not row.moving:
        node.add("[yellow]to be served: saltbranch sync[/]")
