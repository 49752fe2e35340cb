"""apply: what a saltenv serves is applied to its minions, in batches."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from saltbranch.actions.shared import apply_end, served_elsewhere
from saltbranch.actions.shared.apply_plan import looked_at
from saltbranch.actions.shared.applying import Running, Watching, shown, tell_bus
from saltbranch.actions.shared.caller import Caller
from saltbranch.actions.shared.taking_back import plan_back
from saltbranch.actions.status_applies import is_alive
from saltbranch.apply import bus_event, run_state
from saltbranch.apply.lease_holder import LeaseHolder
from saltbranch.apply.make_plan import ApplyPlan, make_plan
from saltbranch.apply.options import ASK, Options
from saltbranch.apply.outcome import APPLIED
from saltbranch.apply.run_state import (
    ABORTED,
    APPLY,
    DONE,
    OVER,
    ROLLBACK,
    STOPPED,
    UNDER_WAY,
    Pass,
    Record,
)
from saltbranch.base import files
from saltbranch.base.durations import iso
from saltbranch.base.errors import (
    EXIT_PARTIAL,
    EXIT_PENDING,
    Interrupted,
    LockedError,
    RefusedError,
)
from saltbranch.config.model import Saltenv
from saltbranch.git import identity
from saltbranch.journal import store as journal
from saltbranch.promote.promotion import named
from saltbranch.repository.workplace import Workplace
from saltbranch.salt_master.jobs import Jobs
from saltbranch.serve import leased
from saltbranch.verify.around import checks_digest
from saltbranch.verify.members import served_commit

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Applied:
    """What an apply did."""

    record: Record
    plan: ApplyPlan | None = None
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0; 20 where not all minions were applied to; 130 where a person ended it."""
        record = self.record
        if record.status == STOPPED and record.by_person:
            return Interrupted.exit_code
        ailing = self.plan.ailing if self.plan else ()
        if record.status != DONE or set(record.first.counts()) - {APPLIED} or ailing:
            return EXIT_PARTIAL
        return 0

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        before = self.plan.notes if self.plan else ()
        return {"version": 1, **shown(self.record), "notes": [*before, *self.notes]}


@dataclass(frozen=True, slots=True)
class ApplyPlanned:
    """Only the plan was asked for."""

    plan: ApplyPlan

    @property
    def exit_code(self) -> int:
        """Whether there is something to do."""
        return EXIT_PENDING if self.plan.minions else 0

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"version": 1, **self.plan.as_dict()}


@dataclass(frozen=True, slots=True)
class Aborted:
    """What was aborted. ends: its process lives, and ends after the batch under way."""

    record: Record
    ends: bool

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"version": 1, **shown(self.record), "ends": self.ends}


