"""Options of the verbs that merge, each meaning the same everywhere."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

import typer

from saltbranch.actions.shared.merge_verb import is_via_branch, overrides
from saltbranch.cli.options.common import ConfigOption, JsonOption, PlanOption, YesOption
from saltbranch.cli.run_merge import FlowOptions

ExpectOption = Annotated[
    str | None,
    typer.Option(
        "--expect",
        metavar="DIGEST",
        help="Do it only if the plan has this digest, the one that was looked at.",
        show_default=False,
    ),
]
ResolveOption = Annotated[
    str | None,
    typer.Option(
        "--resolve",
        metavar="DIR",
        help="Open a worktree at DIR with the conflict in it, to resolve it there.",
        show_default=False,
    ),
]
ContinueOption = Annotated[
    bool, typer.Option("--continue", help="Go on with the conflict that was resolved.")
]
AbortOption = Annotated[
    bool, typer.Option("--abort", help="Forget the conflict and remove its worktree.")
]
OverrideOption = Annotated[
    list[str] | None,
    typer.Option(
        "--override",
        metavar="GATE",
        help="Pass over a gate, where the configuration allows it; it is recorded.",
        show_default=False,
    ),
]
ReasonOption = Annotated[
    str | None,
    typer.Option("--reason", metavar="TEXT", help="Why; it is recorded.", show_default=False),
]
RunCommandsOption = Annotated[
    bool,
    typer.Option(
        "--run-commands",
        help="Run the programs that the model names, its gates and hooks, without asking. In a clone only: on a"
        " master, programs: in its own file lists what may run.",
    ),
]
NoDiffOption = Annotated[
    bool,
    typer.Option("--no-diff", help="Compile nothing: leave out what changes for the minions."),
]
ReviewedOption = Annotated[
    str | None,
    typer.Option(
        "--reviewed",
        metavar="DIGEST",
        help="Do it only if the diff has this digest, the one that was reviewed, or begins so.",
        show_default=False,
    ),
]
ViaOption = Annotated[
    str,
    typer.Option(
        "--via",
        metavar="push|branch",
        help="branch: push promote/SALTENV/ID for a pull request instead of the protected branch.",
    ),
]
WaitOption = Annotated[
    str | None,
    typer.Option(
        "--wait",
        metavar="TIME",
        help="Wait at most so long, 1h for example, for gates that time or approvals still open, then do exactly this.",
        show_default=False,
    ),
]
WaitMastersOption = Annotated[
    str | None,
    typer.Option(
        "--wait-masters",
        metavar="TIME",
        help="Wait until every master that records its syncs serves it, 60s for example; exit 20 names who does not.",
        show_default=False,
    ),
]


def merging(verb: Callable[..., int]) -> Callable[..., int]:
    """Give the command `verb` the options of every verb that merges, as its argument `options`."""
    return _with(_merging, [_merging], verb)


def gated(verb: Callable[..., int]) -> Callable[..., int]:
    """The same for a verb that passes gates."""
    return _with(_gated, [_merging, _gated], verb)


def pushing(verb: Callable[..., int]) -> Callable[..., int]:
    """The same for a verb that passes gates, and may go by a pull request."""
    return _with(_pushing, [_merging, _gated, _pushing], verb)


def _merging(
    *,
    config: ConfigOption = None,
    plan: PlanOption = False,
    expect: ExpectOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
    resolve: ResolveOption = None,
    go_on: ContinueOption = False,
    abort: AbortOption = False,
    run_commands: RunCommandsOption = False,
) -> FlowOptions:
    return FlowOptions(
        config=config,
        plan=plan,
        expect=expect,
        yes=yes,
        as_json=as_json,
        resolve=resolve,
        go_on=go_on,
        abort=abort,
        run_commands=run_commands,
    )


def _gated(
    *,
    override: OverrideOption = None,
    reason: ReasonOption = None,
    reviewed: ReviewedOption = None,
    no_diff: NoDiffOption = False,
    **others: Any,
) -> FlowOptions:
    return replace(
        _merging(**others),
        overrides=overrides(override or (), reason),
        reviewed=reviewed,
        diff=not no_diff,
    )


def _pushing(
    *,
    via: ViaOption = "push",
    wait: WaitOption = None,
    wait_masters: WaitMastersOption = None,
    **others: Any,
) -> FlowOptions:
    seconds = gates = None
    if wait is not None:
        from saltbranch.promote import wait_gates  # only who waits pays for it

        gates = wait_gates.parse_seconds(wait)
    if wait_masters is not None:
        from saltbranch.promote.wait_masters import parse_seconds  # only who waits pays for it

        seconds = parse_seconds(wait_masters)
    return replace(
        _gated(**others), via_branch=is_via_branch(via), wait=gates, wait_masters=seconds
    )


def _with(
    build: Callable[..., FlowOptions],
    sources: list[Callable[..., FlowOptions]],
    verb: Callable[..., int],
) -> Callable[..., int]:
    """`verb` with the parameters of `sources`, made into its `options` by `build`: typer goes by the signature."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    common = [
        parameter
        for source in sources
        for parameter in inspect.signature(source, eval_str=True).parameters.values()
        if parameter.kind in named
    ]
    parameters = inspect.signature(verb, eval_str=True).parameters
    own = [parameter for name, parameter in parameters.items() if name != "options"]

    @functools.wraps(verb)
    def run(**given: Any) -> int:
        options = build(**{parameter.name: given.pop(parameter.name) for parameter in common})
        return verb(**given, options=options)

    everything = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*own, *common)]
    run.__signature__ = inspect.Signature(everything, return_annotation=int)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in everything} | {"return": int}
    return run
