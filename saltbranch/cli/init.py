"""``saltbranch init``."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import typer

from saltbranch.actions.init import Ahead, InitResult, look_ahead
from saltbranch.actions.init import init as init_action
from saltbranch.actions.init_ahead import FirstLook
from saltbranch.actions.init_text import (
    DEFAULT_BRANCHES,
    MASTER_CONFIG,
    ROOT,
    SALT_CONFIG,
    Answers,
    production_branch,
)
from saltbranch.actions.propose import BRANCH
from saltbranch.actions.sync import sync
from saltbranch.base.errors import EXIT_PENDING, RefusedError, UsageError
from saltbranch.cli.options.common import (
    ConfigOption,
    JsonOption,
    PlanOption,
    YesOption,
    print_json,
)
from saltbranch.cli.options.setting_up import GroupOption, RootOption
from saltbranch.cli.show import progress
from saltbranch.cli.show import sync as sync_text
from saltbranch.cli.terminal import block, echo
from saltbranch.config import locate


def register(app: typer.Typer) -> None:
    """Add the verb to `app`."""
    app.command("init")(_init)


def _init(
    remote: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The control repository.", show_default=False),
    ] = None,
    config: ConfigOption = None,
    root: RootOption = None,
    branch: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SALTENV=BRANCH",
            help="A saltenv and its branch, in promotion order. Default: test=develop, stage=stage, prod=master."
            " Names of these change or, with no BRANCH, leave out one of them; with any other name those that are"
            " given are all.",
            show_default=False,
        ),
    ] = None,
    minions: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SALTENV=GLOB",
            help="Minions of a saltenv, by id; may be repeated. Default: the saltenv's name and '*'.",
            show_default=False,
        ),
    ] = None,
    states_dir: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder of the states in the repository. Default: salt.",
            show_default=False,
        ),
    ] = None,
    pillar_dir: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder of the pillar in the repository. Default: pillar.",
            show_default=False,
        ),
    ] = None,
    master_config: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help=f"The file to write for the salt-master. Default: {MASTER_CONFIG}.",
            show_default=False,
        ),
    ] = None,
    salt_config: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help=f"The salt-master's own file, only read. Default: {SALT_CONFIG}.",
            show_default=False,
        ),
    ] = None,
    group: GroupOption = None,
    in_repository: Annotated[
        bool | None,
        typer.Option(
            "--in-repository/--in-this-file",
            help="Where the saltenvs are kept: in the control repository, committed to a branch for review, so that"
            " clones and other masters go by them (recommended); or in the file of this machine, for one person.",
            show_default=False,
        ),
    ] = None,
    move_root: Annotated[
        bool,
        typer.Option(
            "--move-root",
            help="Take over a root that belongs to another configuration file: it was moved or restored.",
        ),
    ] = False,
    replace_roots: Annotated[
        bool,
        typer.Option(
            "--replace-roots",
            help="On a master with its own file_roots or pillar_roots: allow those that are named to end.",
        ),
    ] = False,
    plan: PlanOption = False,
    as_json: JsonOption = False,
    yes: YesOption = False,
) -> int:
    """Set everything up: write saltbranch.yaml, fetch, make the checkouts, configure the salt-master.

    Safe to run again: a saltbranch.yaml that is there is kept, and so is a model in the repository; a flag that says
    something else is refused. Questions are asked on a terminal only. Where the salt-master serves folders of its
    own that would end, they are named, with the accepted minions that no saltenv claims, and nothing is written
    without --replace-roots.

    \b
    Examples:
      saltbranch init --remote git@git.example.com:ops/salt.git
      saltbranch init --remote URL --branch prod=main --minions 'prod=web*'
      saltbranch init --remote URL --in-repository   the saltenvs, for review
      saltbranch init --remote URL --plan            what is written, what ends?
      saltbranch init --remote URL --replace-roots   former roots may end
      saltbranch init --move-root --config /etc/salt/saltbranch.yaml
    """
    path = locate.new_file(config, os.environ)
    there = os.path.exists(path)
    ask = not yes and not there and sys.stdin.isatty() and sys.stderr.isatty()
    if remote is None and ask:
        remote = typer.prompt("URL of the control repository", err=True)
    flags = {
        "--remote": None if remote is None else absolute(remote),
        "--root": full(root),
        "--master-config": full(master_config),
        "--salt-config": full(salt_config),
        "--states-dir": states_dir,
        "--pillar-dir": pillar_dir,
        "--group": group,
        "--branch": pairs(branch),
        "--minions": globs(minions),
    }
    given = {flag: value for flag, value in flags.items() if value}
    with progress.shown(enabled=not as_json) as say, FirstLook(say) as first:
        answers = None
        if remote is not None and not there:
            answers = _answers(given)
            if ask and not first.has_model(answers.remote, production_branch(answers)):
                answers, in_repository = _asked(answers, given, in_repository)
        if plan:
            ahead = look_ahead(path, answers, given, first, in_repository=in_repository)
            return _plan(ahead, path, replace_roots=replace_roots, as_json=as_json)
        if ask and answers:
            typer.confirm(f"Write {path} and fetch into {answers.root}?", err=True, abort=True)
        result = init_action(
            path,
            answers,
            given=given,
            in_repository=in_repository,
            move_root=move_root,
            replace_roots=replace_roots,
            first=first,
            say=say,
        )
    if as_json:
        print_json(result.as_dict())
    else:
        _show(result)
    return result.exit_code


def _answers(given: Mapping[str, Any]) -> Answers:
    """What was said on the command line, and the defaults for the rest. Raises UsageError."""
    branches = _branches(given.get("--branch", {}))
    minions: dict[str, tuple[str, ...]] = given.get("--minions", {})
    for name in minions:
        if name not in branches:
            raise UsageError(
                f"--minions {name}=...: there is no such saltenv",
                hint=f"saltenvs: {', '.join(branches)}; more with --branch",
            )
    return Answers(
        remote=given["--remote"],
        root=given.get("--root", ROOT),
        master_config=given.get("--master-config", MASTER_CONFIG),
        salt_config=given.get("--salt-config", SALT_CONFIG),
        states_dir=given.get("--states-dir", "salt"),
        pillar_dir=given.get("--pillar-dir", "pillar"),
        group=given.get("--group"),
        branches=branches,
        minions={name: minions.get(name, (f"{name}*",)) for name in branches},
    )


def _branches(given: Mapping[str, str]) -> dict[str, str]:
    """saltenv to branch: the defaults with what was given, or, with a name of one's own, what was given alone."""
    wanted = {**DEFAULT_BRANCHES, **given} if given.keys() <= DEFAULT_BRANCHES.keys() else given
    found = {name: branch for name, branch in wanted.items() if branch}
    if not found:
        raise UsageError("--branch leaves no saltenv", hint="--branch test=develop")
    return found


