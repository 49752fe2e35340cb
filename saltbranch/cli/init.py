"""``saltbranch init``."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from saltbranch import locate
from saltbranch.actions.init import DEFAULT_BRANCHES, Answers, InitResult, check_branches, render
from saltbranch.actions.init import init as init_action
from saltbranch.actions.prepare import remote_heads
from saltbranch.cli import progress, sync_text
from saltbranch.cli.options import ConfigOption, JsonOption, PlanOption, YesOption, print_json
from saltbranch.cli.terminal import block, echo
from saltbranch.errors import EXIT_PENDING, UsageError


def register(app: typer.Typer) -> None:
    """Add the verb to `app`."""
    app.command("init")(_init)


def _init(
    remote: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The control repository.", show_default=False),
    ] = None,
    config: ConfigOption = None,
    root: Annotated[
        str, typer.Option(metavar="FOLDER", help="For mirror and checkouts.")
    ] = "/srv/saltbranch",
    branch: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SALTENV=BRANCH",
            help="A saltenv and its branch, in promotion order. Default: test=develop, stage=stage,"
            " prod=master.",
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
        str, typer.Option(help="Folder of the states in the repository.")
    ] = "salt",
    pillar_dir: Annotated[
        str, typer.Option(help="Folder of the pillar in the repository.")
    ] = "pillar",
    master_config: Annotated[
        str, typer.Option(metavar="FILE", help="The file to write for the salt-master.")
    ] = "/etc/salt/master.d/saltbranch.conf",
    salt_config: Annotated[
        str, typer.Option(metavar="FILE", help="The salt-master's own file, only read.")
    ] = "/etc/salt/master",
    group: Annotated[
        str | None,
        typer.Option(
            help="Group that may read the checkouts. Default: that of the salt-master's user.",
            show_default=False,
        ),
    ] = None,
    in_repository: Annotated[
        bool | None,
        typer.Option(
            "--in-repository/--in-this-file",
            help="Where the saltenvs stand: in the control repository, committed to a branch for review, so that"
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
    plan: PlanOption = False,
    as_json: JsonOption = False,
    yes: YesOption = False,
) -> int:
    """Set everything up: write saltbranch.yaml, fetch, make the checkouts, configure the salt-master.

    Safe to run again: a saltbranch.yaml that is there is kept. Questions are asked on a terminal only.

    \b
    Examples:
      saltbranch init --remote git@git.example.com:ops/salt.git
      saltbranch init --remote URL --branch test=develop --branch stage=stage --branch prod=main \\
                      --minions 'test=*.test.example.com' --minions 'prod=web*' --minions 'prod=db*'
      saltbranch init --remote URL --in-repository   the saltenvs as a commit for review
      saltbranch init --move-root --config /etc/salt/saltbranch.yaml
      saltbranch init --remote URL --plan
    """
    path = os.path.abspath(
        config or os.environ.get(locate.ENVIRONMENT_VARIABLE) or locate.SYSTEM_FILE
    )
    there = os.path.exists(path)
    ask = not yes and not there and sys.stdin.isatty() and sys.stderr.isatty()
    if remote is None and ask:
        remote = typer.prompt("URL of the control repository", err=True)
    answers = None
    if remote is not None:
        branches = _pairs(branch, "--branch") or DEFAULT_BRANCHES
        answers = Answers(
            remote=_absolute(remote),
            root=os.path.abspath(root),
            master_config=os.path.abspath(master_config),
            salt_config=os.path.abspath(salt_config),
            states_dir=states_dir,
            pillar_dir=pillar_dir,
            group=group,
            branches=branches,
            minions=_minions(branches, minions, ask=ask),
        )
    if answers and ask and in_repository is None:
        question = "Keep the saltenvs in the repository, where clones and other masters see them (recommended)?"
        in_repository = typer.confirm(question, default=True, err=True)
    if plan and answers and not there:
        check_branches(answers, remote_heads(answers.remote, 300))
        echo(f"would have written {path}:")
        echo()
        block(render(answers, with_model=not in_repository))
        return EXIT_PENDING
    if (
        ask
        and answers
        and not typer.confirm(f"Write {path} and fetch into {answers.root}?", err=True)
    ):
        return 1
    with progress.shown(enabled=not as_json) as say:
        result = init_action(
            path, answers, in_repository=bool(in_repository), move_root=move_root, say=say
        )
    if as_json:
        print_json(result.as_dict())
    else:
        _show(result)
    return result.exit_code


def _show(result: InitResult) -> None:
    echo(f"{'wrote' if result.wrote_config else 'kept'} {result.config_path}")
    if result.sync:
        sync_text.show(result.sync, quiet=False)
    echo()
    echo("Left to do:")
    for sentence in result.left:
        echo(f"  - {sentence}")


def _absolute(remote: str) -> str:
    """A path on this machine in full; a URL as it is (git-clone(1), GIT URLS)."""
    return os.path.abspath(remote) if os.path.isdir(remote) else remote


def _pairs(words: list[str] | None, option: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in words or []:
        name, equals, value = word.partition("=")
        if not (name and equals and value):
            raise UsageError(f"{option} {word!r} is not SALTENV=...", hint=f"{option} test=develop")
        if name in found:
            raise UsageError(f"{option} names {name!r} twice")
        found[name] = value
    return found


def _minions(
    branches: dict[str, str], words: list[str] | None, *, ask: bool
) -> dict[str, tuple[str, ...]]:
    given: dict[str, list[str]] = {name: [] for name in branches}
    for word in words or []:
        name, equals, glob = word.partition("=")
        if name not in given or not (equals and glob):
            raise UsageError(
                f"--minions {word!r} is not SALTENV=GLOB", hint=f"saltenvs: {', '.join(branches)}"
            )
        given[name].append(glob)
    for name, globs in given.items():
        if not globs:
            text = f"{name}*"
            if ask:
                text = typer.prompt(
                    f"Minions of {name} (ids or globs, with spaces)", text, err=True
                )
            globs.extend(text.split())
    return {name: tuple(globs) for name, globs in given.items()}
