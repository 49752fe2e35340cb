"""How every verb that merges is called from the command line: opened, shown, agreed to, and what it says."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import typer

from saltbranch.actions.shared import caller
from saltbranch.actions.shared.after_push import Notify
from saltbranch.actions.shared.caller import Watcher
from saltbranch.actions.shared.merge_verb import (
    Finished,
    Forgotten,
    MergeOptions,
    Outcome,
    Planned,
    Resolving,
)
from saltbranch.base.errors import RefusedError, UnknownProductionError, UsageError
from saltbranch.base.text import printable
from saltbranch.cli.options.common import config_path, print_json
from saltbranch.cli.show import plan as plan_text
from saltbranch.cli.show import progress, published
from saltbranch.cli.terminal import echo
from saltbranch.config.gates import CommandGate
from saltbranch.git.program import quoted
from saltbranch.promote.plan import Plan
from saltbranch.repository import clone as clones
from saltbranch.repository import clone_or_mirror
from saltbranch.repository.programs import Argv
from saltbranch.repository.workplace import Workplace, open_mirror, open_workplace
from saltbranch.serve import bus_event

P = TypeVar("P")


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowOptions(MergeOptions):
    """What was asked for on the command line."""

    config: str | None = None
    as_json: bool = False
    yes: bool = False
    run_commands: bool = False


@dataclass(slots=True)
class Terminal(caller.Caller[P]):
    """A person who calls a verb, or their script."""

    config: str | None = None
    as_json: bool = False
    yes: bool = False
    run_commands: bool = False

    @property
    def notify(self) -> Notify:
        """Fires the events of a sync on the bus of this machine's master."""
        return bus_event.tell

    @property
    def has_person(self) -> bool:
        """Whether somebody may be asked for a passphrase."""
        return sys.stdin.isatty()

    def open(self, *, fetch: bool = True) -> Workplace:
        """Where the verb works; on a terminal it asks which branch is production. Raises SaltbranchError."""
        return workplace(self.config, quiet=self.as_json, fetch=fetch)

    def open_mirror(self) -> Workplace:
        """What the last sync of this master saw. Raises ConfigError, GitError."""
        return open_mirror(config_path(self.config))

    @contextmanager
    def watching(self) -> Iterator[Watcher]:
        """What git does, and how far the compiler is, on stderr."""
        with progress.shown(enabled=not self.as_json) as say:
            yield Watcher(say, progress.compiling(say))

    def settle(self, work: Workplace, wanted: Callable[[], Sequence[Argv]]) -> None:
        """As in caller.Caller; `wanted` is asked only where the model names any. Raises UsageError."""
        if self.run_commands and work.serves:
            raise UsageError(
                "--run-commands is for a clone",
                hint=f"on a master list what may run under programs: in {work.config_path}",
            )
        config = work.config
        gates = any(isinstance(g, CommandGate) for s in config.saltenvs for g in s.gates)
        if gates or config.hooks.before_promote or config.hooks.after_promote:
            work.programs.run_all = self.run_commands
            work.programs.settle(wanted())

    def waits(self, text: str) -> None:
        """Say it on stderr, beside the bars."""
        if not self.as_json:
            echo(text, err=True)

    def agree(self, verb: str) -> None:
        """Ask, unless --yes was said. Raises RefusedError."""
        confirm(f"{verb}: do it?", yes=self.yes, what=verb)


class MergeTerminal(Terminal[Plan]):
    """The same of a verb that merges."""

    def show(self, work: Workplace, plan: Plan, *, is_result: bool) -> None:
        """Write the plan to stdout."""
        if not self.as_json:
            plan_text.show(plan, work.now)
        elif is_result:
            print_json(plan.as_dict())


def run(options: FlowOptions, verb: Callable[[MergeTerminal], Outcome]) -> int:
    """Run a verb that merges and show what became of it; its exit code. Raises SaltbranchError."""
    terminal = MergeTerminal(
        config=options.config,
        as_json=options.as_json,
        yes=options.yes,
        run_commands=options.run_commands,
    )
    done = verb(terminal)
    _report(options, done)
    return done.exit_code


def _report(options: FlowOptions, done: Outcome) -> None:
    match done:
        case Planned():
            pass  # it was shown
        case Forgotten(gone, removed):
            what = "is removed" if removed else "is something else by now and was left alone"
            echo(printable(f"{gone.verb}: forgotten; {gone.folder} {what}"))
        case Resolving():
            _resolving(options, done)
        case Finished(_, left):
            for note in () if options.as_json else left.notes:
                echo(printable(note))
            published.show_problems(left)
        case _ if options.as_json:
            print_json(done.as_dict())
        case _:
            published.show(done)


def _resolving(options: FlowOptions, opened: Resolving) -> None:
    resolution = opened.resolution
    if options.as_json:
        print_json({"version": 1, "folder": resolution.folder, "conflicts": opened.paths})
        return
    echo(f"the conflict is in {resolution.folder}:")
    for path in opened.paths:
        echo(f"  {printable(path)}")
    echo("edit these files, then:")
    echo(f"  git -C {quoted(resolution.folder)} add -- FILE...")
    echo(f"  saltbranch {resolution.verb} --continue    (or --abort)")


def workplace(config: str | None, *, quiet: bool = False, fetch: bool = True) -> Workplace:
    """Where the verb works, the remote read unless `fetch` is False. Raises SaltbranchError."""
    try:
        return _opened(config, quiet=quiet, fetch=fetch)
    except UnknownProductionError as err:
        clone = clones.find(clone_or_mirror.current_folder())
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
