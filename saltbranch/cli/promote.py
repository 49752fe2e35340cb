"""``saltbranch promote``."""

from __future__ import annotations

from typing import Annotated

import typer

from saltbranch.actions import promote as action
from saltbranch.actions.flowverb import FlowVerb, is_via_branch, overrides
from saltbranch.actions.request import Request
from saltbranch.cli import flow_run
from saltbranch.cli.completion import points
from saltbranch.cli.flow_options import (
    AbortOption,
    ContinueOption,
    ExpectOption,
    NoDiffOption,
    OverrideOption,
    ReasonOption,
    ResolveOption,
    ReviewedOption,
    RunCommandsOption,
    ViaOption,
)
from saltbranch.cli.options import ConfigOption, JsonOption, PlanOption, YesOption, saltenv_names
from saltbranch.repository.workplace import Workplace


def register(app: typer.Typer) -> None:
    """Add the verb to `app`."""
    app.command("promote")(_promote)


def _promote(
    saltenv: Annotated[str, typer.Argument(metavar="SALTENV", autocompletion=saltenv_names)],
    config: ConfigOption = None,
    commit: Annotated[
        str | None,
        typer.Option(
            metavar="REF",
            help="An earlier commit of the source.",
            autocompletion=points,
            show_default=False,
        ),
    ] = None,
    tag: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Make this annotated tag in the same push; auto: the next version.",
            show_default=False,
        ),
    ] = None,
    plan: PlanOption = False,
    expect: ExpectOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
    via: ViaOption = "push",
    override: OverrideOption = None,
    reason: ReasonOption = None,
    reviewed: ReviewedOption = None,
    no_diff: NoDiffOption = False,
    resolve: ResolveOption = None,
    go_on: ContinueOption = False,
    abort: AbortOption = False,
    run_commands: RunCommandsOption = False,
) -> int:
    """Merge what the saltenv before SALTENV serves into the branch of SALTENV.

    The merge is made without a work tree; nothing that Salt serves is touched. Branch, back-merges, tag and
    journal move by one atomic push, or none of them does. It works in a clone, and on a master.

    \b
    Examples:
      saltbranch promote stage --plan            what would go, and may it?
      saltbranch promote stage                   shows it and asks
      saltbranch promote prod --yes --expect 5f3c2a81b0d94e67
      saltbranch promote prod --reviewed a0a37a46   the diff that `saltbranch diff prod` showed
      saltbranch promote prod --tag auto         with the next version as tag
      saltbranch promote stage --resolve /tmp/c  a conflict: resolve it there, then --continue
    """
    options = flow_run.FlowOptions(
        config,
        plan,
        as_json,
        yes,
        expect,
        resolve,
        go_on,
        abort,
        not no_diff,
        reviewed,
        run_commands,
    )
    given, via_branch = overrides(override or (), reason), is_via_branch(via)

    def build(work: Workplace, resolved: str | None) -> Request:
        source = resolved or commit
        return action.request(
            work, saltenv, commit=source, tag=tag, overrides=given, via_branch=via_branch
        )

    work = flow_run.workplace(config, quiet=as_json, fetch=not abort)
    return flow_run.run(options, FlowVerb(work, build, f"promote {saltenv}"))
