"""Make what every saltenv serves equal to what it is to serve. Imported by every sync, as actions/sync.py says."""

from __future__ import annotations

import os
import time

from saltbranch import files, prepared
from saltbranch.actions.outcome import (
    FAILED,
    FIRST,
    MISSING,
    REFUSED,
    REPAIRED,
    SWITCHED,
    SaltenvResult,
    SyncResult,
)
from saltbranch.errors import GitError, UsageError
from saltbranch.mirror import JOURNAL_REF
from saltbranch.serve import decision, decision_cache
from saltbranch.serve.run import Job
from saltbranch.slots import Slots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from saltbranch.prepared import Prepared, ServedSaltenv
    from saltbranch.serve.decision import Choice
    from saltbranch.serve.run import Notify, Run

PROBLEMS = (FAILED, MISSING, REFUSED)
_OF_BRANCH = decision.Choice(decision.BY_BRANCH)


def serve_from_mirror(
    run: Run,
    ready: Prepared,
    only: Sequence[str],
    notify: Notify | None,
) -> SyncResult:
    """Serve what the saltenvs `only` are to serve by what is in the mirror; the caller holds the lock."""
    run.offline = True
    run.ready = ready
    run.refs = run.mirror.refs(tags=ready.follows_tags())
    return reconcile(run, only, plan=False, notify=notify)


def reconcile(
    run: Run,
    only: Sequence[str],
    *,
    plan: bool,
    notify: Notify | None,
) -> SyncResult:
    """Serve what is to be served by the look that `run` has; with `plan` only say so.

    only: names of saltenvs, all when empty. Raises RemoteError, GitError, UsageError, SaltbranchError.
    """
    run.served = prepared.load_served(run.ready.root)
    run.choices = decision_cache.current(run, write=not plan)
    ready = run.ready  # of the look at the remote that was chosen from
    run.notes += run.choices.news
    wanted = select(ready.saltenvs, only)
    jobs: list[Job] = []
    results = []
    for saltenv in wanted:
        result, job = _decide(run, saltenv)
        results.append(result)
        if job:
            jobs.append(job)
    if jobs or run.fresh:
        from saltbranch.actions import switching

        if plan:
            switching.judge(run, jobs)
        else:
            switching.apply(run, jobs, notify)
    if not plan:
        if run.restated:
            prepared.save_served(ready.root, run.served)
        if run.news:
            run.mirror.tidy()
        if run.verify and not only:
            ready.boot = files.boot_id()
            prepared.save(ready)
    return SyncResult(
        results,
        plan=plan,
        restart_needed=_restart_reason(ready),
        notes=run.notes,
        problems=_journal_problems(run),
        model_problem=ready.problem,
        unread=run.unread,
    )


def _journal_problems(run: Run) -> list[str]:
    found = [run.choices.problem] if run.choices.problem else []
    if run.unread and (why := run.unread.get(JOURNAL_REF)):
        what = (
            "the journal of the remote cannot be read, so the holds that stood in it stay in force"
        )
        found.append(f"{what}: {why}")
    return found


def tell_journal(run: Run) -> None:
    """Publish what this master has to tell; a sync without news looks at the time of one file."""
    root = run.ready.root
    if run.choices.problem or JOURNAL_REF in run.unread:
        return  # nothing is added to a journal that is not believed, or not known
    pending = os.path.exists(files.pending_path(root))
    lacking = bool(run.choices.unrecorded and run.ready.reporter)
    if not pending and not _is_report_due(root, lacking=lacking):
        return
    from saltbranch.actions import reporting

    run.notes += reporting.send(run.ready, run.mirror, run.choices)
    run.refs = run.mirror.refs(tags=run.ready.follows_tags())
    run.choices = decision_cache.current(
        run, write=True
    )  # so that the next sync has nothing to find out


