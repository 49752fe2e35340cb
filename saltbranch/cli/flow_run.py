"""How every verb that merges is run: plan, show, ask, apply, say what became of it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import typer

from saltbranch import notify
from saltbranch.actions import gatekeeping
from saltbranch.actions.flowverb import FlowVerb
from saltbranch.actions.publish import Published, check, check_expected
from saltbranch.actions.request import DiffOptions
from saltbranch.base.text import printable
from saltbranch.cli import plan_text, progress, sync_text
from saltbranch.cli.options import print_json
from saltbranch.cli.terminal import block, echo
from saltbranch.config.gates import CommandGate
from saltbranch.errors import RefusedError, UnknownProductionError, UsageError
from saltbranch.git import quoted
from saltbranch.promote.gates import check_reviewed
from saltbranch.promotion import Plan
from saltbranch.repository import clone as clones
from saltbranch.repository import place as places
from saltbranch.repository.programs import Argv
from saltbranch.repository.workplace import Say, Workplace, open_workplace


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowOptions:
    """What was asked for on the command line."""

    config: str | None = None
    plan: bool = False
    as_json: bool = False
    yes: bool = False
    expect: str | None = None
    resolve: str | None = None
    go_on: bool = False
    abort: bool = False
    diff: bool = True
    reviewed: str | None = None
    run_commands: bool = False
    via_branch: bool = False
    overrides: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if sum((bool(self.resolve), self.go_on, self.abort)) > 1:
            raise UsageError("--resolve, --continue and --abort exclude each other")


def opened(options: FlowOptions) -> Workplace:
    """Where a verb that merges works. Raises SaltbranchError."""
    return workplace(options.config, quiet=options.as_json, fetch=not options.abort)


def workplace(config: str | None, *, quiet: bool = False, fetch: bool = True) -> Workplace:
    """Where the verb works, the remote read unless `fetch` is False. Raises SaltbranchError."""
    try:
        return _opened(config, quiet=quiet, fetch=fetch)
    except UnknownProductionError as err:
        clone = clones.find(places.current_folder())
        if clone is None or not err.candidates or not _is_terminal():
            raise
        echo(f"saltbranch: {err.message}", err=True)
        branch = typer.prompt("Which branch is production?", err=True)
        if branch not in err.candidates:
            raise
        clones.remember(clone, branch)
        return _opened(config, quiet=quiet, fetch=fetch)


def _opened(config: str | None, *, quiet: bool, fetch: bool) -> Workplace:
    with progress.shown(enabled=not quiet) as say:
        work = open_workplace(config, say, fetch=fetch)
    if _is_terminal():
        work.programs.ask = _ask_about
    return work


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _ask_about(programs: Sequence[Argv]) -> bool:
    echo("the model names programs that would run on this machine, as you:", err=True)
    for argv in programs:
        echo(f"  {printable(shlex.join(argv))}", err=True)
    return typer.confirm("Run them, now and whenever it asks for them again?", err=True)


def settle(work: Workplace, wanted: Callable[[], Sequence[Argv]], *, run_commands: bool) -> None:
    """Find out which programs of the model may run; `wanted` is asked only where it names any. Raises UsageError."""
    if run_commands and work.serves:
        raise UsageError(
            "--run-commands is for a clone",
            hint=f"on a master list what may run under programs: in {work.config_path}",
        )
    config = work.config
    gates = any(isinstance(g, CommandGate) for s in config.saltenvs for g in s.gates)
    if gates or config.hooks.before_promote or config.hooks.after_promote:
        work.programs.run_all = run_commands
        work.programs.settle(wanted())


def run(options: FlowOptions, verb: FlowVerb) -> int:
    """Run a verb; its exit code. Raises SaltbranchError."""
    if options.abort:
        gone, removed = verb.abort()
        what = "is removed" if removed else "is something else by now and was left alone"
        echo(printable(f"{gone.verb}: forgotten; {gone.folder} {what}"))
        return 0
    if options.resolve:
        return _resolve(options, verb)
    if options.go_on:
        verb.go_on()
    verb.diff = DiffOptions(
        wanted=options.diff,
        reviewed=check_reviewed(options.reviewed),
        expected=options.expect is not None,
    )
    settle(
        verb.work,
        lambda: gatekeeping.commands(verb.work, verb.request()),
        run_commands=options.run_commands,
    )
    with _shown(options, verb):
        plan = verb.plan()
    if options.plan or plan.is_empty:
        _show(options, verb.work, plan)
        if plan.is_empty:
            return 0 if options.plan else _finish(options, verb, plan)
        check_expected(plan, options.expect)
        return plan.exit_code
    if not options.as_json:
        _show(options, verb.work, plan)
    check(plan, options.expect)
    confirm(f"{plan.verb}: do it?", yes=options.yes, what=plan.verb)
    with _shown(options, verb) as say:
        done = verb.carry_out(
            plan, expect=options.expect, say=say, notify=notify.tell, ask=sys.stdin.isatty()
        )
    if options.as_json:
        print_json(done.as_dict())
    else:
        _tell(done)
    return done.exit_code


@contextmanager
def _shown(options: FlowOptions, verb: FlowVerb) -> Iterator[Say | None]:
    """What git does, and how far the compiler is, on stderr."""
    with progress.shown(enabled=not options.as_json) as say:
        verb.diff = replace(verb.diff, progress=progress.compiling(say))
        yield say


def _finish(options: FlowOptions, verb: FlowVerb, plan: Plan) -> int:
    """Do what a killed run left undone after its push; with nothing of that kind it does nothing."""
    done = verb.finish(plan)
    for note in () if options.as_json else done.notes:
        echo(printable(note))
    _tell_problems(done)
    return done.exit_code


def _resolve(options: FlowOptions, verb: FlowVerb) -> int:
    resolution, paths = verb.resolve(options.resolve or "")
    if options.as_json:
        print_json({"version": 1, "folder": resolution.folder, "conflicts": paths})
        return 0
    echo(f"the conflict is in {resolution.folder}:")
    for path in paths:
        echo(f"  {printable(path)}")
    echo("edit these files, then:")
    echo(f"  git -C {quoted(resolution.folder)} add -- FILE...")
    echo(f"  saltbranch {resolution.verb} --continue    (or --abort)")
    return 0


def _show(options: FlowOptions, work: Workplace, plan: Plan) -> None:
    if options.as_json:
        print_json(plan.as_dict())
    else:
        plan_text.show(plan, work.now)


def confirm(question: str, *, yes: bool, what: str) -> None:
    """Ask on a terminal. Raises RefusedError without one, and when the answer is no."""
    if yes:
        return
    if not _is_terminal():
        raise RefusedError(
            f"{what}: nothing was changed, there is no terminal to ask on",
            hint="look at it with --plan, then say --yes (with --expect DIGEST: only that plan)",
        )
    if not typer.confirm(question, err=True):
        raise RefusedError(f"{what}: nothing was changed, as you said")


def _tell(done: Published) -> None:
    plan = done.plan
    for update in done.moved:
        name = printable(update.ref.removeprefix("refs/heads/"))
        if update.ref == "refs/saltbranch/journal":
            continue
        if update.new is None:
            echo(f"{name}: removed")
        else:
            echo(f"{name}: {update.old[:12] if update.old else 'new'} -> {update.new[:12]}")
    if plan.via_branch:
        echo(
            f"open a pull request from promote/{plan.saltenv}/{done.id} into {plan.target.branch}, and merge it with a"
            " merge commit: a squash would lose what was promoted"
        )
    elif plan.kind in ("promotion", "release", "hotfix"):
        echo(f"{plan.kind if plan.target.moves else 'recorded as'} {done.id}")
    for note in done.notes:
        echo(printable(note))
    for debt in plan.debts:
        where = printable(debt.branch)
        echo(f"debt: {where} lacks it; saltbranch backmerge {where} --resolve DIR")
    if done.sync is not None:
        sync_text.show(done.sync, quiet=False)
    _tell_problems(done)


def _tell_problems(done: Published) -> None:
    for problem in done.problems:
        lines = [printable(line) for line in problem.splitlines()]
        block("saltbranch: " + "\n".join(lines) + "\n", err=True)
