"""What a person reads beside the batches of an apply: hooks and checks, the preview, what a rollback leaves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from saltbranch.apply.deviations import Deviation, Deviations, Named
from saltbranch.apply.stays import Stays
from saltbranch.base.text import many, some
from saltbranch.cli.terminal import echo
from saltbranch.verify.around import Around

_MOST = 20
_NAMED = 5


def preview(found: Deviations | None) -> None:
    """Where the test runs differ from what the commit changes."""
    if found is None:
        return
    if found.compared:
        rest = "" if found.found else ": as it says"
        echo(f"  compared with the preview since the last apply: {_minions(found.compared)}{rest}")
    for row in found.found[:_MOST]:
        _deviation(row)
    if len(found.found) > _MOST:
        echo(f"    {len(found.found) - _MOST} more such groups")
    unknown("not compared with the preview", found.unknown)


def _deviation(row: Deviation) -> None:
    ids = some(row.minions, _NAMED)
    if row.more:
        echo(
            f"    {ids}: {many(len(row.more), 'change')} more than the commit brings (drift):"
            f" {_named(row.more)}"
        )
    if row.each_time:
        echo(f"    {ids}: run each time: {_named(row.each_time)}")
    if row.fewer:
        echo(
            f"    {ids}: {many(len(row.fewer), 'change')} of the commit that the test run does not find:"
            f" {_named(row.fewer)}"
        )


def _named(states: Iterable[Named]) -> str:
    return some([f"{s.function} {s.id}" + (f" ({s.sls})" if s.sls else "") for s in states], _NAMED)


def around(found: Around) -> None:
    """What runs with each batch."""
    for what, names in (
        ("before each batch", found.before),
        ("checks after it", found.checks),
        ("after each batch", found.after),
    ):
        if names:
            echo(f"  {what}: {some(names, _MOST)}")
    for problem in found.problems:
        echo(f"  it will fail: {problem}")


def stays(found: Stays, text: str, *, err: bool = False) -> None:
    """What a rollback does not undo. text: says so, with ``{}`` for the commit."""
    what = text.replace("{}", found.former[:12])
    if not found.states:
        of = "" if not found.unknown else " elsewhere"
        echo(f"  {what}: nothing that the preview knows of{of}", err=err)
    else:
        echo(f"  {what}:", err=err)
    for state in found.states[:_MOST]:
        ids = some(state.minions, _NAMED)
        echo(
            f"    {state.key} ({state.sls}) stays on {_minions(len(state.minions))}: {ids}", err=err
        )
    if len(found.states) > _MOST:
        echo(f"    {len(found.states) - _MOST} more", err=err)
    unknown("cannot be told", found.unknown, err=err)


def unknown(what: str, why: Mapping[str, str], *, err: bool = False) -> None:
    """Minions of which something is not known, those with one reason in one line."""
    by_reason: dict[str, list[str]] = {}
    for minion, reason in why.items():
        by_reason.setdefault(reason, []).append(minion)
    for reason, ids in by_reason.items():
        echo(f"    {what}: {some(ids, _NAMED)}: {reason}", err=err)


def _minions(number: int) -> str:
    return many(number, "minion")
