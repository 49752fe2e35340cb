"""``saltbranch verify``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from saltbranch.actions import verify as action
from saltbranch.actions.verify import VerifyPlan, VerifyResult
from saltbranch.base.text import many, printable, some
from saltbranch.cli.options.common import (
    ConfigOption,
    JsonOption,
    PlanOption,
    SaltenvArgument,
    config_path,
    print_json,
)
from saltbranch.cli.options.completion import minion_ids
from saltbranch.cli.terminal import echo
from saltbranch.verify.run import Row

_MOST = 20  # lines of one check


def register(app: typer.Typer) -> None:
    """Add the verb to `app`."""
    app.command("verify")(_verify)


def _verify(
    saltenv: SaltenvArgument,
    config: ConfigOption = None,
    minions: Annotated[
        list[str] | None,
        typer.Option(
            "--minions",
            "-m",
            metavar="GLOB",
            help="Only these minions: a glob of ids; may be repeated. The gate verified wants all of them.",
            autocompletion=minion_ids,
            show_default=False,
        ),
    ] = None,
    plan: PlanOption = False,
    as_json: JsonOption = False,
) -> int:
    """Prove that the servers of SALTENV work: run its checks (verify: in the model), and record what came of it.

    It runs on the master, with the model of the production branch, and changes nothing on minions. The journal gets the
    commit that is served, for the gate verified. Exit 1: a check did not pass, or that could not be recorded.

    \b
    Examples:
      saltbranch verify stage
      saltbranch verify prod --minions 'web*'
      saltbranch verify prod --plan          which checks, on whom?
      saltbranch verify prod --json | jq '.results[] | select(.passed | not)'
    """
    talks = not as_json and sys.stderr.isatty()

    def say(text: str) -> None:
        echo(printable(text), err=True)

    done = action.verify(
        config_path(config), saltenv, minions=minions or (), plan=plan, say=say if talks else None
    )
    if as_json:
        print_json(done.as_dict())
    elif isinstance(done, VerifyPlan):
        _show_plan(done)
    else:
        _show(done)
    return done.exit_code


def _show_plan(plan: VerifyPlan) -> None:
    echo(f"verify {plan.saltenv} at {plan.commit[:12]}, on {many(len(plan.minions), 'minion')}:")
    echo(f"  {printable(some(plan.minions, 10))}")
    for minion, why in list(plan.elsewhere.items())[:_MOST]:
        echo(printable(f"  not {minion}: {why}"))
    for check in plan.checks:
        where = {"one": " on one minion", "changed": " on those that were changed"}
        echo(printable(f"  check {check.name}{where.get(check.on, '')}"))
    for note in plan.notes:
        echo(printable(f"  will fail: {note}"))


def _show(done: VerifyResult) -> None:
    plan, found = done.plan, done.found
    part = "" if plan.complete else ", not all it has"
    echo(f"verify {plan.saltenv} at {plan.commit[:12]}: {found.counted}{part}")
    for check in plan.checks:
        rows = [row for row in found.rows if row.check == check.name]
        failed = [row for row in rows if not row.passed]
        if not rows:
            echo(printable(f"  {check.name}: nobody was asked"))
        elif not failed:
            echo(printable(f"  {check.name}: passed{_on(rows)}"))
        else:
            echo(printable(f"  {check.name}: failed{_on(rows, failed)}"))
            _show_failed(failed)
    for minion, why in list(plan.elsewhere.items())[:_MOST]:
        echo(printable(f"  not asked: {minion}: {why}"))
    for note in (done.note, done.problem):
        if note:
            echo(printable(note), err=True)
    echo("passed" if found.passed else "failed")


def _on(rows: list[Row], failed: list[Row] | None = None) -> str:
    if not any(row.minion for row in rows):
        return ""
    return f" on {f'{len(failed)} of ' if failed else ''}{many(len(rows), 'minion')}"


def _show_failed(failed: list[Row]) -> None:
    for row in failed[:_MOST]:
        who = f"{row.minion}: " if row.minion else ""
        tries = f" ({row.tries} tries)" if row.tries > 1 else ""
        echo(printable(f"    {who}{row.reason}{tries}"))
    if len(failed) > _MOST:
        echo(f"    and {len(failed) - _MOST} more")
