"""Options of the verbs that merge, each meaning the same everywhere."""

from __future__ import annotations

from typing import Annotated

import typer

from saltbranch.errors import UsageError

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
ViaOption = Annotated[
    str,
    typer.Option(
        "--via",
        metavar="push|branch",
        help="branch: push promote/SALTENV/ID for a pull request instead of the protected branch.",
    ),
]


def overrides(gates: list[str] | None, reason: str | None) -> dict[str, str]:
    """Gate to reason. Raises UsageError without a reason."""
    if gates and not (reason or "").strip():
        raise UsageError("--override wants --reason TEXT", hint="it is recorded with the promotion")
    return dict.fromkeys(gates or [], (reason or "").strip())


def is_via_branch(via: str) -> bool:
    """Whether `--via` asks for a branch. Raises UsageError."""
    if via not in ("push", "branch"):
        raise UsageError(f"--via {via}: unknown", hint="known: push, branch")
    return via == "branch"