@dataclass(frozen=True, slots=True)
class Applies:
    """Records of applies, and whether the process of each lives."""

    rows: tuple[tuple[Record, bool], ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        rows = [{**shown(record), "lives": lives} for record, lives in self.rows]
        return {"version": 1, "applies": rows}


def apply(
    caller: Caller[ApplyPlan],
    saltenv: str,
    options: Options,
    watching: Watching,
    *,
    plan: bool = False,
) -> Applied | ApplyPlanned:
    """Plan, show, ask and apply; what a killed process left of the same is gone on with.

    Raises LockedError where another one applies the saltenv, SaltError, RefusedError, UsageError.
    """
    options.check()
    work = caller.open_mirror()
    found = named(work, saltenv)
    with Jobs(work.config.salt_config) as jobs:
        if plan:
            planned = _planned(work, found, jobs, options, watching)
            caller.show(work, planned, is_result=True)
            return ApplyPlanned(planned)
        with files.private_umask(), locked(work, found):
            killed = run_state.last_of(work.config.root, found.name)
            if killed:
                apply_end.finish(work.config, killed)
            if killed and killed.status == UNDER_WAY:
                return _go_on(caller, work, jobs, killed, watching)
            return _begin(caller, work, jobs, found, options=options, watching=watching)


def _begin(
    caller: Caller[ApplyPlan],
    work: Workplace,
    jobs: Jobs,
    saltenv: Saltenv,
    *,
    options: Options,
    watching: Watching,
) -> Applied:
    record = Record(
        id=journal.new_id(work.now),
        saltenv=saltenv.name,
        dirname=saltenv.dirname,
        by=identity.who(work.git),
        since=work.now,
        options=options.as_dict(),
        skipped={},
        passes=[],
        asked=work.asked.details(),
    )
    lease = lease_of(work, saltenv, record)
    lease.take()
    try:
        with lease.kept():
            planned = _planned(work, saltenv, jobs, options, watching)
            caller.show(work, planned, is_result=False)
            if planned.minions:
                caller.agree(f"apply {saltenv.name}")
        if planned.minions:
            lease.take(planned.commit)
    except BaseException:
        lease.drop()
        run_state.forget_request(work.config.root, record.id)
        raise
    if not planned.minions:
        lease.drop()
        record.passes.append(Pass(APPLY, planned.commit, [], {}))
        record.status = DONE
        return Applied(record, planned)
    record.skipped = dict(planned.skipped)
    record.checks = checks_digest(saltenv)
    record.stays = planned.stays.as_dict() if planned.stays else {}
    batches = [list(batch) for batch in planned.batches]
    record.passes.append(Pass(APPLY, planned.commit, batches, {}))
    run_state.save(work.config.root, record)
    run_state.forget_old(work.config.root)
    notes = Running(caller, work, jobs, record=record, lease=lease, watching=watching).run()
    return Applied(record, planned, tuple(notes))


def _planned(
    work: Workplace, saltenv: Saltenv, jobs: Jobs, options: Options, watching: Watching
) -> ApplyPlan:
    def tell(what: str, done: int, of: int) -> None:
        watching.tell({"event": what, "done": done, "of": of})

    found = make_plan(work.config, saltenv, jobs, options, tell=tell)
    found = replace(found, notes=served_elsewhere.notes(work, saltenv, found.commit))
    return looked_at(work, saltenv, found, lambda done, of: tell("preview", done, of))


def resume(
    caller: Caller[ApplyPlan], name: str, watching: Watching, *, back: bool = False
) -> Applied:
    """Go on with an apply that was killed or stopped. back: take it back instead. Raises what `apply` raises."""
    work = caller.open_mirror()
    record = run_state.load(work.config.root, name)
    saltenv = named(work, record.saltenv)
    with (
        Jobs(work.config.salt_config) as jobs,
        files.private_umask(),
        locked(work, saltenv),
    ):
        record = run_state.load(work.config.root, name)
        return _go_on(caller, work, jobs, record, watching, back=back)


def _go_on(
    caller: Caller[ApplyPlan],
    work: Workplace,
    jobs: Jobs,
    record: Record,
    watching: Watching,
    *,
    back: bool = False,
) -> Applied:
    """The caller holds the lock. back: take it back, after a person has agreed."""
    root = work.config.root
    apply_end.finish(work.config, record)
    apply_end.check_goes_on(root, record)
    saltenv = named(work, record.saltenv)
    lease = lease_of(work, saltenv, record)
    last = record.last
    try:
        if last.kind == APPLY:
            lease.take(last.commit)
        else:
            lease.move_to(last.commit)
    except RefusedError as err:
        raise RefusedError(
            f"apply {record.id} cannot go on: {err.message}",
            hint=f"saltbranch apply --abort {record.id}, then apply what is served now",
        ) from err
    if back and last.kind == APPLY:
        _agree_to_go_back(caller, work, record, lease, watching)
    run_state.forget_request(root, record.id)
    is_asked = record.options.get("on_failure") == ASK and watching.decide and not record.by_person
    if record.status == STOPPED and not is_asked:
        # A person has looked at them and goes on.
        last.forgiven = len(last.wrong())
    record.status, record.ended, record.by_person = UNDER_WAY, None, False
    record.why = record.why if record.last.kind == ROLLBACK else ""
    if record.checks != checks_digest(saltenv):
        record.checks = ""  # some minions are asked by others, also if these come back
    run_state.save(root, record)
    watching.tell({"event": "resume", "id": record.id, "since": iso(record.since)})
    notes = Running(caller, work, jobs, record=record, lease=lease, watching=watching).run()
    return Applied(record, None, tuple(notes))


def _agree_to_go_back(
    caller: Caller[ApplyPlan],
    work: Workplace,
    record: Record,
    lease: LeaseHolder,
    watching: Watching,
) -> None:
    """Show what a rollback does not undo, and ask. Raises RefusedError: then nothing has changed."""

    def tell(done: int, of: int) -> None:
        watching.tell({"event": "preview", "done": done, "of": of})

    try:
        with lease.kept():
            record.why = record.why or "it was killed, and is taken back"
            stays = plan_back(work, record, tell=tell)
            watching.tell({"event": "stays", **stays.as_dict()})
            caller.agree(f"roll {record.saltenv} back to {stays.former[:12]}")
        said = f"{iso(time.time())} {identity.who(work.git)}: {ROLLBACK}: {record.why}"
        record.decided.append(said)
    except BaseException:
        if record.status == STOPPED:
            lease.drop()
        raise


def abort(caller: Caller[ApplyPlan], name: str) -> Aborted:
    """End an apply for good; one whose process lives ends after the batch under way.

    Raises UsageError, RefusedError.
    """
    work = caller.open_mirror()
    root = work.config.root
    record = _planning(work, name) or run_state.load(root, name)
    apply_end.finish_in_passing(work.config, record)
    if record.status in OVER:
        raise RefusedError(f"apply {name} is {record.status} already")
    saltenv = named(work, record.saltenv)
    with files.private_umask():
        try:
            with locked(work, saltenv):
                if planning := _planning(work, name):
                    record = planning
                else:
                    record = run_state.load(root, name)
                newest = run_state.last_of(root, record.saltenv)
                if not planning:
                    apply_end.finish(work.config, record)
                record.status, record.by_person = ABORTED, True
                apply_end.end(work.config, record, time.time())
                if not planning:
                    run_state.save(root, record)
                if planning or (newest and newest.id == name):
                    lease_of(work, saltenv, record).drop()
                if not planning:
                    apply_end.tell(work.config, record)
                    with Jobs(work.config.salt_config) as jobs:
                        tell_bus(jobs, record, bus_event.END)
                return Aborted(record, ends=False)
        except LockedError:
            run_state.ask_to_end(root, name)
            return Aborted(record, ends=True)


def _planning(work: Workplace, name: str) -> Record | None:
    """An apply that planned when it was heard of last: it holds its saltenv, and has no record yet."""
    if name in run_state.names(work.config.root):
        return None
    for saltenv in work.config.saltenvs:
        lease = leased.read(work.config.root, saltenv.dirname, time.time())
        if lease and lease.apply == name:
            return Record(
                id=name,
                saltenv=saltenv.name,
                dirname=saltenv.dirname,
                by=lease.by,
                since=lease.since,
                options={},
                skipped={},
                passes=[Pass(APPLY, lease.commit, [], {})],
            )
    return None


def status(caller: Caller[ApplyPlan], saltenv: str | None = None) -> Applies:
    """The last apply of each saltenv, or of the one named. Raises UsageError."""
    work = caller.open_mirror()
    chosen = [named(work, saltenv)] if saltenv else list(work.config.saltenvs)
    found = []
    for one in chosen:
        record = run_state.last_of(work.config.root, one.name)
        if record:
            apply_end.finish_in_passing(work.config, record)
            found.append((record, is_alive(work.config.root, one.dirname)))
    return Applies(tuple(found))


@contextmanager
def locked(work: Workplace, saltenv: Saltenv) -> Iterator[None]:
    """Nobody else applies it on this master. Raises LockedError, which says who does and since when."""
    root = work.config.root
    path = run_state.lock_path(root, saltenv.dirname)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    lock = files.Lock(path, wait=1)  # `status` holds it for a moment, too
    try:
        lock.__enter__()
    except LockedError as err:
        other = run_state.last_of(root, saltenv.name)
        who = "another saltbranch is about to apply it"
        hint = "look again in a moment: saltbranch apply --status"
        if other and other.status == UNDER_WAY:
            who = f"apply {other.id} of {other.by} runs since {iso(other.since)}"
            hint = f"saltbranch apply --status shows it, --abort {other.id} ends it"
        raise LockedError(f"{saltenv.name} is being applied: {who}", hint=hint) from err
    try:
        yield
    finally:
        lock.__exit__()


def lease_of(work: Workplace, saltenv: Saltenv, record: Record) -> LeaseHolder:
    """The lease of that apply, not taken yet."""
    return LeaseHolder(
        root=work.config.root,
        dirname=saltenv.dirname,
        served=lambda: served_commit(work.config, saltenv),
        apply=record.id,
        by=record.by,
        since=record.since,
    )
