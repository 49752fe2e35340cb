"""``saltbranch formula``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from saltbranch.actions import formula
from saltbranch.actions.formula import Changed
from saltbranch.actions.shared.formula_versions import FormulaRow, Outdated
from saltbranch.base.durations import shown_duration
from saltbranch.base.errors import EXIT_PARTIAL, EXIT_PENDING
from saltbranch.base.text import printable, some
from saltbranch.cli.options.common import ConfigOption, JsonOption, print_json
from saltbranch.cli.options.completion import formula_names, formula_tags, points
from saltbranch.cli.run_merge import Terminal
from saltbranch.cli.show.commits import FetchOption, Reader
from saltbranch.cli.show.formulas import lines_of
from saltbranch.cli.terminal import echo
from saltbranch.history.pins import Pinned

NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="Its path, or the last part of it.", autocompletion=formula_names
    ),
]
SomeNameArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME]",
        help="Its path, or the last part of it; all of them otherwise.",
        autocompletion=formula_names,
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verbs to `app`."""
    group = typer.Typer(
        help="State code of other repositories, each pinned by a git submodule.",
        no_args_is_help=True,
    )
    app.add_typer(group, name="formula")
    group.command("add")(_add)
    group.command("update")(_update)
    group.command("list")(_list)
    group.command("outdated")(_outdated)
    group.command("remove")(_remove)


def _add(
    url: Annotated[str, typer.Argument(metavar="URL", help="Of the formula's repository.")],
    path: Annotated[
        str | None,
        typer.Option(
            "--path",
            metavar="PATH",
            help="Where it goes; formulas/NAME otherwise.",
            show_default=False,
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            metavar="TAG",
            help="A tag, a branch or a whole hash; the newest version otherwise.",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Pin another repository by a submodule, and commit that on the topic branch you are on.

    Your own changes stay as they are. A colleague gets it by `git submodule update --init`.

    \b
    Examples:
      saltbranch formula add https://git.example.com/formulas/nginx-formula.git
      saltbranch formula add git@git.example.com:ops/ntp.git --at v1.2
    """
    done = formula.add(_caller(config, as_json=as_json), url, path=path, at=at)
    return _said([done], as_json=as_json)


def _update(
    name: SomeNameArgument = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="TAG",
            help="A tag, a branch or a whole hash, also an earlier one; the newest version otherwise.",
            autocompletion=formula_tags,
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Move pins to the newest version, a commit each whose message lists what came.

    \b
    Examples:
      saltbranch formula update                     all of them
      saltbranch formula update nginx --to v2.8.1
    """
    done = formula.update(_caller(config, as_json=as_json), name, to=to)
    return _said(done, as_json=as_json)


def _remove(name: NameArgument, config: ConfigOption = None, as_json: JsonOption = False) -> int:
    """Take a formula out, and commit that on the topic branch you are on.

    \b
    Example:
      saltbranch formula remove nginx
    """
    return _said([formula.remove(_caller(config, as_json=as_json), name)], as_json=as_json)


def _caller(config: str | None, *, as_json: bool) -> Terminal[None]:
    return Terminal(config=config, as_json=as_json)


def _said(done: Sequence[Changed], *, as_json: bool) -> int:
    if as_json:
        print_json({"version": 1, "formulas": [d.as_dict() for d in done]})
        return 0
    for one in done:
        if one.commit:
            for line in lines_of(one.change):
                echo(line)
            echo(f"{one.branch}: committed as {one.commit[:12]}")
        else:
            pin = one.change.new or one.change.old
            echo(f"{one.change.name} {pin.name if pin else ''}: nothing to change")
        for note in one.notes:
            echo(f"  note: {note}")
    if not done:
        echo("no formulas")
    return 0


def _list(
    refs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[REF]...",
            help="Branches, tags or commits to show, too.",
            autocompletion=points,
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    fetch: FetchOption = True,
) -> int:
    """Show every formula: which version is checked out, how old it is, and which one each saltenv has.

    Pins whose commits are not here yet are fetched.

    \b
    Examples:
      saltbranch formula list
      saltbranch formula list --json | jq '.formulas[] | {formula, saltenvs}'
    """
    work, rows = formula.listed(Reader(config, quiet=as_json), refs or (), fetch=fetch)
    if as_json:
        found = [row.as_dict() for row in rows]
        print_json({"version": 1, "formulas": found, "problems": work.problems})
    else:
        for row in rows:
            _show_row(row, work.now)
        if not rows:
            echo("no formulas")
    return EXIT_PARTIAL if any(row.problem for row in rows) else 0


def _show_row(row: FormulaRow, now: float) -> None:
    echo(f"{row.name}  {row.path}  {printable(row.url)}")
    if row.here:
        echo(f"  here  {_pin(row.here, now)}")
    places = {**row.saltenvs, **row.refs}
    width = max((len(name) for name in places), default=0)
    for name, pin in places.items():
        echo(f"  {name:<{width}}  {_pin(pin, now) if pin else '-'}")
    if row.problem:
        echo(f"  note: {row.problem}")


def _pin(pin: Pinned, now: float) -> str:
    age = f", {shown_duration(max(0, now - pin.time))} old" if pin.time is not None else ""
    lost = ", on no branch of its remote" if pin.on_branch is False else ""
    hash_ = "" if pin.name == pin.commit[:12] else f" ({pin.commit[:12]})"
    return f"{pin.name}{hash_}{age}{lost}"


def _outdated(config: ConfigOption = None, as_json: JsonOption = False) -> int:
    """Show the formulas whose remote has newer version tags; exit 3 if any has, 20 where a remote cannot be read.

    \b
    Examples:
      saltbranch formula outdated
      saltbranch formula outdated --json | jq '.formulas[] | select(.newest)'
    """
    rows = formula.outdated(_caller(config, as_json=as_json))
    if as_json:
        print_json({"version": 1, "formulas": [row.as_dict() for row in rows]})
    else:
        for row in rows:
            _show_outdated(row)
    if any(row.problem for row in rows):
        return EXIT_PARTIAL
    return EXIT_PENDING if any(row.newer for row in rows) else 0


def _show_outdated(row: Outdated) -> None:
    where = f" ({', '.join(row.where)})" if row.where != ("here",) else ""
    if row.problem:
        echo(f"{row.name} {row.pin.name}{where}: {row.problem}")
    elif row.newer:
        rest = f", after {some(row.newer[1:])}" if row.newer[1:] else ""
        echo(f"{row.name} {row.pin.name}{where}: {row.newer[0]} is there{rest}")
    else:
        echo(f"{row.name} {row.pin.name}{where}: nothing newer")
