"""``saltbranch diff``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from saltbranch.actions.diff import diff as diff_action
from saltbranch.base import files
from saltbranch.base.errors import SaltbranchError, UsageError
from saltbranch.cli.options.common import ConfigOption, JsonOption, json_text, saltenv_names
from saltbranch.cli.options.compiling import CacheOption, JobsOption, MinionsOption
from saltbranch.cli.show import diff, progress
from saltbranch.cli.terminal import block, clean
from saltbranch.preview.fleet_diff import FleetDiff

_STYLES = {"head": "bold", "add": "green", "remove": "red", "change": "yellow", "note": "dim",
           "error": "red"}  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the verb to `app`."""
    app.command("diff")(_diff)


def _diff(
    refs: Annotated[
        list[str],
        typer.Argument(
            metavar="A [B]",
            help="Saltenvs, branches, tags or commits, the old one first. One saltenv alone: what"
            " promoting into it would change.",
            autocompletion=saltenv_names,
        ),
    ],
    config: ConfigOption = None,
    minions: MinionsOption = None,
    saltenv: Annotated[
        str | None,
        typer.Option(
            metavar="SALTENV",
            help="Only the minions of this saltenv. Otherwise of the one that A is, or B; else all.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Write Markdown, short enough for a comment.")
    ] = False,
    as_html: Annotated[bool, typer.Option("--html", help="Write one HTML page.")] = False,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write all of it to this file.",
            show_default=False,
        ),
    ] = None,
    jobs: JobsOption = None,
    cache: CacheOption = True,
) -> int:
    """Show what a commit changes for every minion: states, files and pillar, before it is merged.

    Pillar and highstate of every minion of the fleet are compiled on both sides, in a sandbox, and
    compared. Pillar values are never shown. Exit 0: the same; 3: different; 20: some minion could not
    be compiled wholly; 1: none could.

    \b
    Examples:
      saltbranch diff prod                 what would promoting to prod change?
      saltbranch diff prod stage --minions 'web*'
      saltbranch diff v1.4 develop --json | jq '.groups[].minions'
      saltbranch diff prod --markdown -o diff.md
    """
    if sum((as_json, markdown, as_html)) > 1:
        raise UsageError("only one of --json, --markdown and --html can be written")
    quiet = as_json or not sys.stderr.isatty()
    with progress.shown(enabled=not quiet) as say:
        result = diff_action(
            config,
            refs,
            minions=minions or (),
            saltenv=saltenv,
            jobs=jobs,
            cache=cache,
            progress=progress.compiling(say),
        )
    if output:
        _write(output, _text(result, as_json=as_json, markdown=markdown, as_html=as_html))
    if markdown:
        from saltbranch.cli.show import diff_markdown

        block(diff_markdown.markdown(result, whole=output))
    elif not as_json and not as_html:
        _show(result)
    elif not output:
        block(_text(result, as_json=as_json, markdown=False, as_html=as_html))
    return result.exit_code


def _text(result: FleetDiff, *, as_json: bool, markdown: bool, as_html: bool) -> str:
    if as_json:
        return json_text(result.as_dict())
    if markdown:
        from saltbranch.cli.show import diff_markdown

        return diff_markdown.markdown(result, limit=None)
    if as_html:
        from saltbranch.cli.show import diff_html

        return diff_html.page(result)
    return "".join(f"{text}\n" for _, text in diff.report(result))


def _write(path: str, text: str) -> None:
    try:
        files.write_atomic(path, text, mode=0o640)
    except OSError as err:
        raise SaltbranchError(f"cannot write {path}: {err.strerror}") from err


def _show(result: FleetDiff) -> None:
    from rich.text import Text  # half of the time of a --json that finds nothing would be imports

    from saltbranch.cli.console import Terminal

    console = Terminal()
    for style, text in diff.report(result):
        console.print(Text(clean(text), style=_STYLES.get(style, "")), soft_wrap=True)
