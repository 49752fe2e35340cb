"""``saltbranch lab``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from saltbranch.actions import lab
from saltbranch.actions.shared import recording
from saltbranch.actions.shared.lab_plan import LabPlan, Labs
from saltbranch.actions.shared.recording import Recorded
from saltbranch.base.durations import iso, shown_duration
from saltbranch.base.text import printable
from saltbranch.cli import run_merge
from saltbranch.cli.options.common import (
    ConfigOption,
    JsonOption,
    PlanOption,
    YesOption,
    print_json,
)
from saltbranch.cli.options.completion import branches, labs_and_branches, minion_ids
from saltbranch.cli.show import sync
from saltbranch.cli.terminal import echo
from saltbranch.config.labs import name_of
from saltbranch.labs.lab import Claim, Lab
from saltbranch.repository.workplace import Workplace

ForOption = Annotated[
    str | None,
    typer.Option(
        "--for",
        metavar="TIME",
        help="How long, such as 8h or 3d; 30d at most. Three days otherwise.",
        show_default=False,
    ),
]
LentOption = Annotated[
    list[str] | None,
    typer.Option(
        "--minions",
        metavar="ID",
        help="A minion that leaves its saltenv for the lab until then; may be repeated, or ids with commas.",
        autocompletion=minion_ids,
        show_default=False,
    ),
]
HavingArgument = Annotated[
    str,
    typer.Argument(
        metavar="BRANCH|LAB",
        help="The branch, with or without its prefix, or its lab.",
        autocompletion=labs_and_branches,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    group = typer.Typer(
        help="A spare saltenv for a branch that is not merged yet, with minions or for trying.",
        no_args_is_help=True,
    )
    app.add_typer(group, name="lab")
    group.command("claim")(_claim)
    group.command("list")(_list)
    group.command("extend")(_extend)
    group.command("release")(_release)


def _claim(
    branch: Annotated[
        str,
        typer.Argument(
            metavar="BRANCH",
            help="A feature, hotfix or release branch of the remote, with or without its prefix.",
            autocompletion=branches,
        ),
    ],
    config: ConfigOption = None,
    minions: LentOption = None,
    length: ForOption = None,
    number: Annotated[
        str | None,
        typer.Option(
            "--lab",
            metavar="LAB",
            help="This one, such as lab2; the lowest free one otherwise.",
            show_default=False,
        ),
    ] = None,
    plan: PlanOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> int:
    """Give BRANCH a lab: masters serve it there from their next sync on, this one at once.

    Minions that are named get the lab instead of their own saltenv, until it is released, its time is over, or the
    branch is merged or gone. The pillar stays that of their saltenv. Exit 4: no lab is free, and it says who has them.

    \b
    Examples:
      saltbranch lab claim key-123-ntp
      saltbranch lab claim key-123-ntp --minions test1 --for 8h --plan
      saltbranch lab claim hotfix/1.4.1 --minions stage1,stage2 --yes
    """

    def build(work: Workplace) -> LabPlan:
        return lab.plan_claim(
            work,
            branch,
            minions=words(minions),
            seconds=lab.seconds_of(length),
            number=lab.number_of_lab(number, "--lab"),
        )

    return _run(build, config, plan=plan, yes=yes, as_json=as_json)


def _extend(
    having: HavingArgument,
    config: ConfigOption = None,
    length: ForOption = None,
    plan: PlanOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> int:
    """Let a branch keep its lab, for so long from now; 30 days in all.

    \b
    Examples:
      saltbranch lab extend key-123-ntp
      saltbranch lab extend lab2 --for 1d --yes
    """

    def build(work: Workplace) -> LabPlan:
        return lab.plan_extend(work, having, seconds=lab.seconds_of(length))

    return _run(build, config, plan=plan, yes=yes, as_json=as_json)


def _release(
    having: HavingArgument,
    config: ConfigOption = None,
    plan: PlanOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> int:
    """Give a lab back; its minions are in their own saltenv again from the next sync on, here at once.

    \b
    Examples:
      saltbranch lab release key-123-ntp
      saltbranch lab release lab2 --yes
    """

    def build(work: Workplace) -> LabPlan:
        return lab.plan_release(work, having)

    return _run(build, config, plan=plan, yes=yes, as_json=as_json)


def _list(config: ConfigOption = None, as_json: JsonOption = False) -> int:
    """Show the labs: which branch has which, with whose minions, until when, and what is free.

    \b
    Examples:
      saltbranch lab list
      saltbranch lab list --json | jq '.labs[] | select(.state == "free").lab'
    """
    terminal = _LabTerminal(config=config, as_json=as_json)
    work = terminal.open()
    found = lab.listed(work)
    if as_json:
        print_json({**found.as_dict(), "problems": work.problems})
        return 0
    for line in _lines(found, work.now):
        echo(printable(line))
    return 0


def words(values: list[str] | None) -> list[str]:
    """Ids, given one by one or with commas."""
    return [w for value in values or () for w in (one.strip() for one in value.split(",")) if w]


class _LabTerminal(run_merge.Terminal[LabPlan]):
    def show(self, work: Workplace, plan: LabPlan, *, is_result: bool) -> None:
        if not self.as_json:
            for line in _plan_lines(plan, work.now):
                echo(printable(line))
        elif is_result:
            print_json(plan.as_dict())


def _run(
    build: Callable[[Workplace], LabPlan],
    config: str | None,
    *,
    plan: bool,
    yes: bool,
    as_json: bool,
) -> int:
    caller = _LabTerminal(config=config, as_json=as_json, yes=yes)
    done = recording.run(caller, build, plan=plan)
    if isinstance(done, Recorded):
        tell(done, as_json=as_json)
    return done.exit_code


def tell(done: Recorded[LabPlan], *, as_json: bool) -> None:
    """Say what was recorded."""
    if as_json:
        print_json(done.as_dict())
    else:
        _tell(done)
    if done.problem:
        echo(f"saltbranch: {printable(done.problem)}", err=True)


def _plan_lines(plan: LabPlan, now: float) -> list[str]:
    claim = plan.claim
    lines = [f"{plan.verb}: nothing to do" if not plan.events else _headline(plan, now)]
    if plan.events and claim and plan.action == "claim":
        if claim.minions:
            lines.append(f"  minions: {', '.join(claim.minions)}{_of(plan)}")
        if plan.saltenv:
            lines.append(
                f"  pillar: that of {plan.saltenv}, unless the master's lab_pillar says otherwise"
            )
    return [*lines, *(f"  {note}" for note in plan.notes)]


def _of(plan: LabPlan) -> str:
    return f", which leave {plan.saltenv} for it" if plan.saltenv else ""


def _headline(plan: LabPlan, now: float) -> str:
    claim = plan.claim
    if claim is None:
        return plan.verb
    name = name_of(claim.number)
    if plan.action == "release":
        return f"{plan.verb}: {name} is free again"
    return f"{plan.verb}: it has {name} {_until(claim, now)}"


def _until(claim: Claim, now: float) -> str:
    if claim.is_auto:
        return "while it is there"
    return f"until {iso(claim.until)} ({shown_duration(claim.until - now)})"


def _tell(done: Recorded[LabPlan]) -> None:
    plan = done.plan
    if plan.events:
        where = "" if done.serves else "; every master follows at its next sync"
        # Somebody else may have been quicker, so it need not be the lab of the plan.
        got = f"it has {name_of(plan.claim.number)}, " if plan.claim and plan.commands else ""
        echo(printable(f"{plan.verb}: {got}recorded as {plan.events[-1].id}{where}"))
    if plan.commands:
        echo("to try it:" if done.serves else "to try it, after the next sync of the master:")
        for command in plan.commands:
            echo(f"  {printable(command)}")
    if done.followed.sync:
        sync.show(done.followed.sync, quiet=False)


def _lines(found: Labs, now: float) -> list[str]:
    lines = [_line(one, now) for one in found.labs]
    lines += [_line(Lab(c.number, c, refused=found.no_such), now) for c in found.beyond]
    if found.count is None:
        lines.append(
            "how many labs there are no master has told (record_syncs); shown are those that are claimed"
        )
    elif not found.count:
        lines.append("there are no labs (labs: in the file of a master)")
    return lines


def _line(one: Lab, now: float) -> str:
    claim = one.claim
    if claim is None:
        return f"{one.name}  free" + (f" ({one.freed})" if one.freed else "")
    by = "by lab_auto" if claim.is_auto else f"by {claim.who}"
    parts = [f"{one.name}  {claim.branch}", by, _until(claim, now)]
    if one.lent:
        parts.append(f"minions of {one.saltenv}: {', '.join(one.lent)}")
    elif claim.minions:
        parts.append(f"minions: {', '.join(claim.minions)}")
    else:
        parts.append("for trying")
    if one.refused:
        parts.append(f"does not count: {one.refused}")
    return ", ".join(parts)
