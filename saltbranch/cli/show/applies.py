"""What `status` tells people of applies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.tree import Tree

from saltbranch.base.text import many, some
from saltbranch.cli.console import shown

_MOST = 5  # minions that are named


def apply_lines(
    node: Tree, *, applied: Mapping[str, Any] | None, apply: Mapping[str, Any] | None, served: str
) -> None:
    """Below `node`, what its minions run, and the apply that is not over. served: the commit that is."""
    if applied:
        _applied(node, applied, served)
    if apply:
        _not_over(node, apply)


def _applied(node: Tree, row: Mapping[str, Any], served: str) -> None:
    text = f"{row['commit'][:12]} applied on {row['applied']} of {many(row['of'], 'minion')} since {row['since']}"
    if row["commit"] != served:
        node.add(f"[yellow]{shown(text)}, not what is served[/]")
    else:
        node.add(shown(text))
    if row["others"]:
        told = [f"{minion}: {what}" for minion, what in row["others"].items()]
        node.add(f"[yellow]{shown(some(told, _MOST))}[/]")


def _not_over(node: Tree, row: Mapping[str, Any]) -> None:
    where = ""
    if row["batches"]:
        step = f", {row['step']}" if row["step"] else ""
        where = f", batch {row['batch']} of {row['batches']}{step}"
    who = f"since {row['since']} by {row['by']}"
    text = f"{row['kind']} {row['id']} of {row['commit'][:12]}: {row['state']}{where}, {who}"
    color = "red" if row["command"] else "cyan"
    line = node.add(f"[{color}]{shown(text)}[/]")
    if row["counts"]:
        line.add(shown(", ".join(f"{number} {state}" for state, number in row["counts"].items())))
    if row["why"]:
        line.add(shown(row["why"]))
    if row["running"] and row["command"]:
        line.add(f"[yellow]may still run on {shown(some(row['running'], _MOST))}[/]")
    if row["command"]:
        line.add(f"{shown(row['command'])} goes on")
