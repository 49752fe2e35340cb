"""``saltbranch approve``."""

from __future__ import annotations

from typing import Annotated

import typer

from saltbranch.actions import approve as action
from saltbranch.actions.approve import ApprovalPlan, Listed
from saltbranch.base.errors import UsageError
from saltbranch.base.text import printable
from saltbranch.cli import run_merge
from saltbranch.cli.options.common import (
    ConfigOption,
    JsonOption,
    PlanOption,
    SaltenvArgument,
    YesOption,
    print_json,
)
from saltbranch.cli.show import plan as plan_text
from saltbranch.cli.terminal import echo
from saltbranch.promote import approvals
from saltbranch.repository.workplace import Workplace


def register(app: typer.Typer) -> None:
    """Add the verb to `app`."""
    app.command("approve")(_approve)


def _approve(
    saltenv: SaltenvArgument,
    config: ConfigOption = None,
    expect: Annotated[
        str | None,
        typer.Option(
            metavar="DIGEST",
            help="The digest of the plan that you looked at.",
            show_default=False,
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="The ssh key to sign with; git's user.signingKey otherwise.",
            show_default=False,
        ),
    ] = None,
    list_: Annotated[
        bool, typer.Option("--list", help="Show the approvals, and whether they count.")
    ] = False,
    revoke: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Take back this approval.", show_default=False),
    ] = None,
    plan: PlanOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> int:
    """Sign the plan of the next promotion to SALTENV, for its gate `approvals`.

    The signature is an entry of the journal. It counts for exactly this plan, until that is promoted or changes.

    \b
    Examples:
      saltbranch approve prod --expect 5f3c2a81b0d94e67
      saltbranch approve prod --list
      saltbranch approve prod --revoke 20261121T044002Z-9294371b
    """
    if sum(x for x in (expect is not None, list_, revoke is not None)) != 1:
        raise UsageError(
            "one of --expect, --list and --revoke is required",
            hint=f"saltbranch promote {saltenv} --plan shows the digest to approve with --expect",
        )
    caller = _Terminal(config=config, as_json=as_json, yes=yes)
    if list_:
        return _show_list(action.listed(caller, saltenv), as_json=as_json)
    if revoke is not None:
        done = action.revoke(caller, saltenv, revoke, plan=plan)
    else:
        done = action.approve(caller, saltenv, expect=expect or "", key=key, plan=plan)
    if done.recorded and as_json:
        print_json(done.plan.as_dict())
    elif done.recorded:
        echo(f"{done.plan.verb}: recorded as {done.plan.event.id}")
    return done.exit_code


class _Terminal(run_merge.Terminal[ApprovalPlan]):
    def show(self, work: Workplace, plan: ApprovalPlan, *, is_result: bool) -> None:
        if self.as_json:
            if is_result:
                print_json(plan.as_dict())
            return
        if plan.plan:
            plan_text.show(plan.plan, work.now)
        if plan.digest:
            echo(f"{printable(plan.verb)}: signs the plan {plan.digest}")
        else:
            echo(printable(plan.verb))
        if plan.note:
            echo(f"  note: {printable(plan.note)}")


def _show_list(found: Listed, *, as_json: bool) -> int:
    if as_json:
        print_json(found.as_dict())
        return 0
    echo(f"the next promotion to {printable(found.saltenv)} is {found.digest[:16] or 'none'}")
    for line in approvals.lines(found.found, found.count):
        echo(f"  {printable(line)}")
    for other in found.others:
        echo(f"  {printable(f'{other.id}  {other.by}  is of another plan, {other.digest[:16]}')}")
    return 0
