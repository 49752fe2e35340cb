"""Make what every saltenv serves equal to what it is to serve. Imported by every sync, as actions/sync.py says."""

from __future__ import annotations

import os
import time

from saltbranch.base import files
from saltbranch.base.errors import GitError, UsageError
from saltbranch.git.mirror import JOURNAL_REF
from saltbranch.repository import decision, prepared
from saltbranch.serve.run import (
    FAILED,
    FIRST,
    MISSING,
    REFUSED,
    REPAIRED,
    SWITCHED,
    UNCHANGED,
    Job,
    Look,
    Run,
    SaltenvResult,
    Seen,
    SyncResult,
)
from saltbranch.serve.slots import PINS, Slots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from saltbranch.git.mirror import Mirror
    from saltbranch.repository.decision import Choice
    from saltbranch.repository.prepared import Prepared, Served, ServedSaltenv
    from saltbranch.serve.lending import Lending
    from saltbranch.serve.run import Notify, Say

PROBLEMS = (FAILED, MISSING, REFUSED)


def serve_from_mirror(look: Look, only: Sequence[str], notify: Notify | None) -> SyncResult:
    """Serve what the saltenvs `only` are to serve by what is in the mirror; the caller holds the lock.

    look: an offline one. Raises what `reconcile` raises.
    """
    result = reconcile(decided(look, write=True), only, plan=False, notify=notify)
    if result.drain:
        result.drain.close()  # nobody waits here
    return result


def look_at_mirror(
    mirror: Mirror, ready: Prepared, say: Say | None, *, fresh: bool = False
) -> Look:
    """What was last fetched, as a look that does not ask the remote. Raises GitError."""
    seen = Seen(mirror.refs(tags=ready.follows_tags()), {})
    return Look(mirror, ready, seen, say=say, offline=True, fresh=fresh)


def decided(look: Look, *, write: bool) -> Run:
    """What each saltenv is to serve by `look`. write: keep it for the next sync. Raises RemoteError, GitError,
    SaltbranchError.
    """
    served = prepared.load_served(look.ready.root)
    found = decision.kept(look, served)
    if found:
        return Run(look, found, served, news=False)
    from saltbranch.serve import decision_cache

    found = decision_cache.renew(look, served, write=write)
    run = Run(look, found, served, news=True)
    run.notes += found.news
    return run


def reconcile(run: Run, only: Sequence[str], *, plan: bool, notify: Notify | None) -> SyncResult:
    """Serve what was decided; with `plan` only say what would be.

    only: names of saltenvs, all when empty. Raises RemoteError, GitError, UsageError, SaltbranchError.
    """
    ready = run.ready
    jobs: list[Job] = []
    results = []
    restated = False
    saltenvs, lending = _chosen(run, only, plan=plan)
    for saltenv in saltenvs:
        if lending and (held_up := lending.holds_up(saltenv)):
            results.append(held_up)
            continue
        result, is_restated = _examine(run, saltenv, jobs)
        results.append(result)
        restated = restated or is_restated
    if jobs or run.fresh:
        from saltbranch.serve import switch

        if plan:
            switch.judge(run, jobs)
        else:
            switch.apply(run, jobs, notify)
    if not plan:
        if restated:
            prepared.save_served(ready.root, run.served)
        if run.news:
            from saltbranch.git import collect

            collect.tidy(run.mirror)
        if run.verify and not only:
            ready.boot = files.boot_id()
            prepared.save(ready)
    whole = SyncResult(
        results,
        plan=plan,
        restart_needed=_restart_reason(ready),
        notes=run.notes,
        problems=_journal_problems(run),
        model_problem=ready.problem,
        unread=run.unread,
    )
    whole.drain = run.drain
    if lending:
        whole.moving, whole.to_tell = lending.step(plan=plan, restart=whole.restart_needed)
    return whole


