"""``saltbranch hotfix``."""

from __future__ import annotations

from typing import Annotated

import typer

from saltbranch.actions import hotfix
from saltbranch.cli import run_merge
from saltbranch.cli.options.common import ConfigOption, JsonOption
from saltbranch.cli.options.merging import pushing
from saltbranch.cli.topic import NameArgument, SomeName, TopicTerminal, said


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    group = typer.Typer(
        help="Cut from what production serves, to production and all below in one push.",
        no_args_is_help=True,
    )
    app.add_typer(group, name="hotfix")
    group.command("start")(_start)
    group.command("publish")(_publish)
    group.command("finish")(_finish)


def _start(
    name: NameArgument,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    another: Annotated[
        bool, typer.Option("--another", help="Also while another hotfix is open.")
    ] = False,
) -> int:
    """Make hotfix/NAME from the commit that production serves, and check it out.

    A version that is out already is refused, and so is a second open hotfix without --another.

    \b
    Examples:
      saltbranch hotfix start 1.3.1
      saltbranch hotfix start key-130-sshd
    """
    started = hotfix.start(TopicTerminal(config, as_json), name, another=another)
    return said(started, as_json=as_json, what="made and checked out")


def _publish(
    name: SomeName = None, config: ConfigOption = None, as_json: JsonOption = False
) -> int:
    """Push a hotfix branch, so that others see it.

    \b
    Example:
      saltbranch hotfix publish 1.3.1
    """
    started = hotfix.publish(TopicTerminal(config, as_json), name)
    return said(started, as_json=as_json, what="on the remote")


@pushing
def _finish(
    name: SomeName = None,
    tag: Annotated[
        str,
        typer.Option(metavar="NAME", help="The tag; auto: the branch's name, or the next version."),
    ] = "auto",
    no_tag: Annotated[bool, typer.Option("--no-tag", help="Make no tag.")] = False,
    *,
    options: run_merge.FlowOptions,
) -> int:
    """Merge a hotfix into production with a tag and, in the same push, into stage, develop and open releases.

    Where it conflicts below, that is recorded as a debt, which stops promotions there until it is paid by
    saltbranch backmerge. Where production is held, the hold moves to the hotfix.

    \b
    Examples:
      saltbranch hotfix finish --plan
      saltbranch hotfix finish 1.3.1 --yes
    """
    return run_merge.run(
        options, lambda caller: hotfix.finish(caller, options, name, tag=None if no_tag else tag)
    )
