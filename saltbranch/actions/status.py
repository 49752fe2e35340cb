"""status: what every saltenv serves, what waits for it, and how the last sync went."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

from saltbranch.actions.lab_status import LabStatus, described, labs_of
from saltbranch.actions.shared.caller import Opener
from saltbranch.actions.status_applies import applied, not_over, owned, records_of, signed_by, waits
from saltbranch.apply.run_state import Record
from saltbranch.base.errors import GitError, SaltbranchError
from saltbranch.base.text import printable
from saltbranch.config import minions as targets
from saltbranch.config.model import Config, Saltenv
from saltbranch.git import describe as commit_info
from saltbranch.git.describe import CommitInfo
from saltbranch.git.mirror import Mirror, Refs
from saltbranch.journal import accepted, pending_holds
from saltbranch.journal import state as journal_state
from saltbranch.notify.backlog import Backlog, backlog
from saltbranch.promote import waiting as outlook
from saltbranch.promote.waiting import Outlook
from saltbranch.repository import clone_or_mirror, decision, prepared, workplace
from saltbranch.repository.decision import Choice, Choices
from saltbranch.repository.machine import load_config
from saltbranch.repository.promotions_due import shown as waiting_by_itself
from saltbranch.repository.root import root_of
from saltbranch.repository.served_commit import Why
from saltbranch.salt_master import options as master_options
from saltbranch.salt_master import process
from saltbranch.serve import decide, prepare, refused, report, verify
from saltbranch.serve.slots import Slots

State = Literal["absent", "missing", "in_sync", "drift", "behind", "diverged", "unread"]


@dataclass(frozen=True, slots=True)
class SaltenvStatus:
    """One saltenv. Counts are of commits, merges aside; None where it cannot be told.

    state: in_sync, behind (the remote has more), diverged (the branch was rewritten), missing (the
    remote has no such branch, or no tag that is followed), unread (its branch cannot be read) or absent (nothing
    is served yet); drift: a hold asks for another commit than the one that is served. remote_ahead: commits on the
    branch beyond the served one. waiting: commits of the saltenv before it that it lacks. lacking: its commits that
    the saltenv before it lacks, a hotfix for example. minions: accepted keys that it claims.
    why: what decides which commit it is to serve: branch, tag, hold or nothing; wanted: that commit. hold: as the
    journal has it, `pending` while only this master knows of it. drift: served is not wanted. problem: what a
    person must look at. debts: hotfixes that its branch lacks. next: whether the next promotion to it may go on, and
    what its gates say; trouble: why that cannot be told. proposed: promotions to it that wait as branches.
    verified: what came of rendering the top files of what it serves, or is to serve, as far as that was done.
    pushed: what was pushed to its branch by hand since the last promotion, with a line that `told` it.
    refused: why the last sync did not serve `wanted`, as it said it; None where it did, or none has seen it yet.
    waits: since when the switch to `wanted` is put off by state runs, until when a sync waits for them, what it does
    `then`, and the `runs`; None where it is not. auto: of a saltenv with `auto_promote`, what its promotion waits for.
    applied: which commit its minions run, as far as this master applied it; apply: that which is not over.
    signed_by: who signed what came with the served commit, where `require_signed` asks for that.
    """

    saltenv: str
    branch: str
    promote_from: str | None
    protected: bool
    state: State
    served: CommitInfo | None
    served_since: int | None
    head: str | None
    remote_ahead: int | None
    waiting: int | None
    lacking: int | None
    minions: int
    checkout: str
    why: Why
    wanted: str | None
    tag: str | None
    hold: dict[str, object] | None
    drift: bool
    problem: str | None
    debts: tuple[dict[str, object], ...] = ()
    next: dict[str, object] | None = None
    trouble: str | None = None
    proposed: tuple[dict[str, object], ...] = ()
    verified: dict[str, object] | None = None
    pushed: dict[str, object] | None = None
    refused: str | None = None
    waits: dict[str, object] | None = None
    auto: dict[str, object] | None = None
    applied: dict[str, object] | None = None
    apply: dict[str, object] | None = None
    signed_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """All saltenvs, and the last sync. Times are seconds since 1970.

    last_good_sync: when the remote was last read and served. failure: what went wrong since.
    model: which model decided. problems: of the journal, and of clocks. unreported: whether this master has something
    to tell that was not published yet. unread: what of the remote the last sync could not read, full ref to reason.
    notifications: what people and hooks are still to be told. labs: those of this master.
    """

    config: str
    model: dict[str, object]
    remote: str
    saltenvs: tuple[SaltenvStatus, ...]
    last_good_sync: float | None
    failure: str | None
    restart_needed: str | None
    unclaimed: tuple[str, ...]
    claimed_twice: tuple[str, ...]
    problems: tuple[str, ...]
    unreported: bool
    unread: dict[str, str]
    notifications: Backlog
    labs: tuple[LabStatus, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        return {"version": 1, **asdict(self)}


@dataclass(frozen=True, slots=True)
class CloneStatus:
    """A clone, where nothing is served: what the remote and the journal say.

    model: which model decided. foreign: why the remote was not read, empty where it was or need not be.
    unread: what of the remote could not be read, full ref to reason. problems: as in `Status`.
    """

    model: dict[str, object]
    remote: str
    saltenvs: tuple[Outlook, ...]
    foreign: str
    unread: dict[str, str]
    problems: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        rows = [row.as_dict() for row in self.saltenvs]
        more = {"unread": self.unread, "problems": self.problems}
        return {"version": 1, "model": self.model, "saltenvs": rows, **more}


def tell(opener: Opener, config: str | None, *, fetch: bool = True) -> Status | CloneStatus:
    """Of the clone one stands in, the remote read by `opener` first unless `fetch` is False, or of the machine.

    config: --config. Raises SaltbranchError.
    """
    place = clone_or_mirror.find(config)
    if not place.clone:
        return status(place.path)
    work = opener.open(fetch=fetch)
    known = work.repo.place.foreign if work.repo.place and work.repo.is_foreign else ""
    return CloneStatus(
        model=work.config.source.as_dict(),
        remote=work.config.remote,
        saltenvs=outlook.outlook(work),
        foreign=known,
        unread=work.repo.unread,
        problems=tuple(work.problems),
    )


def status(config_path: str) -> Status:
    """What the mirror and the checkouts say; the network is not touched.

    Raises ConfigError, SaltError, GitError.
    """
    root = root_of(config_path)
    mirror = Mirror(root)
    refs = mirror.refs(tags=True) if mirror.exists() else Refs()
    config = load_config(config_path, mirror, refs.branches)
    master = master_options.read(config.salt_config)
    groups = config.groups
    minions = master.accepted_minions()
    claims = {m: targets.claimed_by(m, groups, master.nodegroups) for m in minions}
    own = owned(claims)
    served = prepared.load_served(root)
    found, holds, pushed, clock = _wanted(root, mirror, refs, config, served)
    rows = tuple(
        _saltenv(
            config,
            mirror,
            refs.branches,
            served,
            s,
            minions=len(own.get(s.name, ())),
            found=found,
            holds=holds,
        )
        for s in config.saltenvs
    )
    records = records_of(config)
    outlooks = {o.saltenv: o for o in _outlook(config_path)}
    rows = tuple(_with_outlook(row, outlooks.get(row.saltenv)) for row in rows)
    rows = tuple(_with_refusal(root, _with_verdict(root, row)) for row in rows)
    auto = waiting_by_itself(config)
    rows = tuple(replace(r, pushed=pushed.get(r.saltenv), auto=auto.get(r.saltenv)) for r in rows)
    rows = tuple(_with_runs(config, row, own, records) for row in rows)
    unread = prepared.load_unread(root)
    rows = tuple(_unread(row, unread.get(f"refs/heads/{row.branch}")) for row in rows)
    return Status(
        config=config.path,
        model=config.source.as_dict(),
        remote=prepare.shown_remote(config),
        saltenvs=rows,
        last_good_sync=_mtime_or_none(f"{root}/state/seen"),
        failure=prepare.last_failure(config),
        restart_needed=process.restart_reason(master.pidfile, config.master_config),
        unclaimed=tuple(m for m, c in claims.items() if not c),
        claimed_twice=tuple(m for m, c in claims.items() if len(c) > 1),
        problems=tuple(text for text in (found.problem, clock) if text),
        unreported=os.path.exists(report.path(root)),
        unread=unread,
        labs=_labs(config_path) if config.labs else (),
        notifications=backlog(root),
    )


def _labs(config_path: str) -> tuple[LabStatus, ...]:
    try:
        return labs_of(workplace.open_mirror(config_path))
    except SaltbranchError:
        return ()  # a damaged mirror: what is served can be told all the same


def _outlook(config_path: str) -> Sequence[Outlook]:
    try:
        return outlook.outlook(workplace.open_mirror(config_path))
    except SaltbranchError:
        return ()  # a damaged mirror: what is served can be told all the same


def _with_outlook(row: SaltenvStatus, found: Outlook | None) -> SaltenvStatus:
    if found is None:
        return row
    following = found.next.as_dict() if found.next else None
    debts = tuple(d.as_dict() for d in found.debts)
    waiting = tuple(p.as_dict() for p in found.proposed)
    return replace(
        row, debts=debts, next=following, trouble=found.trouble or None, proposed=waiting
    )


def _with_verdict(root: str, row: SaltenvStatus) -> SaltenvStatus:
    """`row` with what is known of the top files of the commit that it serves, or of the one that was refused."""
    served = row.served.commit if row.served else None
    found = verify.about(root, row.saltenv, served, row.wanted)
    if found is None or (found.commit != served and found.outcome != verify.REFUSED):
        return row
    told, is_refused = found.told(), found.commit != served
    if is_refused and row.problem is None:
        row = replace(row, problem=f"refused: {told} ({found.hint()})")
    return replace(row, verified=found.as_dict() | {"told": told or None, "refused": is_refused})


def _with_refusal(root: str, row: SaltenvStatus) -> SaltenvStatus:
    """`row` with why a sync did not serve the commit that it is to serve: one more sync would say the same."""
    if not row.drift or not row.wanted:
        return row
    try:
        why = refused.why(root, row.saltenv, row.wanted)
    except OSError:
        return row
    if why is None:
        return row
    return replace(row, refused=why, problem=row.problem or f"refused: {why}")


def _with_runs(
    config: Config,
    row: SaltenvStatus,
    own: Mapping[str, set[str]],
    records: Mapping[str, list[Record]],
) -> SaltenvStatus:
    """`row` with what was applied, the apply that is not over, the state runs that its switch waits for, who signed."""
    root, mine = config.root, records.get(row.saltenv, [])
    waiting = waits(root, row.saltenv, row.served.commit) if row.drift and row.served else None
    saltenv = config.saltenv(row.saltenv)
    row = replace(row, waits=waiting, signed_by=signed_by(root, saltenv, row.served))
    over, last = not_over(root, saltenv, mine, now()), applied(mine, own.get(row.saltenv, ()))
    return replace(row, applied=last, apply=over)


def _unread(row: SaltenvStatus, why: str | None) -> SaltenvStatus:
    """`row`, where its branch could not be read: what it has now is not known."""
    if why is None or row.why == decision.BY_HOLD:
        return row
    state = row.state if row.state == "absent" else "unread"
    return replace(row, state=state, problem=row.problem or why, next=None)


def _wanted(
    root: str,
    mirror: Mirror,
    refs: Refs,
    config: Config,
    served: dict[str, prepared.Served],
) -> tuple[Choices, dict[str, dict[str, object]], dict[str, dict[str, object]], str]:
    """What each saltenv is to serve, the holds that count now, what was pushed by hand, what is wrong with a clock."""
    saltenvs = prepare.served_saltenvs(config)
    if not decision.sources(root, refs, saltenvs) or not mirror.exists():
        return Choices(), {}, {}, ""
    facts = prepare.last_facts(config, mirror, refs, served, now=now())
    found = decide.choose(facts)
    state = accepted.state_of(root, mirror.git, refs)
    journal_state.replay(decide.pushes_of(found), state)
    pushed = decide.open_pushes(facts, found)
    pending = [event.id for event in pending_holds.load(root)]
    holds = {}
    for saltenv in saltenvs:
        hold = state.hold(saltenv.name, now())
        if hold:
            texts = {"reason": printable(hold.reason), "by": printable(hold.by)}
            holds[saltenv.name] = hold.as_dict() | texts | {"pending": hold.event in pending}
    said = {
        name: push.as_dict() | {"told": printable(push.told())} for name, push in pushed.items()
    }
    return found, holds, said, state.clock_problem(now())


def _saltenv(
    config: Config,
    mirror: Mirror,
    branches: dict[str, str],
    served: dict[str, prepared.Served],
    saltenv: Saltenv,
    *,
    minions: int,
    found: Choices,
    holds: dict[str, dict[str, object]],
) -> SaltenvStatus:
    slots = Slots(config.root, saltenv.dirname, mirror)
    slot = slots.served()
    commit = slots.head(slot) if slot else None
    head = branches.get(saltenv.branch)
    before = config.saltenv(saltenv.promote_from) if saltenv.promote_from else None
    source = branches.get(before.branch) if before else None
    record = served.get(saltenv.dirname)
    choice = found.by_saltenv.get(saltenv.name, decision.OF_BRANCH)
    wanted = choice.commit_at(head)
    return SaltenvStatus(
        saltenv=saltenv.name,
        branch=saltenv.branch,
        promote_from=saltenv.promote_from,
        protected=saltenv.protected,
        state=_state(mirror, commit, wanted, choice),
        served=described(mirror.path, commit),
        served_since=record.since if record and record.commit == commit else None,
        head=head,
        remote_ahead=_count_or_none(mirror, commit, head),
        waiting=_count_or_none(mirror, head, source),
        lacking=_count_or_none(mirror, source, head),
        minions=minions,
        checkout=config.checkout(saltenv),
        why=decision.BY_NOTHING if wanted is None else choice.why,
        wanted=wanted,
        tag=choice.tag or None,
        hold=holds.get(saltenv.name),
        drift=wanted is not None and commit != wanted,
        problem=choice.message or None,
    )


def _state(mirror: Mirror, commit: str | None, head: str | None, choice: Choice) -> State:
    if commit is None:
        return "absent"
    if head is None:
        return "missing"
    if commit == head:
        return "in_sync"
    if choice.why == decision.BY_HOLD:
        return "drift"
    try:
        return "behind" if mirror.git.is_ancestor(commit, head) else "diverged"
    except GitError:
        return "diverged"


def _count_or_none(mirror: Mirror, since: str | None, until: str | None) -> int | None:
    try:
        return commit_info.count(mirror.git, since, until) if since and until else None
    except GitError:
        return None


def _mtime_or_none(path: str) -> float | None:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return None


def now() -> float:
    """The clock, in seconds since 1970."""
    return time.time()