def _examine(run: Run, saltenv: ServedSaltenv, jobs: list[Job]) -> tuple[SaltenvResult, bool]:
    """What is to be done for a saltenv, which is added to `jobs`; whether only the reason has changed."""
    choice = run.choices.by_saltenv.get(saltenv.name, decision.OF_BRANCH)
    slots = Slots(run.ready.root, saltenv.dirname, run.mirror)
    now = _look_at(run, saltenv, slots)
    result = decide(saltenv, choice, run.refs.branches, run.unread, now)
    if result.changed:
        jobs.append(_job(run, saltenv, slots, now=now, choice=choice, result=result))
    elif now.record and _is_as_chosen(result):
        listed = now.record.submodules if now.is_spoilt else run.ready.submodules
        is_restated = (now.record.why, now.record.submodules) != (choice.why, listed)
        now.record.why, now.record.submodules = choice.why, listed
        return result, is_restated
    return result, False


def _chosen(
    run: Run, only: Sequence[str], *, plan: bool
) -> tuple[list[ServedSaltenv], Lending | None]:
    """What is looked at, labs that are to serve a branch among it, and what brings the labs in step.

    Raises UsageError, OSError.
    """
    ready = run.ready
    if not ready.labs:
        return select(ready.saltenvs, only), None
    known = ready.lab_names()
    others = [name for name in only if name not in known]
    chosen = [*(select(ready.saltenvs, others) if others or not only else ())]
    chosen += run.lab_saltenvs(only)
    if len(others) < len(only) or not only:
        if run.has_labs_settled():
            return chosen, None
        from saltbranch.serve.lending import Lending

        lending = Lending(run)
        if not plan:
            lending.begin()
        return chosen, lending
    return chosen, None


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
    from saltbranch.serve import report

    run.notes += report.send(run.ready, run.mirror, run.choices)
    run.refs = run.mirror.refs(tags=run.ready.follows_tags())
    if not decision.kept(run, run.served):  # so that the next sync has nothing to find out
        from saltbranch.serve import decision_cache

        decision_cache.renew(run, run.served, write=True)


def _is_report_due(root: str, *, lacking: bool) -> bool:
    """lacking: the journal lacks something; where it could not be told, the file says when to try again."""
    try:
        left = os.stat(f"{root}/state/unreported").st_mtime - time.time()
        return (
            not 0 < left <= 600
        )  # as report.py has it: more is left only where the clock went back
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


class Now:
    """What a saltenv serves as it was found: a commit, why where that was recorded, and whether its files are right.

    record: of that slot. is_empty: nothing is served. is_relaid: its roots are to be composed otherwise, of the same
    files.
    """

    __slots__ = ("commit", "is_empty", "is_relaid", "is_spoilt", "record")

    def __init__(
        self,
        commit: str | None = None,
        record: Served | None = None,
        *,
        is_empty: bool = True,
        is_spoilt: bool = False,
        is_relaid: bool = False,
    ) -> None:
        self.is_relaid = is_relaid
        self.commit = commit
        self.record = record
        self.is_empty = is_empty
        self.is_spoilt = is_spoilt


def _look_at(run: Run, saltenv: ServedSaltenv, slots: Slots) -> Now:
    recorded = run.served.get(saltenv.dirname)
    if (
        recorded
        and not (run.verify or run.fresh)
        and recorded.composed == run.ready.composed
        and recorded.submodules == run.ready.submodules
        and slots.serves(recorded.slot, recorded.commit)
    ):
        return Now(recorded.commit, recorded, is_empty=False)
    slot = slots.served()
    if slot is None:
        return Now()
    head = slots.head(slot)
    # Not the recorded slot: a run was killed between the rename and the record, so git knows what is served.
    record = recorded if recorded and recorded.slot == slot else None
    commit = record.commit if record else head
    spoilt = head is None or head != commit or (run.verify and _is_edited(run, slots, slot))
    relaid = False
    if record:
        # The roots of the model may be others.
        relaid = not spoilt and record.composed != run.ready.composed
        spoilt = spoilt or relaid
    elif run.ready.composed:
        spoilt = spoilt or _is_composed_otherwise(run, slots, slot)
    # Not only a run that finds the list new: that one may have been killed, or was for another saltenv.
    is_listed = not run.fresh and record and record.submodules == run.ready.submodules
    if commit and not spoilt and not is_listed:
        spoilt = _lacks_submodules(run, slots, slot, commit)
    return Now(commit, record, is_empty=False, is_spoilt=spoilt, is_relaid=relaid)


