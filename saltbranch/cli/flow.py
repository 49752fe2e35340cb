"""``saltbranch feature``, ``release``, ``hotfix``, ``backmerge`` and ``flow``: git-flow's verbs."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from saltbranch.actions import backmerge, clonework, feature, flow_init, hotfix, release
from saltbranch.actions.flowverb import Build, FlowVerb
from saltbranch.actions.publish import Published
from saltbranch.actions.request import Request
from saltbranch.base.text import printable
from saltbranch.cli import flow_run
from saltbranch.cli.completion import branches
from saltbranch.cli.flow_options import gated, merging, pushing
from saltbranch.cli.options import (
    ConfigOption,
    JsonOption,
    PlanOption,
    YesOption,
    print_json,
    saltenv_names,
)
from saltbranch.cli.terminal import block, echo
from saltbranch.errors import EXIT_PENDING, UsageError
from saltbranch.repository.workplace import Workplace

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="With or without the prefix.")]
SomeName = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME]",
        help="The branch that is checked out otherwise.",
        autocompletion=branches,
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    groups = {}
    for name, text in (
        ("feature", "Branches of their own from develop, and back by a merge commit."),
        ("release", "Branches cut from develop, to be fixed, to stage and back to develop."),
        ("hotfix", "Cut from what production serves, to production and all below in one push."),
        ("flow", "Settings of git-flow."),
    ):
        groups[name] = typer.Typer(help=text, no_args_is_help=True)
        app.add_typer(groups[name], name=name)
    groups["feature"].command("start")(_feature_start)
    groups["feature"].command("publish")(_feature_publish)
    groups["feature"].command("finish")(_feature_finish)
    groups["feature"].command("list")(_feature_list)
    groups["release"].command("start")(_release_start)
    groups["release"].command("publish")(_release_publish)
    groups["release"].command("finish")(_release_finish)
    groups["hotfix"].command("start")(_hotfix_start)
    groups["hotfix"].command("publish")(_hotfix_publish)
    groups["hotfix"].command("finish")(_hotfix_finish)
    groups["flow"].command("init")(_flow_init)
    app.command("backmerge")(_backmerge)


def _said(started: feature.Started, *, as_json: bool, what: str) -> int:
    if as_json:
        print_json(started.as_dict())
    else:
        echo(f"{started.branch}: {what} at {started.commit[:12]}")
    return 0


def _run(
    options: flow_run.FlowOptions, work: Workplace, build: Build, verb: str, branch: str
) -> int:
    """Run a verb that merges the topic branch `branch`; afterwards tidy that in the clone."""

    def tidy(work: Workplace, done: Published) -> list[str]:
        if done.plan.via_branch:
            return []
        work.refresh()
        return clonework.leave(work, branch, done.new, feature.first_saltenv(work).branch)

    return flow_run.run(options, FlowVerb(work, build, f"{verb} {branch}", after=tidy))


def _topic(
    work: Workplace, prefix: str, name: str | None, verb: str, *, abort: bool = False
) -> str:
    """The branch that is to be finished; what is not committed would be left out. Raises RefusedError."""
    if work.repo.clone is None:
        if not name:
            raise UsageError(f"{verb}: which one?", hint=f"saltbranch {verb} NAME")
        return clonework.topic_name(prefix, name)
    clone = clonework.clone_of(work)
    branch = clonework.chosen(clone, prefix, name, verb)
    if clonework.current_branch(clone) == branch and not abort:
        clonework.refuse_dirty(clone, f"they would not be part of {branch}")
    return branch


# feature


def _feature_start(
    name: NameArgument, config: ConfigOption = None, as_json: JsonOption = False
) -> int:
    """Make feature/NAME from the remote's develop, and check it out.

    \b
    Example:
      saltbranch feature start key-123-ntp
    """
    work = flow_run.workplace(config, quiet=as_json)
    return _said(feature.start(work, name), as_json=as_json, what="made and checked out")


def _feature_publish(
    name: SomeName = None, config: ConfigOption = None, as_json: JsonOption = False
) -> int:
    """Push a feature branch, so that others see it; never over what others pushed to it.

    \b
    Examples:
      saltbranch feature publish               the branch you are on
      saltbranch feature publish key-123-ntp
    """
    work = flow_run.workplace(config, quiet=as_json)
    prefix = work.config.flow.feature
    started = feature.publish_topic(work, prefix, name, "feature publish")
    return _said(started, as_json=as_json, what="on the remote")


@gated
def _feature_finish(
    name: SomeName = None,
    *,
    options: flow_run.FlowOptions,
) -> int:
    """Merge a feature branch into develop, by the gates of its saltenv and a merge commit, and remove it.

    \b
    Examples:
      saltbranch feature finish                the branch you are on
      saltbranch feature finish key-123-ntp --plan
    """
    work = flow_run.opened(options)
    branch = _topic(work, work.config.flow.feature, name, "feature finish", abort=options.abort)

    def build(work: Workplace, resolved: str | None) -> Request:
        return feature.finish_request(work, branch, resolved, overrides=options.overrides)

    return _run(options, work, build, "feature finish", branch)


def _feature_list(config: ConfigOption = None, as_json: JsonOption = False) -> int:
    """Show the feature branches, here and on the remote, and how far they are from develop.

    \b
    Examples:
      saltbranch feature list
      saltbranch feature list --json | jq '.features[].branch'
    """
    rows = feature.listed(flow_run.workplace(config, quiet=True))
    if as_json:
        from dataclasses import asdict

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


# release


def _release_start(
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
    work = flow_run.workplace(config, quiet=as_json)
    found = release.start_plan(work, version, commit)
    if plan:
        _said(found, as_json=as_json, what="would be pushed")
        return EXIT_PENDING
    what = f"release start: push {found.branch} at {found.commit[:12]}"
    flow_run.confirm(f"{what}?", yes=yes, what=what)
    return _said(release.start(work, found), as_json=as_json, what="on the remote")


def _release_publish(
    name: SomeName = None, config: ConfigOption = None, as_json: JsonOption = False
) -> int:
    """Push what was fixed on a release branch.

    \b
    Example:
      saltbranch release publish 1.4
    """
    work = flow_run.workplace(config, quiet=as_json)
    started = feature.publish_topic(work, work.config.flow.release, name, "release publish")
    return _said(started, as_json=as_json, what="on the remote")


@pushing
def _release_finish(
    version: SomeName = None,
    tag: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Tag the result; auto: by the version.", show_default=False
        ),
    ] = None,
    *,
    options: flow_run.FlowOptions,
) -> int:
    """Merge a release branch into stage, by its gates, and back into develop; remove it.

    From stage it goes on by promotion.

    \b
    Examples:
      saltbranch release finish 1.4 --plan
      saltbranch release finish 1.4 --tag auto
    """
    work = flow_run.opened(options)
    branch = _topic(work, work.config.flow.release, version, "release finish", abort=options.abort)

    def build(work: Workplace, resolved: str | None) -> Request:
        return release.finish_request(
            work,
            branch,
            resolved,
            tag=tag,
            overrides=options.overrides,
            via_branch=options.via_branch,
        )

    return _run(options, work, build, "release finish", branch)


# hotfix


def _hotfix_start(
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
    work = flow_run.workplace(config, quiet=as_json)
    started = hotfix.start(work, name, another=another)
    return _said(started, as_json=as_json, what="made and checked out")


def _hotfix_publish(
    name: SomeName = None, config: ConfigOption = None, as_json: JsonOption = False
) -> int:
    """Push a hotfix branch, so that others see it.

    \b
    Example:
      saltbranch hotfix publish 1.3.1
    """
    work = flow_run.workplace(config, quiet=as_json)
    started = feature.publish_topic(work, work.config.flow.hotfix, name, "hotfix publish")
    return _said(started, as_json=as_json, what="on the remote")


@pushing
def _hotfix_finish(
    name: SomeName = None,
    tag: Annotated[
        str,
        typer.Option(metavar="NAME", help="The tag; auto: the branch's name, or the next version."),
    ] = "auto",
    no_tag: Annotated[bool, typer.Option("--no-tag", help="Make no tag.")] = False,
    *,
    options: flow_run.FlowOptions,
) -> int:
    """Merge a hotfix into production with a tag and, in the same push, into stage, develop and open releases.

    Where it conflicts below, that is recorded as a debt, which stops promotions there until it is paid by
    saltbranch backmerge. Where production is held, the hold moves to the hotfix.

    \b
    Examples:
      saltbranch hotfix finish --plan
      saltbranch hotfix finish 1.3.1 --yes
    """
    work = flow_run.opened(options)
    branch = _topic(work, work.config.flow.hotfix, name, "hotfix finish", abort=options.abort)

    def build(work: Workplace, resolved: str | None) -> Request:
        wanted = None if no_tag else tag
        return hotfix.finish_request(
            work,
            branch,
            resolved,
            tag=wanted,
            overrides=options.overrides,
            via_branch=options.via_branch,
        )

    return _run(options, work, build, "hotfix finish", branch)


# backmerge, flow


@merging
def _backmerge(
    saltenv: Annotated[str, typer.Argument(metavar="SALTENV|BRANCH", autocompletion=saltenv_names)],
    *,
    options: flow_run.FlowOptions,
) -> int:
    """Merge into a branch what it lacks of the one after it: pays the debt that a hotfix left.

    \b
    Examples:
      saltbranch backmerge stage --plan
      saltbranch backmerge stage --resolve /tmp/c   then git add, --continue
    """

    def build(work: Workplace, resolved: str | None) -> Request:
        return backmerge.request(work, saltenv, commit=resolved)

    work = flow_run.opened(options)
    return flow_run.run(options, FlowVerb(work, build, backmerge.verb(work, saltenv)))


def _flow_init(
    plan: PlanOption = False, yes: YesOption = False, as_json: JsonOption = False
) -> int:
    """Take over the prefixes that git-flow AVH or git-flow-next were told in this clone.

    They are written as flow: into saltbranch.yaml at the root of the clone.

    \b
    Example:
      saltbranch flow init --plan
    """
    found = flow_init.plan(os.getcwd())
    if as_json:
        print_json(found.as_dict())
    else:
        for note in found.notes:
            echo(note)
        echo(f"{found.path}: {'nothing to change' if not found.text else 'gets'}")
        block(printable_lines(found.text))
    if plan or not found.text:
        return EXIT_PENDING if found.text else 0
    flow_run.confirm(f"Write {found.path}?", yes=yes, what="flow init")
    flow_init.apply(found)
    return 0


def printable_lines(text: str) -> str:
    """`text` cleaned, its line ends kept."""
    return "".join(f"{printable(line)}\n" for line in text.splitlines())
