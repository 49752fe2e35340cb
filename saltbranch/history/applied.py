"""On how many minions something runs, as far as the applies that the journal has prove it.

Who applies by other means than `saltbranch apply` tells the journal nothing, and of a minion that went wrong nobody
can say what it got. So the numbers are the least that is certain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from saltbranch.base.durations import iso
from saltbranch.journal import events
from saltbranch.journal.events import Event

STATES = ("pending", "running", "applied", "failed", "timed-out", "gone", "skipped")
OUTCOMES = ("done", "stopped", "rolled-back", "aborted")
_WRONG = ("failed", "timed-out", "gone", "running")
_MOST = 10**7  # minions


@dataclass(frozen=True, slots=True)
class Told:
    """The end of an apply. outcome: of OUTCOMES, or empty. counts: state to minions. of: minions of the saltenv.

    as_is: minions for which a test run found nothing. back_to: the commit of a rollback, to which `back` minions went.
    master: that told it. since, time: seconds since 1970.
    """

    apply: str
    saltenv: str
    master: str
    commit: str
    outcome: str
    counts: Mapping[str, int]
    of: int
    as_is: int
    back_to: str | None
    back: int
    since: float | None
    time: float


@dataclass(frozen=True, slots=True)
class OnMinions:
    """What is looked for runs on at least `runs` of the `of` minions that `master` has, so many of them since `since`.

    commit, apply, time: of the last apply there. since, time: seconds since 1970; since: None where runs is 0.
    """

    master: str
    apply: str = ""
    commit: str = ""
    time: float = 0.0
    runs: int = 0
    of: int = 0
    since: float | None = None

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "master": self.master,
            "apply": self.apply,
            "commit": self.commit,
            "time": iso(self.time),
            "runs": self.runs,
            "of": self.of,
            "since": iso(self.since) if self.since is not None else None,
        }


def told_of(event: Event) -> Told | None:
    """The end of an apply that an entry of the journal tells of; None for all else. Anybody may have written it."""
    commit = event.commit_of("commit")
    if event.kind != events.APPLY or commit is None or not event.text("saltenv"):
        return None
    given = event.details.get("counts")
    counts = {
        state: _number(given.get(state)) for state in STATES if isinstance(given, Mapping)
    }  # fmt: skip
    outcome = event.text("status")
    return Told(
        apply=event.text("apply"),
        saltenv=event.text("saltenv"),
        master=event.text("master") or event.by,
        commit=commit,
        outcome=outcome if outcome in OUTCOMES else "",
        counts={state: number for state, number in counts.items() if number},
        of=_number(event.details.get("of")) or sum(counts.values()),
        as_is=_number(event.details.get("unchanged")),
        back_to=event.commit_of("rolled_back_to"),
        back=_number(event.details.get("back")),
        since=events.time_of(event.text("since")),
        time=event.time,
    )


def on_minions(
    found: Iterable[Told], saltenv: str, is_there: Callable[[str], bool]
) -> tuple[OnMinions, ...]:
    """Of each master that applied `saltenv`, by name. found: the oldest first. is_there: whether a commit has it."""
    rows: dict[str, OnMinions] = {}
    before: dict[str, int] = {}  # how many it ran on before the last apply of each master
    for told in found:
        if told.saltenv != saltenv:
            continue
        row = rows.get(told.master) or OnMinions(told.master)
        if told.outcome == "aborted" and told.apply < row.apply:
            continue  # one that others came after: it has told before what it did
        if not told.apply or told.apply != row.apply:
            before[told.master] = row.runs
        # One that stopped and was gone on with tells all that it did anew.
        had = before[told.master]
        wrong = sum(told.counts.get(state, 0) for state in _WRONG)
        applied = told.counts.get("applied", 0)
        commit = told.back_to or told.commit
        untouched = max(0, had - applied - wrong)
        if not is_there(commit):
            runs = untouched
        elif told.back_to:  # it goes to those that were touched
            runs = untouched + told.back
        else:
            runs = max(applied + told.as_is, had - wrong)
        runs = min(runs, told.of)
        since = told.time if runs > row.runs else row.since if runs else None
        rows[told.master] = replace(
            row,
            apply=told.apply,
            commit=commit,
            time=told.time,
            runs=runs,
            of=told.of,
            since=since,
        )
    return tuple(rows[name] for name in sorted(rows))


def _number(value: object) -> int:
    return value if type(value) is int and 0 <= value <= _MOST else 0
