"""What a person reads of an apply: its plan, how far it is, and what became of each minion."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from saltbranch.apply.engine import Tell, told
from saltbranch.apply.going_on import AGAIN, BACK, GO_ON, Trouble
from saltbranch.apply.groups import Group
from saltbranch.apply.make_plan import ApplyPlan
from saltbranch.apply.outcome import RUNNING, WRONG
from saltbranch.apply.run_state import APPLY, DONE, OVER, UNDER_WAY, Pass, Record
from saltbranch.apply.stays import stays_from_dict
from saltbranch.base import asked_by
from saltbranch.base.durations import iso, shown_duration
from saltbranch.base.text import many, printable, some
from saltbranch.cli.console import Terminal
from saltbranch.cli.console import shown as plain
from saltbranch.cli.show import beside_apply as beside
from saltbranch.cli.terminal import echo

_MOST = 20  # changes of a group, and minions, that are shown


def plan(found: ApplyPlan) -> None:
    """The plan."""
    echo(f"apply {found.saltenv} at {found.commit[:12]}")
    sizes = [len(batch) for batch in found.batches]
    if sizes:
        shown = ", ".join(map(str, sizes[:_MOST])) + (", ..." if len(sizes) > _MOST else "")
        echo(f"  {many(sum(sizes), 'minion')} in {_batches(len(sizes))}: {shown}")
        for number, batch in enumerate(found.batches[:_MOST], 1):
            echo(f"    batch {number}: {some(batch, _MOST)}")
    else:
        echo("  no minion to apply to")
    for minion, why in list(found.skipped.items())[:_MOST]:
        echo(f"  left out: {minion}: {why}")
    if len(found.skipped) > _MOST:
        echo(f"  left out: {len(found.skipped) - _MOST} more")
    for note in found.notes:
        echo(f"  note: {note}")
    changing = sum(len(group.minions) for group in found.groups)
    groups = many(len(found.groups), "group")
    echo(f"  test run: {changing} of {changing + len(found.unchanged)} change, {groups}")
    for number, group in enumerate(found.groups, 1):
        _group(number, group)
    if found.unchanged:
        echo(f"    nothing changes on {some(found.unchanged, _MOST)}")
    beside.preview(found.preview)
    beside.around(found.around)
    if found.stays:
        beside.stays(found.stays, "a rollback would serve {} again, and does not undo")
    if found.no_way_back:
        echo(f"  a rollback is not possible: {found.no_way_back}")


def _batches(number: int) -> str:
    return f"{number} batch{'' if number == 1 else 'es'}"


def _group(number: int, group: Group) -> None:
    ids = some(group.minions, _MOST)
    echo(f"    group {number}: {many(len(group.minions), 'minion')}: {ids}")
    for change in group.changes[:_MOST]:
        echo(f"      {change.function} {change.id} ({change.sls})")
    if len(group.changes) > _MOST:
        echo(f"      {len(group.changes) - _MOST} more")
    for problem in group.problems[:_MOST]:
        echo(f"      fails in the test run: {problem}")


def end(record: Record, notes: Sequence[str]) -> None:
    """What became of it."""
    for run in record.passes:
        _wrong(run)
    for note in notes:
        echo(f"note: {note}")
    if record.status == DONE:
        echo(f"apply {record.id} of {record.saltenv}: {told(record.first)}")
        return
    text = f"apply {record.id} of {record.saltenv}: {record.status}: {record.why}"
    echo(f"saltbranch: {text}; {told(record.first)}", err=True)
    for run in record.passes[1:]:
        echo(f"  rolled back to {run.commit[:12]}, held there: {told(run)}", err=True)
        if left := stays_from_dict(record.stays):
            beside.stays(left, "the rollback to {} has not undone", err=True)
    if record.status not in OVER:
        _goes_on(record)


def _goes_on(record: Record, *, err: bool = True) -> None:
    """The commands that a stopped apply waits for."""
    run = record.last
    without = " without what went wrong" if run.wrong() else ""
    echo(f"  saltbranch apply --resume {record.id} goes on{without}", err=err)
    if run.kind == APPLY and run.touched():
        echo(f"  saltbranch apply --rollback {record.id} takes it back", err=err)
    echo(f"  saltbranch apply --abort {record.id} ends it", err=err)


def trouble(found: Trouble) -> None:
    """What a person decides by."""
    echo(f"apply {found.apply} of {found.saltenv} has stopped: {found.why}", err=True)
    counts = ", ".join(f"{n} {state}" for state, n in found.counts.items())
    echo(f"  batch {found.number} of {found.of}: {some(found.batch, _MOST)}; {counts}", err=True)
    for minion, outcome in list(found.failed.items())[:_MOST]:
        echo(f"  {minion}: {outcome.state}: {outcome.reason}", err=True)
    if found.stays and found.touched:
        text = (
            f"a rollback would go to {many(found.touched, 'minion')} with {{}}, and does not undo"
        )
        beside.stays(found.stays, text, err=True)
    if found.no_way_back:
        echo(f"  a rollback is not possible: {found.no_way_back}", err=True)


def question(found: Trouble) -> str:
    """What a person is asked."""
    who = some(found.failed, 3) if found.failed and not found.step else some(found.batch, 3)
    again = f"try {'the step' if found.step else who} again"
    told = {GO_ON: f"[g]o on without {who}", AGAIN: f"[a]gain: {again}", BACK: "[r]ollback"}
    return printable(f"{', '.join(['[s]top', *(told[c] for c in found.choices if c in told)])}?")


def _wrong(run: Pass) -> None:
    for minion in run.wrong()[:_MOST]:
        outcome = run.of(minion)
        echo(f"saltbranch: {minion}: {outcome.state}: {outcome.reason}", err=True)


def status(found: Sequence[tuple[Record, bool]]) -> None:
    """The last applies."""
    if not found:
        echo("nothing was applied from here")
    for record, lives in found:
        state = "killed" if record.status == UNDER_WAY and not lives else record.status
        ended = f", ended {iso(record.ended)}" if record.ended else ""
        echo(f"{record.saltenv}: apply {record.id}: {state}, since {iso(record.since)}{ended}")
        echo(f"  by {asked_by.shown(record.by, **asked_by.named_in(record.asked))}")
        if record.why:
            echo(f"  {record.why}")
        for run in record.passes:
            place = f"batch {min(run.at + 1, len(run.batches))} of {len(run.batches)}"
            step = f", {run.step}" if run.step else ""
            where = "" if run.is_over else f", {place}{step}"
            echo(f"  {run.kind} at {run.commit[:12]}: {told(run)}{where}")
            running = [m for m in run.minions if run.of(m).state == RUNNING]
            if running:
                jids = sorted({run.of(m).jid for m in running})
                echo(f"    on its way: {some(running, _MOST)} (job {', '.join(jids)})")
            for minion in run.wrong()[:_MOST]:
                echo(f"    {minion}: {run.of(minion).state}: {run.of(minion).reason}")
        for line in record.decided:
            echo(f"  decided: {line}")
        if record.status not in OVER and not lives:
            _goes_on(record, err=False)


@contextmanager
def progress(*, enabled: bool) -> Iterator[Tell]:
    """Give what shows events: as bars on a terminal, as lines otherwise."""
    if not enabled:
        yield lambda event: None
    elif sys.stderr.isatty():
        bars = _Bars()
        try:
            yield bars.tell
        finally:
            bars.stop()
    else:
        yield _as_line


def _as_line(event: Mapping[str, Any]) -> None:
    """Show one event at once, also in a pipe."""
    _say(event)
    sys.stdout.flush()


def _say(event: Mapping[str, Any]) -> None:
    if event["event"] == "batch":
        ids = some(event["minions"], _MOST)
        echo(f"{event['pass']}: batch {event['number']} of {event['of']}: {ids}")
    elif event["event"] == "minion":
        reason = f": {event['reason']}" if event["reason"] else ""
        changed = f", {many(event['changed'], 'state')} changed" if event["changed"] else ""
        echo(f"  {event['minion']}: {event['state']}{changed}{reason}")
    elif event["event"] == "rollback":
        echo(f"{event['why']}: rolling back to {event['commit'][:12]}")
        _left(event["stays"])
    elif event["event"] == "stays":
        _left(event)
    elif event["event"] == "decided":
        echo(f"decided by {event['by']}: {event['choice']}")
    elif event["event"] == "resume":
        echo(f"going on with apply {event['id']}, which was begun {event['since']}")
    elif event["event"] == "pause":
        echo(f"  pausing for {shown_duration(event['seconds'])}")


def _left(data: Mapping[str, Any]) -> None:
    if found := stays_from_dict(data):
        beside.stays(found, "a rollback to {} does not undo")


class _Bars:
    """A bar for the test run, and one for each pass; while something is asked or shown there is none."""

    def __init__(self) -> None:
        self._shown: Progress | None = None
        self._task: Any = None
        self._done: set[str] = set()
        self._of = 0

    def tell(self, event: Mapping[str, Any]) -> None:
        """Take an event."""
        match event["event"]:
            case "test":
                self._begin("test run", event["done"], event["of"])
                if event["done"] >= event["of"]:
                    self.stop()
            case "begin":
                self._done, self._of = set(event["done"]), event["total"]
                self._begin(event["pass"], len(self._done), self._of)
            case "batch":
                what = f"{event['pass']} batch {event['number']} of {event['of']}"
                self._begin(what, len(self._done), self._of)
            case "minion":
                self._minion(event)
            case "preview":
                self._begin("preview", event["done"], event["of"])
                if event["done"] >= event["of"]:
                    self.stop()
            case "ask" | "trouble":
                self.stop()
            case "rollback" | "stays" | "decided":
                self.stop()
                _say(event)

    def _minion(self, event: Mapping[str, Any]) -> None:
        self._done.add(event["minion"])
        if self._shown is None:
            return
        self._shown.update(self._task, completed=len(self._done))
        if event["state"] in WRONG:
            text = f"{event['minion']}: {event['state']}: {event['reason']}"
            self._shown.console.print(plain(text), soft_wrap=True)

    def _begin(self, what: str, done: int, of: int) -> None:
        if self._shown is None:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
            )
            self._shown = Progress(*columns, console=Terminal(stderr=True), transient=True)
            self._task = self._shown.add_task(what, total=of)
            self._shown.start()
        self._shown.update(self._task, description=what, completed=done, total=of)

    def stop(self) -> None:
        """Take the bar away."""
        if self._shown:
            self._shown.stop()
            self._shown = None
