"""What ``apply`` and its relatives write with ``--json``."""

from __future__ import annotations

from typing import Literal, TypedDict

from saltbranch.apply.outcome import State
from saltbranch.apply.run_state import Status
from saltbranch.cli.json_shapes.events import Who
from saltbranch.cli.json_shapes.parts import Commit, Time, Version
from saltbranch.cli.json_shapes.promoting import Stays

Kind = Literal["apply", "rollback"]


class Outcome(TypedDict):
    """What became of a minion. changed: how many of its `states` changed something. jid: empty without a job."""

    state: State
    reason: str
    changed: int
    states: int
    jid: str


class Pass(TypedDict):
    """All batches with one commit. done: how many batches are over."""

    kind: Kind
    commit: Commit
    batches: list[list[str]]
    done: int
    counts: dict[State, int]
    minions: dict[str, Outcome]


class Record(Who):
    """An apply. since, ended: when. why: it stopped. skipped: minion to why it is left out.

    decided: what persons wanted where it had stopped. stays: what the rollback did not undo.
    """

    id: str
    saltenv: str
    commit: Commit
    since: Time
    ended: Time | None
    status: Status
    why: str | None
    skipped: dict[str, str]
    decided: list[str]
    stays: Stays | None
    passes: list[Pass]


class Applied(Record):
    """What the runner ``saltbranch.apply`` returns."""

    version: Version
    notes: list[str]


class Aborted(Record):
    """``apply --abort --json``; ends: it runs, and ends after the batch under way."""

    version: Version
    ends: bool


class Row(Record):
    """One of ``apply --status``; lives: its process does."""

    lives: bool


class Applies(TypedDict):
    """``apply --status --json``."""

    version: Version
    applies: list[Row]


class Change(TypedDict):
    """A state that a test run would change."""

    sls: str
    id: str
    function: str


class Group(TypedDict):
    """Minions with equal changes."""

    minions: list[str]
    changes: list[Change]
    problems: list[str]


class Deviation(TypedDict):
    """Minions whose test run differs from the preview.

    more: what would change there though the commit changes nothing about it; each_time: such states that a test run
    always announces. fewer: what the commit changes, and the test run does not.
    """

    minions: list[str]
    more: list[Change]
    each_time: list[Change]
    fewer: list[Change]


class Deviations(TypedDict):
    """compared: how many minions were. unknown: minion to why it was not."""

    compared: int
    deviations: list[Deviation]
    unknown: dict[str, str]


class Around(TypedDict):
    """What runs with each batch. problems: why some of it cannot run here."""

    before_batch: list[str]
    verify: list[str]
    after_batch: list[str]
    problems: list[str]


class Plan(TypedDict):
    """``salt-run saltbranch.apply plan=True``. notes: what else is to be known before.

    preview: null where nothing was compared. stays: what a rollback would not undo, where it would follow a failure;
    no_way_back: why there would be none.
    """

    version: Version
    saltenv: str
    commit: Commit
    batches: list[list[str]]
    skipped: dict[str, str]
    groups: list[Group]
    unchanged: list[str]
    options: dict[str, str]
    notes: list[str]
    around: Around
    preview: Deviations | None
    stays: Stays | None
    no_way_back: str | None


class PlanEvent(Plan):
    """The first line, unless an apply is gone on with."""

    event: Literal["plan"]


class TestEvent(TypedDict):
    """So many minions have tested their states."""

    event: Literal["test"]
    done: int
    of: int


class PreviewEvent(TypedDict):
    """So many compiles of the preview are done."""

    event: Literal["preview"]
    done: int
    of: int


class ResumeEvent(TypedDict):
    """It goes on with the apply `id`."""

    event: Literal["resume"]
    id: str
    since: Time


_OfPass = TypedDict("_OfPass", {"pass": Kind})


class BeginEvent(_OfPass):
    """The batches of a pass begin; done: minions that are through already, of `total`."""

    event: Literal["begin"]
    done: list[str]
    total: int


class BatchEvent(_OfPass):
    """A batch begins, `number` from 1 on."""

    event: Literal["batch"]
    number: int
    of: int
    minions: list[str]


class MinionEvent(_OfPass, Outcome):
    """What became of a minion; told again where that changes, as when it does not pass verify."""

    event: Literal["minion"]
    minion: str


class AskEvent(TypedDict):
    """A person is asked whether it goes on after this batch."""

    event: Literal["ask"]
    number: int
    of: int


class PauseEvent(TypedDict):
    """It waits so long."""

    event: Literal["pause"]
    seconds: float


class TroubleEvent(TypedDict):
    """A person is asked how it goes on. number: of the batch; touched: how many minions may have got something."""

    event: Literal["trouble"]
    why: str
    number: int
    of: int
    step: str | None
    batch: list[str]
    failed: dict[str, Outcome]
    counts: dict[State, int]
    touched: int
    stays: Stays | None
    no_way_back: str | None
    choices: list[str]


class DecidedEvent(TypedDict):
    """What a person wants then."""

    event: Literal["decided"]
    choice: str
    by: str


class StaysEvent(Stays):
    """Told before a person agrees to a rollback."""

    event: Literal["stays"]


class RollbackEvent(TypedDict):
    """It goes back to `commit`."""

    event: Literal["rollback"]
    commit: Commit
    why: str
    stays: Stays | None


class JobEvent(TypedDict):
    """A job is about to be published."""

    event: Literal["job"]
    jid: str
    minions: list[str]


class EndEvent(Record):
    """The last line."""

    event: Literal["end"]


class Why(TypedDict):
    """Why a verb failed."""

    message: str
    hint: str | None
    exit_code: int


class Failure(TypedDict):
    """The last line where it failed otherwise."""

    version: Version
    error: Why


STREAM = (
    PlanEvent, TestEvent, PreviewEvent, ResumeEvent, BeginEvent, BatchEvent, JobEvent, MinionEvent, AskEvent,
    PauseEvent, TroubleEvent, DecidedEvent, StaysEvent, RollbackEvent, EndEvent, Failure,
)  # fmt: skip
"""A line of ``apply --json`` is one of these."""