def _is_report_due(root: str, *, lacking: bool) -> bool:
    """lacking: the journal lacks something; where it could not be told, the file says when to try again."""
    try:
        left = os.stat(f"{root}/state/unreported").st_mtime - time.time()
        return (
            not 0 < left <= 600
        )  # as reporting.py has it: more is left only where the clock went back
    except OSError:
        return lacking


def _restart_reason(ready: Prepared) -> str | None:
    if not os.path.exists(ready.pidfile):
        return None  # no master runs
    from saltbranch.salt_master import process

    return process.restart_reason(ready.pidfile, ready.master_config)


def select(saltenvs: list[ServedSaltenv], only: Sequence[str]) -> list[ServedSaltenv]:
    """Those named in `only`, all when it is empty. Raises UsageError."""
    known = [s.name for s in saltenvs]
    for name in only:
        if name not in known:
            raise UsageError(f"there is no saltenv {name!r}", hint=f"known: {', '.join(known)}")
    return [s for s in saltenvs if not only or s.name in only]


def _decide(run: Run, saltenv: ServedSaltenv) -> tuple[SaltenvResult, Job | None]:
    """The result for a saltenv, with a job when it is not already what it should be."""
    choice = run.choices.by_saltenv.get(saltenv.name, _OF_BRANCH)
    new = choice.commit_at(run.refs.branches.get(saltenv.branch))
    recorded = run.served.get(saltenv.dirname)
    slots = Slots(run.ready.root, saltenv.dirname, run.mirror)
    slot = slots.served()
    head = slots.head(slot) if slot else None
    # Not the recorded slot: a run was killed between the rename and the record, so git knows what is served.
    known = recorded if recorded and recorded.slot == slot else None
    old = known.commit if known else head
    result = SaltenvResult(saltenv.name, saltenv.branch, old, new)
    result.why, result.tag, result.held = choice.why, choice.tag, choice.held
    result.refused = _refused_head(run, saltenv, choice)
    still = f"; still serving {old[:12]}" if old else "; nothing is served"
    if choice.level in PROBLEMS:
        result.state = choice.level
        result.new = new or old
        result.message = choice.message + still
        return result, None
    lost = run.unread.get(f"refs/heads/{saltenv.branch}") if run.unread else None
    if lost and choice.why != decision.BY_HOLD:
        result.state = FAILED
        result.new = old
        what = f"the branch {saltenv.branch!r} of the remote cannot be read"
        result.message = f"{what}: {lost} (fix it there){still}"
        return result, None
    if new is None:
        result.why = decision.BY_NOTHING
        result.state = MISSING
        result.new = old
        result.message = f"the remote has no branch {saltenv.branch!r}{still}" + _similar(
            saltenv.branch, run.refs.branches
        )
        return result, None
    spoilt = slot is not None and (
        head is None or head != old or (run.verify and _is_edited(slots, slot))
    )
    if old == new and not spoilt and known:
        if known.why != choice.why:
            known.why, run.restated = choice.why, True
        result.message = choice.message if choice.level == decision.KEPT else ""
        if result.refused:
            result.state, result.message = REFUSED, choice.message + still
        return result, None
    job = Job(saltenv, slots, result, choice)
    job.was = known.why if known else ""
    job.switched = old == new and not spoilt
    if job.switched:
        result.old = recorded.commit if recorded else None
    elif known and not run.fresh:
        job.proven = old
    result.state = REPAIRED if spoilt and old == new else SWITCHED if slot else FIRST
    result.changed = True
    return result, job


def _refused_head(run: Run, saltenv: ServedSaltenv, choice: Choice) -> str:
    is_refused = choice.level == decision.HELD_BACK
    return run.refs.branches.get(saltenv.branch, "") if is_refused else ""


def _similar(branch: str, branches: dict[str, str]) -> str:
    if not branches:
        return ". It has no branch at all: is it the right repository?"
    same = [name for name in branches if name.lower() == branch.lower()]
    return f". It has {same[0]!r}: branch names are case-sensitive" if same else ""


def _is_edited(slots: Slots, slot: str) -> bool:
    try:
        return bool(slots.differences(slot))
    except GitError:
        return True
