"""What a person reads after a sync. Used by the timer's quick road, so it imports nothing costly."""

from __future__ import annotations

import sys

from saltbranch.base.errors import lines_of_ours

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from saltbranch.serve.run import SaltenvResult, SyncResult

_VERBS = {"first": "served for the first time", "rewritten": "switched"}
_PROBLEMS = ("failed", "missing", "refused")
_MOST = 10  # refs that are named, of those that could not be read


def show(result: SyncResult, *, quiet: bool) -> None:
    """Write the result to stdout, problems to stderr; with `quiet` only what changed or went wrong."""
    out, err = lines(result, quiet=quiet)
    _write(sys.stdout, out)
    _write(sys.stderr, err)


def lines(result: SyncResult, *, quiet: bool) -> tuple[list[str], list[str]]:
    """The lines for stdout and for stderr."""
    out = list(result.notes)
    err = []
    for saltenv in result.saltenvs:
        if saltenv.state in _PROBLEMS:
            err.append(f"saltbranch: {saltenv.saltenv}: {saltenv.state}: {saltenv.message}")
        elif saltenv.changed or not quiet:
            out.append(_line(saltenv, plan=result.plan))
    err += [f"saltbranch: {problem}" for problem in result.problems]
    if result.model_problem:
        err.append(f"saltbranch: {result.model_problem}")
    if result.unread_news or not quiet:
        said = {f"refs/heads/{s.branch}" for s in result.saltenvs if s.state == "failed"}
        left = {ref: why for ref, why in result.unread.items() if ref not in said}
        err += [f"saltbranch: {line}" for line in unread_lines(left)]
    if result.restart_needed and (result.changed or not quiet):
        out.append(f"restart the salt-master: {result.restart_needed}")
    return out, err


def unread_lines(unread: Mapping[str, str]) -> list[str]:
    """What of the remote could not be read, full ref to reason."""
    names = [(ref.removeprefix("refs/heads/"), why) for ref, why in unread.items()]
    found = [f"not read: {name}: {why}" for name, why in names[:_MOST]]
    more = len(names) - _MOST
    return [*found, *([f"not read: {more} more branches and tags"] if more > 0 else [])]


def _line(saltenv: SaltenvResult, *, plan: bool) -> str:
    old, new = (commit[:12] if commit else "nothing" for commit in (saltenv.old, saltenv.new))
    if saltenv.state == "waiting":
        text = f"{saltenv.saltenv}: {saltenv.branch} not switched, {old} -> {new}"
    elif not saltenv.changed:
        text = f"{saltenv.saltenv}: {saltenv.branch} at {new}, unchanged"
    else:
        verb = ("to be " if plan else "") + _VERBS.get(saltenv.state, saltenv.state)
        text = f"{saltenv.saltenv}: {saltenv.branch} {verb}, {old} -> {new}"
    if saltenv.held and saltenv.new:
        text += f", held at {new}: {saltenv.held}"
    elif saltenv.tag:
        text += f", tag {saltenv.tag}"
    return f"{text} ({saltenv.message})" if saltenv.message else text


def _write(stream: object, texts: list[str]) -> None:
    for text in texts:
        stream.write(lines_of_ours(text) + "\n")  # type: ignore[attr-defined]
