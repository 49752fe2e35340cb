"""verify: run the checks of a saltenv on its servers, and record what came of it with the commit that is served."""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from saltbranch.actions.shared import recording
from saltbranch.base.asked_by import NOBODY, Asked
from saltbranch.base.errors import (
    EXIT_PENDING,
    Interrupted,
    RefusedError,
    SaltbranchError,
    UsageError,
)
from saltbranch.base.text import some
from saltbranch.config.model import Saltenv
from saltbranch.config.verify import Check, ProgramCheck
from saltbranch.notify import gather, start
from saltbranch.promote.promotion import named
from saltbranch.repository.workplace import Workplace, open_machine
from saltbranch.salt_master.jobs import Jobs
from saltbranch.verify import bus_event, record
from saltbranch.verify.members import members, served_commit
from saltbranch.verify.run import Say, Subject, Verified, run

Fire = Callable[[str, str, dict[str, object]], str]
"""Fires an event: the master's configuration file, the tag, the data; why that failed."""


@dataclass(frozen=True, slots=True)
class VerifyPlan:
    """What would be run, on which minions. elsewhere: minions of the saltenv that it lacks now, and why.

    notes: what will fail. complete: all minions that it has.
    """

    saltenv: str
    commit: str
    checks: tuple[Check, ...]
    minions: tuple[str, ...]
    elsewhere: dict[str, str]
    complete: bool
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """There is something to do."""
        return EXIT_PENDING

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        return {
            "version": 1,
            "plan": True,
            "saltenv": self.saltenv,
            "commit": self.commit,
            "checks": [{"check": c.name, "on": c.on} for c in self.checks],
            "minions": list(self.minions),
            "elsewhere": self.elsewhere,
            "complete": self.complete,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """What came of it. id: of the journal's entry, empty where `problem` or `note` says why there is none."""

    plan: VerifyPlan
    found: Verified
    id: str
    problem: str
    note: str

    @property
    def exit_code(self) -> int:
        """0 where all passed and what was to be recorded is."""
        return 0 if self.found.passed and not self.problem else SaltbranchError.exit_code

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        return {
            "version": 1,
            "plan": False,
            "saltenv": self.plan.saltenv,
            "commit": self.plan.commit,
            "passed": self.found.passed,
            "complete": self.plan.complete,
            "minions": list(self.plan.minions),
            "elsewhere": self.plan.elsewhere,
            "results": [row.as_dict() for row in self.found.rows],
            "id": self.id or None,
            "problems": [self.problem] if self.problem else [],
            "notes": [self.note] if self.note else [],
        }


def verify(
    config_path: str,
    saltenv: str,
    *,
    minions: Sequence[str] = (),
    plan: bool = False,
    say: Say | None = None,
    fire: Fire = bus_event.tell,
    asked: Asked = NOBODY,
) -> VerifyPlan | VerifyResult:
    """Run the checks of the production model on minions of `saltenv`, as this master serves it.

    minions: globs of ids, all when empty. plan: only say what would be run. say: told of each check. asked: who wants
    it. Raises SaltbranchError: UsageError, RefusedError, SaltError where the master cannot be asked.
    """
    work = open_machine(config_path, fetch=False)
    work.asked = asked
    found = named(work, saltenv)
    if not found.verify:
        raise RefusedError(
            f"{found.name} has no checks: there is no saltenvs.{found.name}.verify in"
            f" {work.config.source.shown()}",
            hint="promote a model that has some: docs/reference/verify.md",
        )
    with Jobs(work.config.salt_config) as jobs:
        what = _plan(work, found, jobs.accepted(), minions)
        if plan:
            return what
        subject = Subject(
            what.saltenv,
            what.commit,
            what.minions,
            programs=frozenset(work.config.programs),
            why_not=work.programs.why_not,
        )
        begin = time.monotonic()
        done = run(jobs, what.checks, subject, say=say)
        seconds = time.monotonic() - begin
    if served_commit(work.config, found) != what.commit:
        raise RefusedError(
            f"{found.name} was switched from {what.commit[:12]} meanwhile, so nothing is proven of either commit",
            hint=f"run it again: saltbranch verify {found.name}",
        )
    return _recorded(work, what, done, fire, seconds=seconds)


def _plan(
    work: Workplace, saltenv: Saltenv, accepted: Sequence[str], globs: Sequence[str]
) -> VerifyPlan:
    own, others = members(work.config, saltenv, accepted)
    if not own:
        raise RefusedError(
            f"{saltenv.name} has no minions with accepted keys now",
            hint="salt-key -L; saltbranch status",
        )
    chosen = own
    if globs:
        strange = [g for g in globs if not fnmatch.filter(own, g)]
        if strange:
            raise UsageError(
                f"--minions: {some(strange)}: no minion of {saltenv.name} is meant",
                hint=f"it has {some(own)}",
            )
        chosen = [m for m in own if any(fnmatch.fnmatchcase(m, g) for g in globs)]
    notes = [
        work.programs.why_not(check.argv)
        for check in saltenv.verify
        if isinstance(check, ProgramCheck) and check.argv not in work.config.programs
    ]
    return VerifyPlan(
        saltenv=saltenv.name,
        commit=served_commit(work.config, saltenv),
        checks=saltenv.verify,
        minions=tuple(chosen),
        elsewhere=others,
        complete=chosen == own,
        notes=tuple(notes),
    )


def _recorded(
    work: Workplace, what: VerifyPlan, done: Verified, fire: Fire, *, seconds: float
) -> VerifyResult:
    """Record it where this master records, and tell the bus."""
    entry = record.record_of(
        work, what.saltenv, what.commit, done, complete=what.complete, seconds=seconds
    )
    problem = note = ""
    if work.config.record_syncs:
        try:
            work.refresh()
            recording.record(work, lambda: entry, entry)
        except Interrupted:
            raise
        except SaltbranchError as err:
            problem = f"not recorded: {err.message}"
    else:
        gather.tell_here(work.config.root, entry.event)
        start.start_if_wanted(work.config.root, work.config.path)
        note = (
            "not recorded, so the gate verified does not know of it: record_syncs is not set in"
            f" {work.config_path}"
        )
    is_known = not problem and not note
    data = bus_event.data(entry.event, recorded=is_known)
    untold = fire(work.config.salt_config, bus_event.tag(what.saltenv), data)
    return VerifyResult(
        plan=what,
        found=done,
        id=entry.event.id if is_known else "",
        problem=problem,
        note="; ".join(filter(None, (note, untold))),
    )
