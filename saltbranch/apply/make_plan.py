"""What an apply would do: which commit, on which minions, in which batches, and what changes there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from saltbranch.apply.batches import batches_of
from saltbranch.apply.deviations import Deviations
from saltbranch.apply.follow import Follower
from saltbranch.apply.groups import Group, grouped
from saltbranch.apply.options import CHANGED, Options
from saltbranch.apply.outcome import NOTHING_CHANGES, Run, look
from saltbranch.apply.stays import Stays
from saltbranch.config.model import Config, Saltenv
from saltbranch.salt_master.jobs import Jobs, Return
from saltbranch.serve.lab_minions import OWN
from saltbranch.verify.around import Around
from saltbranch.verify.members import members, served_commit


@dataclass(frozen=True, slots=True)
class ApplyPlan:
    """What would be done. commit: that the saltenv serves. runs: what a test run found, by minion.

    skipped: minions of the saltenv that are left out, and why. ailing: those of them that somebody should look at.
    notes: what else is to be known before. around: what runs with each batch. preview: where the test runs differ from
    it. stays: what a rollback would not undo; no_way_back: why there is none. The last three only where somebody looked
    for them.
    """

    saltenv: str
    commit: str
    batches: tuple[tuple[str, ...], ...]
    skipped: Mapping[str, str]
    ailing: tuple[str, ...]
    groups: tuple[Group, ...]
    unchanged: tuple[str, ...]
    options: Options
    at: float
    notes: tuple[str, ...] = ()
    runs: Mapping[str, Run] = field(default_factory=dict)
    around: Around = Around()
    preview: Deviations | None = None
    stays: Stays | None = None
    no_way_back: str = ""

    @property
    def minions(self) -> tuple[str, ...]:
        """All that it is applied to."""
        return tuple(minion for batch in self.batches for minion in batch)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "saltenv": self.saltenv,
            "commit": self.commit,
            "batches": [list(batch) for batch in self.batches],
            "skipped": dict(self.skipped),
            "groups": [group.as_dict() for group in self.groups],
            "unchanged": list(self.unchanged),
            "options": self.options.as_dict(),
            "notes": list(self.notes),
            "around": self.around.as_dict(),
            "preview": self.preview.as_dict() if self.preview else None,
            "stays": self.stays.as_dict() if self.stays else None,
            "no_way_back": self.no_way_back or None,
        }


def make_plan(
    config: Config,
    saltenv: Saltenv,
    jobs: Jobs,
    options: Options,
    *,
    tell: Callable[[str, int, int], None] = lambda what, done, of: None,
) -> ApplyPlan:
    """Ask the minions, and let each test its states. tell: how far it is. Nothing is changed.

    Raises SaltError, RefusedError, UsageError.
    """
    options.check()
    commit = served_commit(config, saltenv)
    own, skipped = members(config, saltenv, jobs.accepted())
    ailing = [m for m, why in skipped.items() if why.endswith("claim it")]
    up, down = _up(jobs, saltenv.name, own)
    skipped |= down
    runs, lost = _tested(jobs, up, options, tell)
    skipped |= lost
    ailing += [*down, *lost]
    unchanged = [m for m, run in runs.items() if not (run.changes or run.problem or run.failed)]
    wanted = sorted(runs)
    if options.only == CHANGED:
        skipped |= dict.fromkeys(unchanged, NOTHING_CHANGES)
        wanted = sorted(set(runs) - set(unchanged))
    return ApplyPlan(
        saltenv=saltenv.name,
        commit=commit,
        batches=batches_of(wanted, options.size, options.canary),
        skipped=dict(sorted(skipped.items())),
        ailing=tuple(sorted(ailing)),
        groups=grouped(runs),
        unchanged=tuple(sorted(unchanged)),
        options=options,
        at=time.time(),
        runs=runs,
    )


def _up(jobs: Jobs, saltenv: str, minions: list[str]) -> tuple[list[str], dict[str, str]]:
    """Those of `minions` that answer and have no other saltenv of their own, and why the others are left out."""
    # Its own configuration decides which saltenv state.apply takes, and it is only asked for that.
    # A grain of that name pins nothing.
    answers = jobs.run_and_wait(minions, "config.get", ["saltenv"], OWN, timeout=jobs.patience)
    out = {}
    for minion, answer in answers.items():
        pinned = answer.value if answer else None
        if answer is None:
            out[minion] = "down"
        elif isinstance(pinned, str) and pinned not in ("", saltenv) and not answer.retcode:
            out[minion] = f"its own configuration has the saltenv {pinned[:100]}"
    return [m for m in minions if m not in out], out


def _tested(
    jobs: Jobs, minions: list[str], options: Options, tell: Callable[[str, int, int], None]
) -> tuple[dict[str, Run], dict[str, str]]:
    """What test runs found, and why the others have none."""
    runs: dict[str, Run] = {}

    def taken(returned: Return, _jid: str) -> None:
        runs[returned.minion] = look(returned)
        tell("test", len(runs), len(minions))

    tell("test", 0, len(minions))
    follower = Follower(jobs, {"test": True}, timeout=options.seconds)
    lost = follower.run(minions, taken, under_way={})
    return runs, {minion: f"its test run: {outcome.reason}" for minion, outcome in lost.items()}
