"""``saltbranch release``."""

from __future__ import annotations

from typing import Annotated

import typer

from saltbranch.actions import release
from saltbranch.base.errors import EXIT_PENDING
from saltbranch.cli import run_merge
from saltbranch.cli.options.common import ConfigOption, JsonOption, PlanOption, YesOption
from saltbranch.cli.options.merging import pushing
from saltbranch.cli.topic import SomeName, TopicTerminal, said


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    group = typer.Typer(
        help="Branches cut from develop, to be fixed, to stage and back to develop.",
        no_args_is_help=True,
    )
    app.add_typer(group, name="release")
    group.command("start")(_start)
    group.command("publish")(_publish)
    group.command("finish")(_finish)


def _start(
    version: Annotated[str, typer.Argument(metavar="VERSION")],
    config: ConfigOption = None,
    commit: Annotated[
        str | None,
        typer.Option(metavar="REF", help="An earlier commit of develop.", show_default=False),
    ] = None,
    plan: PlanOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> int:
    """Cut release/VERSION from develop and push it: hotfixes go into open releases, too.

    \b
    Example:
      saltbranch release start 1.4
    """
    terminal = TopicTerminal(config, as_json, yes)
    started = release.start(terminal, version, commit=commit, plan=plan)
    said(started, as_json=as_json, what="would be pushed" if plan else "on the remote")
    return EXIT_PENDING if plan else 0


def _publish(
    name: SomeName = None, config: ConfigOption = None, as_json: JsonOption = False
) -> int:
    """Push what was fixed on a release branch.

    \b
    Example:
      saltbranch release publish 1.4
    """
    started = release.publish(TopicTerminal(config, as_json), name)
    return said(started, as_json=as_json, what="on the remote")


@pushing
def _finish(
    version: SomeName = None,
    tag: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Tag the result; auto: by the version.", show_default=False
        ),
    ] = None,
    *,
    options: run_merge.FlowOptions,
) -> int:
    """Merge a release branch into stage, by its gates, and back into develop; remove it.

    From stage it goes on by promotion.

    \b
    Examples:
      saltbranch release finish 1.4 --plan
      saltbranch release finish 1.4 --tag auto
    """
    return run_merge.run(options, lambda caller: release.finish(caller, options, version, tag=tag))
