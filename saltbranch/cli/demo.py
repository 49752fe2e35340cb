"""``saltbranch demo``."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saltbranch.base.errors import UsageError
from saltbranch.cli.console import Terminal, shown

if TYPE_CHECKING:
    from rich.status import Status

    from saltbranch.demo.place import Place
    from saltbranch.demo.steps import Progress


def register(app: typer.Typer) -> None:
    """Add the verb to `app`."""
    app.command("demo")(_demo)


def _demo(
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Leave it running, and say what to try and how to stop it."),
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="A new or empty folder to work in. Default: one among the temporary files.",
            show_default=False,
        ),
    ] = None,
    stop: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Stop a demo that was kept, and remove its folder.",
            show_default=False,
        ),
    ] = None,
) -> int:
    """See it work: a salt-master, three minions, and changes that reach one saltenv after the other.

    First a change on develop, which only test gets. Then a feature on its way
    from develop over stage to production, a hotfix, a rollback, and a lab.

    Needs neither root nor network, writes to one folder only and removes it
    again. What it starts is real: a remote made from the sample repository,
    a salt-master and three minions on loopback. Takes about a minute.
    Ends with 1 when a change is found where it does not belong.

    \b
    Examples:
      saltbranch demo
      saltbranch demo --keep
      saltbranch demo --stop /tmp/saltbranch-demo-abc
    """
    if stop is not None:
        if keep or folder is not None:
            raise UsageError("--stop goes with no other option")
        return _stop(stop)
    from saltbranch.demo.run import demo

    with _shown() as tell:
        result = demo(folder=folder, keep=keep, tell=tell)
    for problem in result.problems:
        sys.stderr.write(f"saltbranch: {problem}\n")
    verdict = "FAILED" if result.problems else "Done"
    rest = "." if result.kept else "; what it made is gone again."
    sys.stdout.write(f"{verdict} in {result.seconds:.0f} s{rest}\n")
    if result.kept:
        _explain_kept(result.place)
    return result.exit_code


@contextmanager
def _shown() -> Iterator[Callable[[Progress], None]]:
    """Give what tells of each step: with a moving line on a terminal, as plain lines elsewhere."""
    if sys.stdout.isatty():
        with Terminal().status("") as status:
            yield lambda progress: _tell_terminal(status, progress)
    else:
        yield _tell_plain


def _tell_plain(progress: Progress) -> None:
    from saltbranch.demo.steps import Begun, Noted

    match progress:
        case Begun(title):
            line = title
        case Noted(text):
            line = f"    {text}"
        case _:
            line = f"    {'ok' if progress.ok else 'FAILED'}, {progress.seconds:.1f} s"
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _tell_terminal(status: Status, progress: Progress) -> None:
    from saltbranch.demo.steps import Begun, Noted

    match progress:
        case Begun(title):
            status.update(shown(title))
            status.console.print(f"[bold]{shown(title)}[/]", soft_wrap=True)
        case Noted(text):
            status.console.print(f"    [dim]{shown(text)}[/]", soft_wrap=True)
        case _:
            mark = "[green]ok[/]" if progress.ok else "[bold red]FAILED[/]"
            status.console.print(f"    {mark}, {progress.seconds:.1f} s")


def _explain_kept(place: Place) -> None:
    from saltbranch.actions.install import own_command

    own, salt = shlex.join(own_command()), shlex.quote(str(place.salt_config))
    config, clone = shlex.quote(str(place.config)), shlex.quote(str(place.clone))
    sys.stdout.write(f"""
It is still running, in {place.folder}. Try:

  {own} status --config {config}
  {own} explain test1 --config {config}
  {_salt_command("salt")} -c {salt} '*' state.apply
  {_salt_command("salt-run")} -c {salt} saltbranch.status

Change something below {place.clone}, then:

  git -C {clone} commit --all --message 'What changed' && git -C {clone} push
  {own} sync --config {config}

Promote it, and see by state.apply whom it reaches now:

  cd {clone} && {own} promote stage --yes && {own} sync --config {config}

Stop it and remove everything:

  {own} demo --stop {shlex.quote(str(place.folder))}
""")


def _salt_command(program: str) -> str:
    """What starts one of Salt's programs: the script beside this Python, or what it would hold."""
    beside = f"{os.path.dirname(sys.executable)}/{program}"
    if os.access(beside, os.X_OK):
        return shlex.quote(beside)
    function = {"salt": "salt_main", "salt-run": "salt_run"}[program]
    return shlex.join([sys.executable, "-c", f"from salt.scripts import {function}; {function}()"])


def _stop(folder: Path) -> int:
    from saltbranch.demo.place import stop

    processes = stop(folder)
    sys.stdout.write(f"ended {processes} processes and removed {folder}\n")
    return 0
