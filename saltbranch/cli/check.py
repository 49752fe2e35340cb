"""``saltbranch check``."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Annotated

import typer

from saltbranch.actions.check import check as check_action
from saltbranch.base.errors import UsageError
from saltbranch.base.text import many
from saltbranch.check.commit import cache_folder
from saltbranch.check.finding import SEVERITIES, Finding
from saltbranch.check.highstates import NO_SALTENVS, Compiling
from saltbranch.check.report import FORMATS
from saltbranch.check.result import LEFT_OUT, CheckResult, RefResult
from saltbranch.cli.console import Terminal, shown
from saltbranch.cli.options.common import ConfigOption, JsonOption, print_json
from saltbranch.cli.options.compiling import CacheOption, JobsOption, MinionsOption
from saltbranch.cli.show import progress
from saltbranch.cli.terminal import block

_STYLES = {"error": "bold red", "warning": "bold yellow", "note": "bold cyan"}


class Level(str, Enum):
    """The severities, as words of the command line."""

    error = "error"
    warning = "warning"
    note = "note"


def register(app: typer.Typer) -> None:
    """Add the verb to `app`."""
    app.command("check")(_check)


def _check(
    refs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[REF]...",
            help="Saltenvs, branches, tags or commits. Otherwise the files of the current clone,"
            " elsewhere all branches of the saltenvs.",
            show_default=False,
        ),
    ] = None,
    config: ConfigOption = None,
    every: Annotated[bool, typer.Option("--all", help="The branches of all saltenvs.")] = False,
    since: Annotated[
        str | None,
        typer.Option(metavar="REF", help="Only what is new against REF.", show_default=False),
    ] = None,
    fail_on: Annotated[
        Level, typer.Option(help="The least severity that makes the exit code 3.")
    ] = Level.warning,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Say nothing unless something counts.")
    ] = False,
    static: Annotated[
        bool, typer.Option("--static", help="Look at the files alone, compile nothing.")
    ] = False,
    style: Annotated[
        bool, typer.Option("--style", help="Also tell what salt-lint finds, matters of form.")
    ] = False,
    minions: MinionsOption = None,
    saltenv: Annotated[
        str | None,
        typer.Option(
            metavar="SALTENV",
            help="Only the minions of this saltenv. Otherwise of the one that REF is; else all.",
            show_default=False,
        ),
    ] = None,
    jobs: JobsOption = None,
    cache: CacheOption = True,
    python: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Compile with the Salt of this Python, too (of a virtualenv with the next release), and"
            " tell what is other with it.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
    sarif: Annotated[bool, typer.Option("--sarif", help="Write SARIF 2.1.0.")] = False,
    junit: Annotated[bool, typer.Option("--junit", help="Write JUnit XML.")] = False,
    github: Annotated[
        bool, typer.Option("--github", help="Write annotations for GitHub Actions.")
    ] = False,
) -> int:
    """Find mistakes, dangers and secrets in states and pillar.

    First by reading, with nothing executed: syntax, top files, includes, requisites, salt:// sources,
    duplicate ids, state functions and arguments, written-out paths and saltenvs, calls at render time,
    plain-text secrets, with --style salt-lint's rules. Then by compiling, in a sandbox: every minion of the fleet,
    and the state tests in tests/*.yaml. A secret's value is never shown. Exit 0: nothing that counts;
    3: findings.

    `.saltbranch-check.yaml` at the root of the repository lets findings pass, with a reason;
    `.secrets.baseline` of detect-secrets is honoured.

    \b
    Examples:
      saltbranch check                     what is in the clone, committed or not
      saltbranch check develop --since master
      saltbranch check --static            files alone, in a second
      saltbranch check --all --junit > report.xml
      saltbranch check v1.4-rc.1 --json | jq '.refs[].findings[].rule'
    """
    chosen = [n for n, on in (("sarif", sarif), ("junit", junit), ("github", github)) if on]
    if len(chosen) + as_json > 1:
        raise UsageError("more than one output format was given", hint="choose one")
    if static and (minions or saltenv or python):
        raise UsageError("--static compiles nothing", hint="leave out one of them")
    form = "json" if as_json else "".join(chosen)
    with progress.shown(enabled=not form and not quiet) as say:

        def step(done: int, total: int) -> None:
            if say:
                say(f"Compiling: {100 * done // max(1, total)}%")

        how = Compiling(minions or (), saltenv, jobs, cache, python=python, progress=step)
        result = check_action(
            config,
            refs or (),
            every_branch=every,
            since=since,
            fail_on=fail_on.value,
            compiling=None if static else how,
            cache=cache_folder(),
            style=style,
        )
    if result.exit_code or not quiet:
        _write(result, form)
    return result.exit_code


def _write(result: CheckResult, form: str) -> None:
    if form == "json":
        print_json(result.as_dict())
    elif form:
        block(FORMATS[form](result))
    else:
        _show(result)


def _show(result: CheckResult) -> None:
    console = Terminal()
    for ref in result.refs:
        if len(result.refs) > 1:
            console.print(f"[bold]{shown(ref.name)}[/]", soft_wrap=True)
        for finding in ref.findings:
            _show_finding(console, finding)
        console.print(_summary(ref), soft_wrap=True)
        for remark in _remarks(ref):
            console.print(f"  {shown(remark)}", soft_wrap=True)


def _show_finding(console: Terminal, finding: Finding) -> None:
    line = f":{finding.line}" if finding.line else ""
    style = _STYLES[finding.severity]
    place = f"{shown(finding.file)}{line}"
    head = (
        f"{place}: [{style}]{finding.severity}[/] [bold]{finding.rule}[/] {shown(finding.message)}"
    )
    console.print(head, soft_wrap=True)
    console.print(f"  [green]->[/] {shown(finding.fix)}", soft_wrap=True)


def _summary(ref: RefResult) -> str:
    severities = [finding.severity for finding in ref.findings]
    parts = [many(severities.count(s), s) for s in SEVERITIES if s in severities]
    nothing = "[green]nothing found[/]"
    if ref.compiled is not LEFT_OUT and not ref.compiled.minions and not ref.tests:
        nothing = "[yellow]nothing compiled[/], and nothing found by reading"
    what = ", ".join(parts) or nothing
    where = f" at {ref.commit[:12]}" if ref.commit else ""
    new = " new" if ref.since else ""
    allowed = f", {ref.allowed} allowed" if ref.allowed else ""
    looked_at = [many(ref.files, "file")]
    if ref.compiled is not LEFT_OUT:
        if ref.compiled.minions:
            looked_at.append(many(ref.compiled.minions, "minion"))
        if ref.tests and ref.compiled.missing != NO_SALTENVS:
            looked_at.append(many(ref.tests, "state test"))
    if ref.stand_ins:
        looked_at.append(f"{many(len(ref.stand_ins), 'stand-in')}")
    return f"{shown(ref.name)}{where}: {what}{new} in {', '.join(looked_at)}{allowed}"


def _remarks(ref: RefResult) -> Iterator[str]:
    """What a reader must know of how far the check went."""
    if ref.compiled is not LEFT_OUT and ref.compiled.missing:
        yield f"not compiled: {ref.compiled.missing}"
    if ref.compiled.other:
        yield f"also compiled with {ref.compiled.other}"
    yield from ref.compiled.warnings
