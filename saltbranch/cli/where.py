"""``saltbranch where``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

import typer

from saltbranch.actions import where as action
from saltbranch.base.errors import UsageError
from saltbranch.base.text import many
from saltbranch.cli.console import Terminal, shown
from saltbranch.cli.options.common import ConfigOption, JsonOption, print_json
from saltbranch.cli.options.completion import points
from saltbranch.cli.show.commits import FetchOption, Reader, local_time
from saltbranch.history import presence as words
from saltbranch.history.commits import CommitTold
from saltbranch.history.presence import (
    COMMIT,
    PATH,
    TICKET,
    Arrival,
    InLab,
    Kind,
    PathPresence,
    PathWhereabouts,
    Presence,
    TicketPresence,
    TicketWhereabouts,
    Whereabouts,
)
from saltbranch.repository.served_commit import BY_HOLD, BY_TAG, Wanted

_STATES = {
    words.THERE: "[green]there[/]",
    words.REVERTED: "[red]reverted[/]",
    words.ABSENT: "[dim]not there[/]",
    words.NO_BRANCH: "[red]the remote has no such branch[/]",
    words.COMPLETE: "[green]complete[/]",
    words.PARTLY: "[yellow]partly[/]",
}
_MOST = 20


def register(app: typer.Typer) -> None:
    """Add the verb to `app`."""
    app.command("where")(_where)


def _where(
    what: Annotated[
        str,
        typer.Argument(
            metavar="COMMIT|TICKET|PATH",
            help="A hash, tag, branch, promotion, ticket, or a path of the repository.",
            autocompletion=points,
        ),
    ],
    config: ConfigOption = None,
    as_json: JsonOption = False,
    commit: Annotated[bool, typer.Option("--commit", help="It is a commit.")] = False,
    ticket: Annotated[bool, typer.Option("--ticket", help="It is a ticket.")] = False,
    path: Annotated[bool, typer.Option("--path", help="It is a path.")] = False,
    fetch: FetchOption = True,
) -> int:
    """Show in which saltenvs a commit, a ticket or the last change of a path is, since when, and how it came.

    A cherry-pick counts as what it was picked from, and what was reverted as not there.

    \b
    Examples:
      saltbranch where 1a2b3c4d
      saltbranch where KEY-12
      saltbranch where salt/app/init.sls
      saltbranch where v1.2.0 --json | jq '.saltenvs[] | {saltenv, state, served}'
    """
    flags: dict[Kind, bool] = {COMMIT: commit, TICKET: ticket, PATH: path}
    chosen = [kind for kind, wanted in flags.items() if wanted]
    if len(chosen) > 1:
        raise UsageError("--commit, --ticket and --path exclude each other")
    reader, only = Reader(config, quiet=as_json), chosen[0] if chosen else None
    work, result = action.tell(reader, what, only=only, fetch=fetch)
    if as_json:
        print_json({**result.as_dict(), "problems": work.problems})
        return 0
    console = Terminal()
    for line in lines(result):
        console.print(line, soft_wrap=True)
    return 0


def lines(result: Whereabouts | TicketWhereabouts | PathWhereabouts) -> Iterator[str]:
    """The picture for people."""
    if isinstance(result, Whereabouts):
        yield _commit(result.about)
        width = _width(result.saltenvs)
        for row in result.saltenvs:
            yield from _presence(row, width)
            yield from _minions(row, result.saltenvs, width)
        yield from _labs(result.labs)
    elif isinstance(result, TicketWhereabouts):
        yield from _ticket(result)
        yield from _labs(result.labs)
    else:
        yield from _path(result)


def _labs(labs: Iterable[InLab]) -> Iterator[str]:
    for lab in labs:
        until = f", until {local_time(lab.until)}" if lab.until is not None else ""
        lent = f", which {shown(', '.join(lab.lent))} get" if lab.lent else ", for trying"
        yield f"[bold]{lab.lab}[/]  [cyan]there[/] through {shown(lab.branch)}{lent}{until}"


def _width(rows: Iterable[Presence | TicketPresence | PathPresence]) -> int:
    return max((len(row.saltenv) for row in rows), default=0)


def _presence(row: Presence, width: int) -> Iterator[str]:
    indent = " " * (width + 2)
    if row.state in (words.ABSENT, words.NO_BRANCH):
        yield f"[bold]{row.saltenv:<{width}}[/]  {_STATES[row.state]}{_serving(row)}"
        if row.resembles:
            alike = f"[yellow]but [cyan]{row.resembles[:12]}[/] has its author, date and subject, with another patch[/]"
            yield f"{indent}{alike}"
        yield from (f"{indent}{line}" for line in _masters(row) if row.served)
        return
    yield f"[bold]{row.saltenv:<{width}}[/]  {_state(row)}{_serving(row)}"
    for there, arrival in row.turns[-2::-1]:
        what = "there" if there else f"reverted by [cyan]{arrival.commit[:12]}[/]"
        yield f"{indent}before that {what}, {_since(arrival)}"
    yield from (f"{indent}{line}" for line in _masters(row))


def _state(row: Presence) -> str:
    """What it is now, by which commit, and since when."""
    there, last = row.turns[-1]
    by = f" [cyan]{last.commit[:12]}[/]"
    if not there:
        return f"{_STATES[words.REVERTED]} by{by}, {_since(last)}"
    if len(row.turns) > 1:
        return f"{_STATES[words.THERE]} again by{by}, {_since(last)}"
    picked = "" if row.how == words.BY_ANCESTRY else f" as{by} ({row.how})"
    return f"{_STATES[words.THERE]}{picked}, {_since(last)}"


def _since(arrival: Arrival) -> str:
    when = f"since {local_time(arrival.time)}"
    promotion = arrival.promotion
    if promotion:
        by = f" by {shown(promotion.who)}" if promotion.who else ""
        return f"{when} through {promotion.kind} {shown(promotion.id)}{by}"
    if arrival.push:
        accepted = f", accepted by {shown(arrival.accepted)}" if arrival.accepted else ""
        return f"{when} by a push by hand{accepted}"
    return when if arrival.by == arrival.commit else f"{when} through [cyan]{arrival.by[:12]}[/]"


def _serving(row: Presence) -> str:
    """What is worth saying of what the saltenv serves: where it is not what the branch has."""
    if row.wanted is None or row.served is None:
        return ""
    if row.served is (row.state == words.THERE):
        return ""
    return f"; [yellow]{'still served' if row.served else 'not served'}[/]{_because(row.wanted)}"


def _because(wanted: Wanted) -> str:
    if wanted.why == BY_HOLD and wanted.commit:
        reason = f" ({shown(wanted.hold.reason)})" if wanted.hold and wanted.hold.reason else ""
        return f": held at {wanted.commit[:12]}{reason}"
    if wanted.why == BY_TAG:
        return f": it follows tags, now {shown(wanted.tag)}"
    return ""


def _masters(row: Presence) -> Iterator[str]:
    for master in row.masters:
        name = shown(master.master)
        if master.there:
            since = f" since {local_time(master.since)}" if master.since is not None else ""
            yield f"served by {name}{since}"
        elif row.state == words.THERE:
            why = "an unknown commit" if master.there is None else "still"
            yield f"[yellow]not served by {name}[/], {why} {master.commit[:12]}"


def _minions(
    row: Presence | TicketPresence, rows: Iterable[Presence | TicketPresence], width: int
) -> Iterator[str]:
    """On how many minions it runs, as far as the journal's applies prove that."""
    indent, is_there = " " * (width + 2), row.state in (words.THERE, words.COMPLETE)
    for one in row.minions:
        where = f"{many(one.of, 'minion')} of {shown(one.master)}"
        if one.runs and one.since is not None:
            text = f"runs on {one.runs} of {where} since {local_time(one.since)}"
            is_odd = not is_there or one.runs < one.of
            yield f"{indent}{f'[yellow]{text}[/]' if is_odd else text}"
        elif is_there:
            last = f"{one.commit[:12]} was applied last, {local_time(one.time)}"
            yield f"{indent}[yellow]not known to run on minions of {shown(one.master)}[/]: {last}"
    if is_there and not row.minions and any(other.minions for other in rows):
        yield f"{indent}[dim]whether minions run it is not known: no apply is recorded[/]"


