"""``saltbranch feature``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from saltbranch.actions import feature
from saltbranch.base.errors import UsageError
from saltbranch.base.text import printable
from saltbranch.cli import run_merge
from saltbranch.cli.lab import LentOption, tell, words
from saltbranch.cli.options.common import ConfigOption, JsonOption, print_json
from saltbranch.cli.options.merging import gated
from saltbranch.cli.terminal import echo
from saltbranch.cli.topic import NameArgument, SomeName, TopicTerminal, said


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    group = typer.Typer(
        help="Branches of their own from develop, and back by a merge commit.",
        no_args_is_help=True,
    )
    app.add_typer(group, name="feature")
    group.command("start")(_start)
    group.command("publish")(_publish)
    group.command("finish")(_finish)
    group.command("list")(_list)


def _start(
    name: NameArgument,
    config: ConfigOption = None,
    lab: Annotated[
        bool,
        typer.Option("--lab", help="Push it, too, and claim a lab for it: see saltbranch lab."),
    ] = False,
    minions: LentOption = None,
    as_json: JsonOption = False,
) -> int:
    """Make feature/NAME from the remote's develop, and check it out.

    With --lab masters serve it as a saltenv of its own from their next sync on, for three days, and --minions get it
    instead of their own.

    \b
    Examples:
      saltbranch feature start key-123-ntp
      saltbranch feature start key-123-ntp --lab --minions test1
    """
    terminal = TopicTerminal(config, as_json)
    if not lab and minions:
        raise UsageError("--minions goes with --lab", hint="add --lab")
    if not lab:
        return said(feature.start(terminal, name), as_json=as_json, what="made and checked out")
    started, done = feature.start_with_lab(terminal, name, words(minions))
    if as_json:
        print_json({**started.as_dict(), "lab": done.as_dict()})
    else:
        said(started, as_json=False, what="made, checked out and pushed")
        tell(done, as_json=False)
    return done.exit_code


def _publish(
    name: SomeName = None, config: ConfigOption = None, as_json: JsonOption = False
) -> int:
    """Push a feature branch, so that others see it; never over what others pushed to it.

    \b
    Examples:
      saltbranch feature publish               the branch you are on
      saltbranch feature publish key-123-ntp
    """
    started = feature.publish(TopicTerminal(config, as_json), name)
    return said(started, as_json=as_json, what="on the remote")


@gated
def _finish(
    name: SomeName = None,
    *,
    options: run_merge.FlowOptions,
) -> int:
    """Merge a feature branch into develop, by the gates of its saltenv and a merge commit, and remove it.

    \b
    Examples:
      saltbranch feature finish                the branch you are on
      saltbranch feature finish key-123-ntp --plan
    """
    return run_merge.run(options, lambda caller: feature.finish(caller, options, name))


def _list(config: ConfigOption = None, as_json: JsonOption = False) -> int:
    """Show the feature branches, here and on the remote, and how far they are from develop.

    \b
    Examples:
      saltbranch feature list
      saltbranch feature list --json | jq '.features[].branch'
    """
    rows = feature.listed(TopicTerminal(config, as_json=True))
    if as_json:
        print_json({"version": 1, "features": [asdict(r) for r in rows]})
        return 0
    for row in rows:
        where = " and ".join(
            w for w, there in (("here", row.here), ("remote", row.published)) if there
        )
        last = f"  {row.subject} ({row.author})" if row.subject else "  merged"
        echo(printable(f"{row.branch}  {where}, ahead {row.ahead}, behind {row.behind}{last}"))
    if not rows:
        echo("no feature branches")
    return 0