def _asked(
    answers: Answers, given: Mapping[str, Any], in_repository: bool | None
) -> tuple[Answers, bool]:
    """The same with what somebody at the terminal says."""
    minions = dict(answers.minions)
    for name in answers.branches:
        if name not in given.get("--minions", {}):
            question = f"Minions of {name} (ids or globs, with spaces)"
            minions[name] = tuple(typer.prompt(question, f"{name}*", err=True).split())
    if in_repository is None:
        question = "Keep the saltenvs in the repository, where clones and other masters see them (recommended)?"
        in_repository = typer.confirm(question, default=True, err=True)
    return replace(answers, minions=minions), in_repository


def _plan(ahead: Ahead, path: str, *, replace_roots: bool, as_json: bool) -> int:
    """Show what init would do; its exit code: 4 where it would be refused. Raises what the sync's plan raises."""
    refused = ahead.replacing.ends_anything and not replace_roots
    result = sync(path, plan=True) if ahead.text is None else None
    if as_json:
        print_json(ahead.as_dict() | {"sync": result.as_dict() if result else None})
    else:
        if ahead.text is None:
            echo(f"would keep {path}")
        else:
            echo(f"would have written {path}:")
            echo()
            block(ahead.text)
        if ahead.proposes:
            echo()
            echo(f"would push this saltbranch.yaml for review, as the branch {BRANCH}:")
            echo()
            block(ahead.proposes)
        if ahead.replacing.lines():
            echo()
            echo("What the salt-master has now:")
            for line in ahead.replacing.lines():
                echo(f"  - {line}")
        if refused:
            echo("saltbranch: refused without --replace-roots, since something would end", err=True)
        if result:
            sync_text.show(result, quiet=False)
    if refused:
        return RefusedError.exit_code
    return result.exit_code if result else EXIT_PENDING


def _show(result: InitResult) -> None:
    echo(f"{'wrote' if result.wrote_config else 'kept'} {result.config_path}")
    if result.sync:
        sync_text.show(result.sync, quiet=False)
    if result.replacing.lines():
        echo()
        echo("What the salt-master had:")
        for line in result.replacing.lines():
            echo(f"  - {line}")
    echo()
    echo("Left to do:")
    for sentence in result.left:
        echo(f"  - {sentence}")


def absolute(remote: str) -> str:
    """A path on this machine in full; a URL as it is (git-clone(1), GIT URLS)."""
    return os.path.abspath(remote) if os.path.isdir(remote) else remote


def full(path: str | None) -> str | None:
    """The path as it is from everywhere."""
    return None if path is None else os.path.abspath(path)


def pairs(words: list[str] | None) -> dict[str, str]:
    """SALTENV=BRANCH, where nothing stands for a default that is left out. Raises UsageError."""
    found: dict[str, str] = {}
    for word in words or []:
        name, equals, value = word.partition("=")
        if not (name and equals) or not (value or name in DEFAULT_BRANCHES):
            raise UsageError(
                f"--branch {word!r} is not SALTENV=BRANCH", hint="--branch test=develop"
            )
        if name in found:
            raise UsageError(f"--branch names {name!r} twice")
        found[name] = value
    return found


def globs(words: list[str] | None) -> dict[str, tuple[str, ...]]:
    """SALTENV=GLOB, as often as wanted. Raises UsageError."""
    found: dict[str, tuple[str, ...]] = {}
    for word in words or []:
        name, equals, glob = word.partition("=")
        if not (name and equals and glob):
            raise UsageError(
                f"--minions {word!r} is not SALTENV=GLOB", hint="--minions 'prod=web*'"
            )
        found[name] = (*found.get(name, ()), glob)
    return found
