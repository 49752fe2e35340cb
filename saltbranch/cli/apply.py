"""``saltbranch apply``."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

import typer

from saltbranch.actions import apply as action
from saltbranch.actions.apply import Applied, ApplyPlanned
from saltbranch.actions.shared.applying import Watching
from saltbranch.apply.going_on import END, Choice, Trouble
from saltbranch.apply.make_plan import ApplyPlan
from saltbranch.apply.options import ASK, STOP, Options
from saltbranch.apply.seams import Batch
from saltbranch.base.errors import UsageError
from saltbranch.cli import run_merge
from saltbranch.cli.options.common import (
    ConfigOption,
    JsonOption,
    PlanOption,
    YesOption,
    print_json,
    print_json_line,
    saltenv_names,
)
from saltbranch.cli.show import apply as show
from saltbranch.cli.terminal import echo
from saltbranch.repository.workplace import Workplace


def register(app: typer.Typer) -> None:
    """Add the verb to `app`."""
    app.command("apply")(_apply)


def _apply(
    saltenv: Annotated[
        str | None,
        typer.Argument(metavar="[SALTENV]", autocompletion=saltenv_names, show_default=False),
    ] = None,
    config: ConfigOption = None,
    canary: Annotated[
        str | None,
        typer.Option(
            metavar="ID|N",
            help="The minion that goes first, or how many do.",
            show_default=False,
        ),
    ] = None,
    batch: Annotated[
        str | None,
        typer.Option(
            metavar="N|N%", help="How many at a time; all at once otherwise.", show_default=False
        ),
    ] = None,
    pause: Annotated[
        str | None,
        typer.Option(
            metavar="TIME|ask",
            help="How long to wait after each batch (2m); ask: until a person says that it goes on.",
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[
        str, typer.Option(metavar="TIME", help="How long a minion may take.")
    ] = "30m",
    max_failures: Annotated[
        str,
        typer.Option(metavar="N|N%", help="How many minions may go wrong before it stops."),
    ] = "0",
    max_failures_per_batch: Annotated[
        str | None,
        typer.Option(metavar="N|N%", help="The same for each batch.", show_default=False),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="changed",
            help="changed: leave out minions for which the test run found nothing.",
            show_default=False,
        ),
    ] = None,
    on_failure: Annotated[
        str,
        typer.Option(
            metavar="stop|rollback|ask",
            help="rollback: serve what was served before the last promotion, and apply that where it was applied;"
            " ask: a person decides, stop where there is none.",
        ),
    ] = STOP,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="ID", help="Go on with an apply that was stopped or killed.", show_default=False
        ),
    ] = None,
    rollback: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Take back an apply that was stopped or killed.",
            show_default=False,
        ),
    ] = None,
    abort: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="End an apply for good; one that runs ends after its batch.",
            show_default=False,
        ),
    ] = None,
    status: Annotated[
        bool, typer.Option("--status", help="Show the last apply of SALTENV, or of each.")
    ] = False,
    plan: PlanOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> int:
    """Apply what SALTENV serves to its minions: first a test run, then state.apply in batches.

    It stops after the batch in which more minions went wrong than --max-failures. While it runs, SALTENV is not
    switched on this master. ^C ends it after the batch under way; a second one at once.

    \b
    Examples:
      saltbranch apply prod --plan
      saltbranch apply prod --canary web1 --batch 10% --pause 2m
      saltbranch apply prod --batch 4 --on-failure ask
      saltbranch apply --resume 20261129T180000Z-0a1b2c3d
    """
    if sum(word is not None for word in (saltenv, resume, rollback, abort)) != 1 and not status:
        raise UsageError(
            "apply wants a SALTENV, --resume ID, --rollback ID, --abort ID or --status"
        )
    terminal = _ApplyTerminal(config=config, as_json=as_json, yes=yes)
    if status:
        return _status(terminal, saltenv)
    if abort is not None:
        return _abort(terminal, abort)
    options = Options(
        canary=canary or "",
        batch=batch or "",
        pause=pause or "",
        timeout=timeout,
        max_failures=max_failures,
        max_failures_per_batch=max_failures_per_batch or "",
        only=only or "",
        on_failure=on_failure,
    )
    if options.pause == ASK and not (yes or _has_person()):
        raise UsageError("--pause ask: there is nobody to ask", hint="name a time, such as 2m")
    with _watching(as_json=as_json) as watching:
        done: Applied | ApplyPlanned
        if resume is not None or rollback is not None:
            back = rollback is not None
            done = action.resume(terminal, resume or rollback or "", watching, back=back)
        else:
            done = action.apply(terminal, saltenv or "", options, watching, plan=plan)
    if isinstance(done, Applied) and not as_json:
        show.end(done.record, done.notes)
    return _Told(done.exit_code)


class _Told(int):
    """An exit code whose reason was told: 130 is an apply that a person ended after a batch."""


def _has_person() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


@dataclass(slots=True)
class _ApplyTerminal(run_merge.Terminal[ApplyPlan]):
    def show(self, work: Workplace, plan: ApplyPlan, *, is_result: bool) -> None:
        if self.as_json:
            print_json_line({"event": "plan", **ApplyPlanned(plan).as_dict()})
        else:
            show.plan(plan)


@contextmanager
def _watching(*, as_json: bool) -> Iterator[Watching]:
    """Show what happens, and let ^C end it after the batch."""
    with show.progress(enabled=not as_json) as tell:
        watching = Watching(tell=print_json_line if as_json else tell)
        if _has_person():
            watching.ask, watching.decide = _ask, _decide
        with _gentle(watching.end):
            yield watching


@contextmanager
def _gentle(end: Callable[[], bool]) -> Iterator[None]:
    """The first ^C calls `end`; the second one is one, as is the first where there is nothing to end."""
    before = signal.getsignal(signal.SIGINT)

    def interrupt(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if not end():
            raise KeyboardInterrupt
        echo("saltbranch: the batch under way ends, then it stops; ^C again leaves now", err=True)

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _asking() -> Iterator[None]:
    """^C ends the question: no batch is under way meanwhile."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _ask(batch: Batch) -> bool:
    try:
        with _asking():
            return typer.confirm(f"batch {batch.number} of {batch.of} is done: go on?", err=True)
    except typer.Abort:
        return False


def _decide(trouble: Trouble) -> Choice:
    """Show the facts, and let a person choose; ^C and the end of the input are `stop`."""
    show.trouble(trouble)
    words = {choice[0]: choice for choice in trouble.choices}
    told = show.question(trouble)
    try:
        with _asking():
            while True:
                word = typer.prompt(told, prompt_suffix=" ", err=True).strip().lower()
                if word and word[0] in words and words[word[0]].startswith(word):
                    return words[word[0]]
    except typer.Abort:
        return END


def _abort(terminal: _ApplyTerminal, name: str) -> int:
    done = action.abort(terminal, name)
    if terminal.as_json:
        print_json(done.as_dict())
    elif done.ends:
        echo(f"apply {name} ends after the batch under way")
    else:
        echo(f"apply {name} is ended; {done.record.saltenv} may be switched again")
    return 0


def _status(terminal: _ApplyTerminal, saltenv: str | None) -> int:
    found = action.status(terminal, saltenv)
    if terminal.as_json:
        print_json(found.as_dict())
    else:
        show.status(found.rows)
    return 0
