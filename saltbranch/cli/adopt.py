"""``saltbranch adopt``."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from saltbranch.actions.adopt import AdoptResult, Request, adopt, move
from saltbranch.actions.adopt_model import Given
from saltbranch.actions.adopt_switch import MoveResult
from saltbranch.actions.init_text import SALT_CONFIG
from saltbranch.base.errors import UsageError
from saltbranch.base.text import many
from saltbranch.cli.init import absolute, full, globs, pairs
from saltbranch.cli.options.common import (
    ConfigOption,
    JsonOption,
    PlanOption,
    YesOption,
    print_json,
)
from saltbranch.cli.options.setting_up import GroupOption, RootOption
from saltbranch.cli.show import progress
from saltbranch.cli.terminal import block, echo
from saltbranch.config import locate
from saltbranch.git.program import mask

_MOST = 20
"""Differences of a kind that are shown; --json has all."""


def register(app: typer.Typer) -> None:
    """Add the verb to `app`."""
    app.command("adopt")(_adopt)


def _adopt(
    config: ConfigOption = None,
    salt_config: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help=f"The salt-master's own file. Default: {SALT_CONFIG}.",
            show_default=False,
        ),
    ] = None,
    remote: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="The control repository. Default: the one that states and pillar come from now.",
            show_default=False,
        ),
    ] = None,
    root: RootOption = None,
    branch: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SALTENV=BRANCH",
            help="A saltenv and its branch, where that cannot be found out or is to be another one.",
            show_default=False,
        ),
    ] = None,
    minions: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SALTENV=GLOB",
            help="Minions of a saltenv, by id; may be repeated. Default: proposed from the top files.",
            show_default=False,
        ),
    ] = None,
    states_dir: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER", help="Folder of the states in the repository.", show_default=False
        ),
    ] = None,
    pillar_dir: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER", help="Folder of the pillar in the repository.", show_default=False
        ),
    ] = None,
    group: GroupOption = None,
    leave_out: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SALTENV",
            help="A saltenv that may end, or a glob of them: branches and tags that gitfs serves and nobody uses.",
            show_default=False,
        ),
    ] = None,
    switch: Annotated[
        bool, typer.Option("--switch", help="Move the master over to what was proven.")
    ] = False,
    back: Annotated[
        bool, typer.Option("--back", help="Make the master's files what they were before --switch.")
    ] = False,
    accept: Annotated[
        str | None,
        typer.Option(
            metavar="DIGEST",
            help="With --switch: the differences of the proof with this digest are meant.",
            show_default=False,
        ),
    ] = None,
    plan: PlanOption = False,
    as_json: JsonOption = False,
    yes: YesOption = False,
) -> int:
    """Move a salt-master over from gitfs, git_pillar or plain folders, with a proof that it serves the same.

    Reads the master's options and caches, writes saltbranch.yaml, makes mirror and checkouts beside what runs, and
    compares: for each saltenv all files by their hashes; for each accepted minion with cached grains the top match,
    pillar and low chunks. Nothing that the master reads is changed before --switch. Pillar values are never shown.
    Exit 0: the same; 3: differences, or a plan; 20: some minion could not be compared whole; 4: refused, since part
    of what is served cannot be expressed.

    \b
    Examples:
      saltbranch adopt --plan                  what would saltbranch.yaml say?
      saltbranch adopt                         set up beside, and prove it
      saltbranch adopt --minions 'prod=web*' --leave-out 'feature*'
      saltbranch adopt --switch                only what was proven
      saltbranch adopt --back                  byte for byte as before
    """
    path = locate.new_file(config, os.environ)
    _check(switch=switch, back=back, plan=plan, accept=accept)
    asks = not yes and not as_json and sys.stdin.isatty() and sys.stderr.isatty()
    given = Given(
        remote=None if remote is None else absolute(remote),
        branches=pairs(branch),
        minions=globs(minions),
        states_dir=states_dir,
        pillar_dir=pillar_dir,
        leave_out=tuple(leave_out or ()),
    )
    request = Request(path, full(salt_config), full(root), group, given)
    if switch or back:
        result = move(request, back=back, accept=accept, agree=_agree if asks else None)
        if as_json:
            print_json(result.as_dict())
        else:
            _show_move(result)
        return 0
    with progress.shown(enabled=not as_json and not asks) as say:
        proven = adopt(request, plan=plan, ask=_ask if asks else None, say=say)
    if as_json:
        print_json(proven.as_dict())
    else:
        _show(proven)
    return proven.exit_code


def _check(*, switch: bool, back: bool, plan: bool, accept: str | None) -> None:
    if switch + back + plan > 1:
        raise UsageError("only one of --plan, --switch and --back can be done")
    if accept and not switch:
        raise UsageError("--accept goes with --switch")


def _ask(saltenv: str, proposed: tuple[str, ...]) -> tuple[str, ...]:
    question = f"Minions of {saltenv} (ids or globs, with spaces)"
    return tuple(typer.prompt(question, " ".join(proposed), err=True).split())


def _agree(what: str) -> None:
    typer.confirm(f"{what}?", err=True, abort=True)


def _show_move(result: MoveResult) -> None:
    for path in result.changed:
        echo(f"{'restored' if result.action == 'back' else 'wrote'} {path}")
    for path, place in result.edited.items():
        echo(f"{path} was changed since the switch; that text is kept in {place}")
    _left(result.left)


def _show(result: AdoptResult) -> None:
    if result.text is not None:
        verb = "would have written" if result.proof is None else "wrote"
        echo(f"{verb} {result.config_path}:")
        echo()
        block(mask(result.text))
    else:
        echo(f"kept {result.config_path}")
    for minion, why in result.undecided.items():
        echo(f"no saltenv has {minion}: {why}; --minions SALTENV={minion} gives it one")
    for note in result.notes:
        echo(f"note: {note}")
    if result.proof is None:
        echo("Only a plan. Set it up beside what runs, and prove it: saltbranch adopt")
        return
    _show_proof(result)


def _show_proof(result: AdoptResult) -> None:
    proof = result.proof
    assert proof is not None
    echo()
    echo(
        f"compared {many(proof.files, 'file')}, {many(proof.minions, 'minion')} with"
        f" {many(proof.pillar_keys, 'pillar key')} and {many(proof.chunks, 'low chunk')}"
    )
    for kind in dict.fromkeys(d.kind for d in proof.differences):
        own = [d for d in proof.differences if d.kind == kind]
        for difference in own[:_MOST]:
            cause = difference.cause or "the cause is not known"
            echo(f"  {kind} {difference.where}: {difference.what} ({cause})")
        if len(own) > _MOST:
            echo(f"  {kind}: {len(own) - _MOST} more; --json has all")
    for name, why in proof.unproven.items():
        echo(f"  not compared whole: {name}: {why}")
    unexplained = sum(not d.cause for d in proof.differences)
    echo(f"{many(len(proof.differences), 'difference')}, {unexplained} without a known cause")
    if result.switched:
        echo("The master was moved over; this compares it with what it was.")
        return
    _left(_next(result))


def _next(result: AdoptResult) -> tuple[str, ...]:
    files = f"which changes {', '.join(result.edits) or 'no other file'}, and writes an option file"
    if result.exit_code == 0:
        return (f"Move the master over: saltbranch adopt --switch, {files}",)
    return (
        "Fix the causes in the repository or in saltbranch.yaml, then: saltbranch adopt",
        f"Or if they are meant: saltbranch adopt --switch --accept {result.digest}, {files}",
    )


def _left(sentences: tuple[str, ...]) -> None:
    echo()
    echo("Left to do:")
    for sentence in sentences:
        echo(f"  - {sentence}")