def _ticket(result: TicketWhereabouts) -> Iterator[str]:
    number = len(result.changes)
    yield f"[bold]{shown(result.ticket)}[/]: {many(number, 'commit')}"
    for change in result.changes[:_MOST]:
        yield f"  {_commit(change)}"
    if number > _MOST:
        yield f"  and {number - _MOST} more"
    width = _width(result.saltenvs)
    for row in result.saltenvs if result.changes else ():
        yield from _ticket_presence(row, number, width)
        yield from _minions(row, result.saltenvs, width)


def _ticket_presence(row: TicketPresence, number: int, width: int) -> Iterator[str]:
    indent = " " * (width + 2)
    text = f"[bold]{row.saltenv:<{width}}[/]  {_STATES[row.state]}"
    if row.state == words.PARTLY:
        text += f" ({row.there} of {many(number, 'commit')})"
    if row.since is not None:
        text += f" since {local_time(row.since)}"
    if row.promotions:
        text += f" through {', '.join(shown(p.id) for p in row.promotions[-3:])}"
    if row.served != row.there:
        text += f"; [yellow]{row.served} of {number} served[/]"
    yield text
    for what, found in (("lacks", row.missing), ("[red]reverted[/]", row.reverted)):
        if row.there or row.reverted:
            yield from (f"{indent}{what} {_commit(c)}" for c in found[:_MOST])
    if row.masters and row.state == words.COMPLETE:
        yield f"{indent}served by {', '.join(map(shown, row.masters))}"


def _path(result: PathWhereabouts) -> Iterator[str]:
    same = "the same everywhere" if result.same else "[yellow]not the same everywhere[/]"
    yield f"[bold]{shown(result.path)}[/]: {same}"
    width = _width(result.saltenvs)
    first = next((r.content for r in result.saltenvs if r.content), None)
    for row in result.saltenvs:
        content = row.content[:12] if row.content else "[dim]not there[/]"
        if row.pin and row.content and row.pin.name != content:
            content = f"{shown(row.pin.name)} ({content})"
        mark = (
            "" if result.same or not row.content or row.content == first else " [yellow]differs[/]"
        )
        yield f"[bold]{row.saltenv:<{width}}[/]  {content}{mark}"
        if row.last and row.arrival:
            yield f"{' ' * (width + 2)}{_commit(row.last)}, {_since(row.arrival)}"
        if row.served != row.content:
            served = f"served is {row.served[:12]}" if row.served else "not served"
            yield f"{' ' * (width + 2)}[yellow]{served}[/]"


def _commit(told: CommitTold) -> str:
    line = told.line
    return f"[cyan]{line.commit[:12]}[/] {shown(line.subject)} [dim]({shown(line.author)})[/]"
