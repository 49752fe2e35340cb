"""What an apply has done so far, on the disk: `ROOT/state/applies/ID`.

It is no cache. Each job's id is written down before it is published, so whoever goes on after a kill finds in the
master's job cache whether it was, and nothing is applied twice.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import takewhile
from typing import Any, Final, Literal, get_args

from saltbranch.apply.outcome import (
    APPLIED,
    NOTHING_CHANGES,
    PENDING,
    RUNNING,
    SKIPPED,
    STATES,
    WRONG,
    Outcome,
    State,
    outcome_from_dict,
)
from saltbranch.base import files
from saltbranch.base.errors import SaltbranchError, UsageError
from saltbranch.serve.leased import FOLDER

VERSION = 1
APPLY: Final = "apply"
ROLLBACK: Final = "rollback"
Status = Literal["running", "done", "stopped", "rolled-back", "aborted"]
UNDER_WAY: Final = "running"
DONE: Final = "done"
STOPPED: Final = "stopped"
ROLLED_BACK: Final = "rolled-back"
ABORTED: Final = "aborted"
OVER: Final = (DONE, ROLLED_BACK, ABORTED)
"""Those that nothing can be gone on with."""
STEPS = ("", "before", "apply", "verify", "after")
_MOST = 50  # records that are kept
_MOST_OF_EACH = 5  # that are kept of a saltenv beside them, however often others are applied
_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")


@dataclass(slots=True)
class Pass:
    """All batches with one commit. at: the batch under way, counted from 0; step: what of it has begun.

    kind: `apply`, or `rollback` of one that went wrong. forgiven: how many failures a person went on after.
    retried: minions that were tried again after they went wrong. verified: those that passed the checks, of which the
    first were asked at the time `checked`, in seconds since 1970.
    """

    kind: str
    commit: str
    batches: list[list[str]]
    outcomes: dict[str, Outcome]
    at: int = 0
    step: str = ""
    forgiven: int = 0
    retried: list[str] = field(default_factory=list)
    verified: list[str] = field(default_factory=list)
    checked: float = 0.0

    @property
    def is_over(self) -> bool:
        """Whether all batches are done."""
        return self.at >= len(self.batches)

    @property
    def minions(self) -> list[str]:
        """All that it is about."""
        return [minion for batch in self.batches for minion in batch]

    def of(self, minion: str) -> Outcome:
        """What became of a minion."""
        return self.outcomes.get(minion, Outcome(PENDING))

    def counts(self) -> dict[State, int]:
        """How many minions are in each state, those in which any is."""
        states = [self.of(minion).state for minion in self.minions]
        return {state: states.count(state) for state in STATES if state in states}

    def wrong(self, minions: list[str] | None = None) -> list[str]:
        """Those of `minions`, or of all, that went wrong."""
        among = self.minions if minions is None else minions
        return [minion for minion in among if self.of(minion).state in WRONG]

    def touched(self) -> list[str]:
        """Those that may have got something of it."""
        states = (APPLIED, RUNNING, *WRONG)
        return [m for m in self.minions if self.of(m).state in states or m in self.retried]


@dataclass(slots=True)
class Record:
    """An apply. options: as the person gave them, by name. skipped: minion to why it is left out.

    since, ended: seconds since 1970. why: it stopped; by_person: as somebody wanted.
    former: the commit before; hold: the event that holds the saltenv there. stays: what a rollback does not undo.
    decided: what persons wanted where it had stopped. checks: a digest of those that the model has. untold: what the
    journal is to be told of its end, until that was handed over.
    """

    id: str
    saltenv: str
    dirname: str
    by: str
    since: float
    options: dict[str, Any]
    skipped: dict[str, str]
    passes: list[Pass]
    status: Status = UNDER_WAY
    why: str = ""
    by_person: bool = False
    ended: float | None = None
    former: str = ""
    hold: dict[str, Any] = field(default_factory=dict)
    asked: dict[str, str] = field(default_factory=dict)
    untold: list[dict[str, Any]] = field(default_factory=list)
    stays: dict[str, Any] = field(default_factory=dict)
    decided: list[str] = field(default_factory=list)
    checks: str = ""

    @property
    def last(self) -> Pass:
        """What is under way, or was last."""
        return self.passes[-1]

    @property
    def first(self) -> Pass:
        """The apply itself."""
        return self.passes[0]


def path_of(root: str, name: str) -> str:
    """Where the record of the apply `name` is. Raises UsageError for what is no id."""
    if not _ID.fullmatch(name):
        raise UsageError(
            f"{name!r} is not the id of an apply", hint="saltbranch apply --status lists them"
        )
    return f"{root}/{FOLDER}/{name}"


def lock_path(root: str, dirname: str) -> str:
    """Who holds this lock applies that saltenv."""
    return f"{root}/{FOLDER}/lock-{dirname}"


def save(root: str, record: Record) -> None:
    """Write it down for good. Raises OSError."""
    path = path_of(root, record.id)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    files.write_atomic(path, json.dumps({"version": VERSION, **asdict(record)}))


def load(root: str, name: str) -> Record:
    """The record of an apply. Raises UsageError where there is none, SaltbranchError where it cannot be read."""
    path = path_of(root, name)
    data = files.read_or_none(path)
    if data is None:
        raise UsageError(f"there is no apply {name}", hint="saltbranch apply --status lists them")
    try:
        return _record(json.loads(data))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as err:
        raise SaltbranchError(
            f"{path} cannot be read: it says what the apply {name} has done",
            hint="look at the minions, and remove it",
        ) from err


def _record(data: Mapping[str, Any]) -> Record:
    if data["version"] != VERSION:
        raise ValueError("of another version")
    values = {key: value for key, value in data.items() if key != "version"}
    values["passes"] = [_pass(one) for one in data["passes"]]
    record = Record(**values)
    if not record.passes or record.status not in get_args(Status):
        raise ValueError("no record")
    return record


def _pass(data: Mapping[str, Any]) -> Pass:
    outcomes = {str(m): outcome_from_dict(one) for m, one in data["outcomes"].items()}
    batches = [[str(minion) for minion in batch] for batch in data["batches"]]
    found = Pass(**{**data, "batches": batches, "outcomes": outcomes})
    if found.kind not in (APPLY, ROLLBACK) or found.step not in STEPS or type(found.at) is not int:
        raise ValueError("no pass")
    return found


def names(root: str) -> list[str]:
    """The ids of all records, the oldest first."""
    try:
        return sorted(name for name in os.listdir(f"{root}/{FOLDER}") if _ID.fullmatch(name))
    except (FileNotFoundError, NotADirectoryError):
        return []


def forget_old(root: str) -> None:
    """Keep the newest records, some of each saltenv, and those with something untold. Raises OSError."""
    known = names(root)
    if len(known) <= _MOST:
        return
    kept: Counter[str] = Counter()
    for number, name in enumerate(reversed(known)):
        try:
            record = load(root, name)
        except SaltbranchError:
            is_wanted = False
        else:
            kept[record.saltenv] += 1
            is_wanted = kept[record.saltenv] <= _MOST_OF_EACH or bool(record.untold)
        if number >= _MOST and not is_wanted:
            files.unlink(path_of(root, name))


def of_saltenv(root: str, saltenv: str) -> Iterator[Record]:
    """Its records, the newest first; those that cannot be read are passed over."""
    for name in reversed(names(root)):
        try:
            record = load(root, name)
        except SaltbranchError:
            continue
        if record.saltenv == saltenv:
            yield record


def last_of(root: str, saltenv: str) -> Record | None:
    """The newest record of a saltenv."""
    return next(of_saltenv(root, saltenv), None)


def superseded_by(root: str, record: Record) -> Record | None:
    """The newest apply of the same saltenv that came after `record` and may have changed minions."""
    newer = takewhile(lambda other: other.id > record.id, of_saltenv(root, record.saltenv))
    return next((other for other in newer if other.first.touched()), None)


def last_by_minion(records: Iterable[Record]) -> dict[str, tuple[str, Outcome, float]]:
    """The commit that each minion got last from here, what became of that, and when, in seconds since 1970.

    records: of one saltenv, the newest first. A minion for which a test run found nothing is where that commit wants
    it.
    """
    found: dict[str, tuple[str, Outcome, float]] = {}
    for record in records:
        when = record.ended or record.since
        for run in reversed(record.passes):
            for minion, outcome in run.outcomes.items():
                if outcome.state not in (PENDING, SKIPPED):
                    found.setdefault(minion, (run.commit, outcome, when))
        for minion, why in record.skipped.items():
            if why == NOTHING_CHANGES:
                found.setdefault(minion, (record.first.commit, Outcome(APPLIED), when))
    return found


def ask_to_end(root: str, name: str) -> None:
    """Let the process that runs this apply end after the batch under way. Raises OSError, UsageError."""
    files.write_atomic(f"{path_of(root, name)}.abort", "")


def is_to_end(root: str, name: str) -> bool:
    """Whether somebody asked for that."""
    return os.path.exists(f"{path_of(root, name)}.abort")


def forget_request(root: str, name: str) -> None:
    """It is done. Raises OSError."""
    files.unlink(f"{path_of(root, name)}.abort")