def _lacks_submodules(run: Run, slots: Slots, slot: str, commit: str) -> bool:
    """Whether the submodules in the slot are not those that the configuration, which may be new, lets in."""
    if not run.ready.submodules and not os.path.exists(f"{slots.folder_of(slot)}/{PINS}"):
        return False
    from saltbranch.serve import formulas

    try:
        return formulas.is_outdated(run, slots, slot, commit)
    except GitError:
        return True  # whoever brings it says what is wrong


def decide(
    saltenv: ServedSaltenv,
    choice: Choice,
    branches: dict[str, str],
    unread: dict[str, str],
    now: Now,
) -> SaltenvResult:
    """What is to be done for a saltenv, as the result that it has where all goes well; nothing is done here.

    branches, unread: of the remote. now: what is served.
    """
    old, head = now.commit, branches.get(saltenv.branch)
    new = choice.commit_at(head)
    result = SaltenvResult(saltenv.name, saltenv.branch, old, new)
    result.why, result.tag, result.held = choice.why, choice.tag, choice.held
    result.refused = (head or "") if choice.level == decision.HELD_BACK else ""
    still = f"; still serving {old[:12]}" if old else "; nothing is served"
    level = choice.level
    if level == REFUSED or level == MISSING or level == FAILED:  # noqa: SIM109 - mypy follows this
        result.state = level
        result.new = new or old
        result.message = choice.message + still
        return result
    lost = unread.get(f"refs/heads/{saltenv.branch}") if unread else None
    if lost and choice.why != decision.BY_HOLD:
        result.state = FAILED
        result.new = old
        what = f"the branch {saltenv.branch!r} of the remote cannot be read"
        result.message = f"{what}: {lost} (fix it there){still}"
        return result
    if new is None:
        result.why = decision.BY_NOTHING
        result.state = MISSING
        result.new = old
        what = f"the remote has no branch {saltenv.branch!r}{still}"
        result.message = what + _similar(saltenv.branch, branches)
        return result
    if old == new and not now.is_spoilt and now.record:
        result.message = choice.message if choice.level == decision.KEPT else ""
        if result.refused:
            result.state, result.message = REFUSED, choice.message + still
        return result
    repaired = now.is_spoilt and old == new
    result.state = REPAIRED if repaired else FIRST if now.is_empty else SWITCHED
    result.changed = True
    return result


def _is_as_chosen(result: SaltenvResult) -> bool:
    return result.state == UNCHANGED or (result.state == REFUSED and bool(result.refused))


def _job(
    run: Run,
    saltenv: ServedSaltenv,
    slots: Slots,
    *,
    now: Now,
    choice: Choice,
    result: SaltenvResult,
) -> Job:
    switched = result.old == result.new and not now.is_spoilt
    if switched:
        recorded = run.served.get(saltenv.dirname)
        result.old = recorded.commit if recorded else None
    proven = now.commit if now.record and not (run.fresh or switched or now.is_spoilt) else None
    was = now.record.why if now.record else ""
    job = Job(saltenv, slots, result, choice, was=was, proven=proven, switched=switched)
    job.relaid = now.is_relaid
    return job


def _similar(branch: str, branches: dict[str, str]) -> str:
    if not branches:
        return ". It has no branch at all: is it the right repository?"
    same = [name for name in branches if name.lower() == branch.lower()]
    return f". It has {same[0]!r}: branch names are case-sensitive" if same else ""


def _is_edited(run: Run, slots: Slots, slot: str) -> bool:
    try:
        if slots.differences(slot):
            return True
    except GitError:
        return True
    return bool(run.ready.composed) and _is_composed_otherwise(run, slots, slot)


def _is_composed_otherwise(run: Run, slots: Slots, slot: str) -> bool:
    from saltbranch.config.roots import of_text
    from saltbranch.serve import compose

    return bool(compose.differences(slots, slot, of_text(run.ready.roots)))
