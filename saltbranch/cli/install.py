"""``saltbranch install`` and ``saltbranch uninstall``."""

from __future__ import annotations

import enum
import os
from collections.abc import Sequence
from typing import Annotated

import typer

from saltbranch.actions.install import InstallResult
from saltbranch.actions.install import install as install_action
from saltbranch.actions.install import uninstall as uninstall_action
from saltbranch.actions.install_reactor import install_reactor, uninstall_reactor
from saltbranch.actions.install_webhook import WebhookInstall, install_webhook, uninstall_webhook
from saltbranch.base.errors import ConfigError, UsageError
from saltbranch.cli.options.common import (
    ConfigOption,
    JsonOption,
    PlanOption,
    config_path,
    print_json,
)
from saltbranch.cli.terminal import block, echo
from saltbranch.schedule.files import TimerFile
from saltbranch.schedule.reactor import Reaction
from saltbranch.schedule.texts import EVERY, Kind, parse_interval


class What(enum.Enum):
    """What can be installed: what repeats the sync, what starts it at a push, what minds new minions."""

    CRON = "cron"
    SYSTEMD = "systemd"
    SCHEDULE = "schedule"
    WEBHOOK = "webhook"
    REACTOR = Reaction.REACTOR.value


_TIMER = ("--every", "--nightly", "--python", "--user", "--print", "--directory")
# The options of install that not all kinds take.
_TAKES = {
    What.WEBHOOK: ("--open-hooks", "--show-secret"),
    What.REACTOR: ("--print", "--directory"),
}

