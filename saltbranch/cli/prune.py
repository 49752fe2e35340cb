"""``saltbranch prune``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from saltbranch.actions.prune import PrunePlan, apply_prune, plan_prune
from saltbranch.base.errors import RefusedError
from saltbranch.cli.options.common import (
    ConfigOption,
    JsonOption,
    PlanOption,
    YesOption,
    config_path,
    print_json,
)
from saltbranch.cli.show import progress
from saltbranch.cli.terminal import echo


def register(app: typer.Typer) -> None:
    """Add the verb to `app`."""
    app.command("prune")(_prune)


def _prune(
    config: ConfigOption = None,
    plan: PlanOption = False,
    as_json: JsonOption = False,
    yes: YesOption = False,
    force: Annotated[
        bool, typer.Option("--force", help="Go on although there is doubt that this is meant.")
    ] = False,
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="Wait for another saltbranch to finish.")
    ] = 0,
) -> int:
    """Remove what was made for branches and saltenvs that the configuration no longer names.

    Also mirrors of formulas that nothing serves and no branch pins, mirrors that were put aside as
    damaged, and what git remembers of slots that are gone.
    What saltbranch did not make is shown and left alone. The network is not touched.

    \b
    Examples:
      saltbranch prune --plan    what would go?
      saltbranch prune           shows it and asks
      saltbranch prune --yes     in a script
    """
    path = config_path(config)
    with progress.shown(enabled=not as_json) as say:
        found = plan_prune(path, wait=wait, waiting=say)
    if plan or not found.items:
        _show(found, as_json=as_json)
        return found.exit_code
    if not as_json:
        _show(found, as_json=False)
    found.check(force=force)
    if not yes and not _confirmed(found):
        return 1
    with progress.shown(enabled=not as_json) as say:
        result = apply_prune(path, found, force=force, wait=wait, waiting=say)
    if as_json:
        print_json(result.as_dict())
    else:
        echo(f"removed {_many(found)}")
    return 0


def _confirmed(found: PrunePlan) -> bool:
    """Ask; without a terminal there is nobody to ask. Raises RefusedError."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise RefusedError(
            f"nothing was removed: {_many(found)} would go, and there is no terminal to ask on",
            hint="look at saltbranch prune --plan, then: saltbranch prune --yes",
        )
    return typer.confirm(f"Remove {_many(found)}?", err=True)


def _many(found: PrunePlan) -> str:
    number = len(found.items)
    return "1 thing" if number == 1 else f"these {number} things"


def _show(found: PrunePlan, *, as_json: bool) -> None:
    if as_json:
        print_json(found.as_dict())
        return
    if not found.items:
        echo(f"{found.root}: nothing to remove")
    for item in found.items:
        _line(item.kind, f"{item.path}  ({item.why})")
    for doubt in found.doubts:
        _line("doubt", doubt)
    for path in found.foreign:
        _line("not ours", f"{path}  (left alone)")


def _line(word: str, text: str) -> None:
    # Names on a disk can hold anything, also what would steer the terminal.
    echo(f"{word:<9} {''.join(c if c.isprintable() else '?' for c in text)}")