KindArgument = Annotated[
    What,
    typer.Argument(
        help="A line in /etc/cron.d, a systemd timer, or the salt-master's own scheduler. webhook: besides one of"
        " these, a sync as soon as the git server says that something was pushed. reactor: let the salt-master bring"
        " new minions to where their ids belong.",
        show_default=False,
    ),
]
DirectoryOption = Annotated[
    str,
    typer.Option(
        "--directory",
        metavar="FOLDER",
        help="Work on the files below this folder and start nothing (for images and packages).",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the two verbs to `app`."""
    app.command("install")(_install)
    app.command("uninstall")(_uninstall)


def _install(
    kind: KindArgument,
    config: ConfigOption = None,
    every: Annotated[
        str | None,
        typer.Option(
            metavar="MINUTES",
            help=f"How often: minutes, or 5m, 2h, 1d. Default: {EVERY}.",
            show_default=False,
        ),
    ] = None,
    night: Annotated[
        bool,
        typer.Option(
            "--nightly",
            help="Not the sync, but a check of all branches, each night. Beside the sync.",
        ),
    ] = False,
    python: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="With --nightly: compile with the Salt of this Python, too.",
            show_default=False,
        ),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(help="Who runs the sync. Default: the owner of the root.", show_default=False),
    ] = None,
    print_only: Annotated[
        bool, typer.Option("--print", help="Only write the files to stdout.")
    ] = False,
    directory: DirectoryOption = "",
    open_hooks: Annotated[
        bool,
        typer.Option(
            "--open-hooks",
            help="With webhook: although anybody will then reach other reactors of this master, too.",
        ),
    ] = False,
    show_secret: Annotated[
        bool,
        typer.Option("--show-secret", help="With webhook: print the secret for the git server."),
    ] = False,
    plan: PlanOption = False,
    as_json: JsonOption = False,
) -> int:
    """Let cron, systemd or the salt-master run the sync from now on, or bring on new minions. Safe to run again.

    A file that saltbranch did not write is never overwritten.

    \b
    Examples:
      saltbranch install systemd
      saltbranch install cron --every 15
      saltbranch install systemd --nightly      also check all branches each night
      saltbranch install cron --print
      saltbranch install schedule --plan
      saltbranch install webhook --show-secret
      saltbranch install reactor                put new minions where they belong
    """
    given = {
        "--every": every is not None,
        "--nightly": night,
        "--python": python,
        "--user": user,
        "--print": print_only,
        "--directory": directory,
        "--open-hooks": open_hooks,
        "--show-secret": show_secret,
    }
    odd = [name for name, value in given.items() if value and name not in _TAKES.get(kind, _TIMER)]
    if odd:
        raise UsageError(f"install {kind.value} does not take {', '.join(odd)}")
    if kind is What.WEBHOOK:
        done = install_webhook(
            config_path(config), open_hooks=open_hooks, show_secret=show_secret, plan=plan
        )
        return _show_webhook(done, as_json=as_json)
    if kind is What.REACTOR:
        found = install_reactor(
            config_path(config), directory=_folder(directory), plan=plan or print_only
        )
        return _shown(found, print_only=print_only, as_json=as_json)
    if night and every is not None:
        raise UsageError("--every is for the sync, and the check comes once a night")
    if python and not night:
        raise UsageError("--python is for the nightly check", hint="add --nightly")
    result = install_action(
        Kind(kind.value),
        config_path(config),
        minutes=EVERY if every is None else parse_interval(every),
        user=user,
        directory=_folder(directory),
        plan=plan or print_only,
        night=night,
        python=python,
    )
    return _shown(result, print_only=print_only, as_json=as_json)


def _shown(result: InstallResult, *, print_only: bool, as_json: bool) -> int:
    if print_only:
        _print(result, as_json=as_json)
        return 0
    return _show(result, as_json=as_json)


def _uninstall(
    kind: KindArgument,
    config: ConfigOption = None,
    directory: DirectoryOption = "",
    plan: PlanOption = False,
    as_json: JsonOption = False,
) -> int:
    """Take away what install wrote, a nightly check too; the checkouts stay as they are.

    \b
    Examples:
      saltbranch uninstall cron
      saltbranch uninstall systemd --plan
      saltbranch uninstall reactor
    """
    if kind is What.WEBHOOK:
        if directory:
            raise UsageError("uninstall webhook does not take --directory")
        return _show_webhook(uninstall_webhook(config_path(config), plan=plan), as_json=as_json)
    try:
        path = config_path(config)
    except ConfigError:
        path = None  # gone already: the files are looked for in their usual places
    if kind is What.REACTOR:
        result = uninstall_reactor(path, directory=_folder(directory), plan=plan)
    else:
        result = uninstall_action(Kind(kind.value), path, directory=_folder(directory), plan=plan)
    return _show(result, as_json=as_json)


def _folder(directory: str) -> str:
    return os.path.abspath(directory).rstrip("/") if directory else ""


def _print(result: InstallResult, *, as_json: bool) -> None:
    """The files alone; one of several is announced by its path, as systemctl cat does it."""
    if as_json:
        print_json(result.as_dict())
        return
    several = len(result.files) > 1
    for number, file in enumerate(result.files):
        if several:
            block(f"{chr(10) if number else ''}# {file.path}\n")
        block(file.text)
    for sentence in result.left:
        echo(f"saltbranch: {sentence}", err=True)


def _show(result: InstallResult, *, as_json: bool) -> int:
    if as_json:
        print_json(result.as_dict())
        return result.exit_code
    for file in result.files:
        echo(_line(file, plan=result.plan))
    for command in result.commands:
        echo(f"would run {command}" if result.plan else f"ran {command}")
    for sentence in result.notes:
        echo(sentence)
    _show_left(result.left)
    return result.exit_code


def _show_webhook(result: WebhookInstall, *, as_json: bool) -> int:
    if as_json:
        print_json(result.as_dict())
        return result.exit_code
    for file in result.files:
        echo(_line(file, plan=result.plan))
    if result.secret:
        echo(f"secret: {result.secret}")
    _show_left(result.left)
    return result.exit_code


def _show_left(left: Sequence[str]) -> None:
    if left:
        echo()
        echo("Left to do:")
        for sentence in left:
            echo(f"  - {sentence}")


def _line(file: TimerFile, *, plan: bool) -> str:
    if not file.changed:
        return f"{file.path}: {file.state}"
    word = {"written": ("write", "wrote"), "removed": ("remove", "removed")}[file.state]
    return f"would {word[0]} {file.path}" if plan else f"{word[1]} {file.path}"
