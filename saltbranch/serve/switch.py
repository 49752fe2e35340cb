"""Switch saltenvs to the commits that they are to serve, each judged first.

Loaded by a sync that has something to switch.
"""

from __future__ import annotations

import time

from saltbranch.base.errors import GitError, RefusedError, SaltbranchError, os_error
from saltbranch.config.roots import PILLAR, of_text
from saltbranch.git import collect
from saltbranch.repository import decision, prepared, servable
from saltbranch.salt_master.file_list import clear_file_list
from saltbranch.serve import compose, fetch, leased, notices
from saltbranch.serve.parallel import in_parallel
from saltbranch.serve.pins import Source
from saltbranch.serve.run import FAILED, FIRST, REFUSED, REWRITTEN, SWITCHED, SaltenvResult

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from saltbranch.repository.prepared import Prepared
    from saltbranch.serve.formulas import Formulas
    from saltbranch.serve.pins import Pins
    from saltbranch.serve.run import Job, Run


def judge(run: Run, jobs: list[Job]) -> None:
    """Say which of `jobs` would be refused, or would wait for state runs, for a plan."""
    jobs = leased.without_leased(run, jobs)
    formulas = _formulas(run)
    _tell_roots(run, jobs)
    _drain(run, jobs)
    try:
        in_parallel([lambda job=job: _judge_only(run, job, formulas) for job in jobs])  # type: ignore[misc]
    finally:
        if run.drain:
            run.drain.close()


def _drain(run: Run, jobs: list[Job]) -> None:
    """Let `jobs` wait for state runs where that is wanted."""
    if run.drain_seconds is None and not any(job.saltenv.drain for job in jobs):
        return
    from saltbranch.serve import drain

    drain.begin(run, jobs)


def _tell_roots(run: Run, jobs: list[Job]) -> None:
    roots = of_text(run.ready.roots)
    for job in jobs:
        job.roots = roots


def _judge(
    run: Run, job: Job, formulas: Formulas | None, *, fetch_missing: bool = True
) -> tuple[Source, list[str]]:
    """Refuse a commit that must not be served, and note what is odd about it; what is to be served of it, and the
    files that it changes.

    Raises RefusedError, GitError, SaltbranchError.
    """
    result = job.result
    old, new = result.old, _commit(result)
    odd = [job.choice.message] if job.choice.message else []
    if job.choice.level == decision.NEW:
        result.state = REWRITTEN
    elif old and old != new and servable.is_rewritten(run.mirror, old, new):
        odd += _judge_rewritten(run, job, old, new)
    odd += _signed(run, job, keep=fetch_missing)
    source, modules, names = _source(run, job, formulas, fetch_missing=fetch_missing)
    if source.missing:
        modules = [path for path in modules if path not in source.missing]
        odd.append(f"submodules that will be fetched: {', '.join(map(repr, source.missing))}")
    if modules:
        odd.append(f"submodules are not checked out: {', '.join(map(repr, modules))}")
    result.message = "; ".join(filter(None, [*odd, source.odd]))
    return source, names


def _signed(run: Run, job: Job, *, keep: bool) -> list[str]:
    """Refuse what nobody vouches for; who signed it, in words. Raises RefusedError, GitError, SaltbranchError."""
    if not job.saltenv.signed:
        return []
    from saltbranch.serve import signed

    return [signed.vouch(run, job, keep=keep)]


def _source(
    run: Run, job: Job, formulas: Formulas | None, *, fetch_missing: bool
) -> tuple[Source, list[str], list[str]]:
    """What is to be served of the new commit, its links found safe; what changed: submodules that stay empty, files.

    Raises RefusedError, GitError, SaltbranchError.
    """
    git, new, proven = run.mirror.git, _commit(job.result), job.proven
    served = job.slots.served()
    before = job.slots.pins(served) if served and proven else None
    source = Source(git, new) if formulas is None else None
    if formulas is None or (before and proven):
        changed = servable.refuse_unsafe_links(git, new, proven, job.roots)
        if formulas and before and proven and not changed.modules:
            source = formulas.unchanged(before, proven, new, changed.entries)
    if source is None:
        assert formulas is not None
        source, changed = _composed(run, job, formulas, before, fetch_missing=fetch_missing)
    if proven and changed.entries is not None and (formulas or not before):
        source.changes = proven, changed.entries
    return source, changed.modules, changed.names


def _composed(
    run: Run, job: Job, formulas: Formulas, before: Pins | None, *, fetch_missing: bool
) -> tuple[Source, servable.Changed]:
    new, proven = _commit(job.result), job.proven
    source = formulas.source(job.slots, new, fetch=fetch_missing)
    git = source.git
    if before:
        git, proven = before.seen_by(git, run.ready.root), before.tree
    return source, servable.refuse_unsafe_links(git, new, proven, job.roots, tree=source.tree)


def _formulas(run: Run) -> Formulas | None:
    """The mirrors of submodules, where the configuration lets any in."""
    if not run.ready.submodules:
        return None
    from saltbranch.serve.formulas import Formulas

    return Formulas(run)


def _name_pointers(job: Job, slot: str, names: list[str]) -> None:
    """Say which of the changed files in `slot` are not there: Git LFS left a pointer in their place."""
    found = servable.lfs_pointers(slot, names, job.roots)
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        what = (
            f"Git LFS pointers are served in place of {', '.join(map(repr, found[:3]))}{more}"
            " (commit the files themselves, or let git-lfs fetch them here: git lfs install --system)"
        )
        job.result.message = "; ".join(filter(None, [job.result.message, what]))


def _judge_rewritten(run: Run, job: Job, old: str, new: str) -> list[str]:
    """What is to be said of a commit that lacks what is served. Raises RefusedError, GitError."""
    saltenv, tag = job.saltenv, job.result.tag
    if _may_leave(run, job, old):
        return []
    what = f"tag {tag} goes back" if tag else f"branch {saltenv.branch!r} was rewritten"
    # The very change that protects a branch may come by rewriting it.
    if saltenv.protected and saltenv.name not in run.unprotected:
        raise RefusedError(
            f"{what}: {new[:12]} does not contain {old[:12]}, which {saltenv.name} serves, and"
            f" {saltenv.name} is protected",
            hint="push the branch back or, if it is meant, hold it there and let it go:"
            f" saltbranch hold {saltenv.name} --at {new[:12]} --reason TEXT, then saltbranch unhold {saltenv.name}",
        )
    job.result.state = REWRITTEN
    if tag:
        return [f"tag {tag} does not contain {old[:12]}"]
    return [f"the branch was rewritten, it no longer contains {old[:12]}"]


def _may_leave(run: Run, job: Job, old: str) -> bool:
    """Whether the commit `old` may be left for one that does not contain it: to a hold, or back from one,
    or from the head of a branch to one of its tags.
    """
    why = job.result.why
    if decision.BY_HOLD in (why, job.was) or (job.was, why) == (
        decision.BY_BRANCH,
        decision.BY_TAG,
    ):
        return True
    if job.was or not run.refs.kept:
        return False
    from saltbranch.journal import accepted  # a killed run has not recorded why

    return accepted.was_held(run.ready.root, run.mirror.git, job.saltenv.name, old)


def _verify(run: Run, job: Job, *, keep: bool) -> None:
    """Refuse a commit whose top files fail for everybody, and note what else is wrong with them.

    Never for a hold, which may be an emergency. keep: remember the verdict. Raises RefusedError.
    """
    result, ready = job.result, run.ready
    if not job.saltenv.verify_switch or result.why == decision.BY_HOLD or result.old == result.new:
        return
    from saltbranch.serve import verify

    if run.say:
        run.say(f"rendering the top files of {_commit(result)[:12]}")
    asked = verify.Question(
        result.saltenv, _commit(result), result.old or "", job.saltenv.verify_switch
    )
    found = verify.verdict(
        ready.root,
        ready.config_path,
        asked,
        sources=repr((ready.model, ready.signatures)),
        anew=run.verify,
        keep=keep,
    )
    if found.outcome == verify.REFUSED:
        raise RefusedError(found.told(), hint=found.hint())
    result.message = "; ".join(filter(None, [result.message, found.told()]))


def _judge_only(run: Run, job: Job, formulas: Formulas | None) -> None:
    try:
        if not job.switched:
            _judge(run, job, formulas, fetch_missing=False)
            git, new = run.mirror.git, _commit(job.result)
            _refuse_empty(job, lambda kind: servable.commit_has(git, new, job.roots, kind))
            _verify(run, job, keep=False)
            if run.drain:
                run.drain.judge(job)
    except SaltbranchError as err:
        _fail(job.result, err)


def _refuse_empty(job: Job, has: Callable[[str], bool]) -> None:
    served = job.slots.served()
    had_pillar = served is not None and _has_files(job, served, PILLAR)
    servable.refuse_empty(_commit(job.result), job.roots, had_pillar=had_pillar, has=has)


def _has_files(job: Job, slot: str, kind: str) -> bool:
    """Whether the slot holds files of a kind as Salt sees them, those of submodules aside."""
    pins = job.slots.pins(slot)
    apart = pins.placed if pins else ()
    if word := job.roots.word(kind):
        return servable.has_files(job.slots.path(slot), word, apart)
    return compose.has_files(job.slots, slot, kind, apart)


def apply(
    run: Run,
    jobs: list[Job],
    notify: Callable[[Prepared, list[SaltenvResult]], str | None] | None,
) -> None:
    """Switch all of `jobs`; what goes wrong with one stays with it."""
    jobs = leased.without_leased(run, jobs)
    formulas = _formulas(run)
    _tell_roots(run, jobs)
    _drain(run, jobs)
    in_parallel([lambda job=job: _switch(run, job, formulas) for job in jobs])  # type: ignore[misc]
    damaged = [job for job in jobs if job.damaged]
    if damaged and not run.offline:
        run.see(fetch.rebuild(run.mirror, fetch.remote_of(run.ready), run.say))
        in_parallel([lambda job=job: _switch(run, job, formulas) for job in damaged])  # type: ignore[misc]
    if formulas:
        _look_again(run, jobs)
    done = [job for job in jobs if job.result.changed]
    _note_refused(run, jobs, done)
    if run.fresh or (run.ready.reporter and done):
        _record(run, [job.result for job in done])
    if not done:
        return
    # Told before it is recorded: whoever is killed in between tells it twice, never not at all.
    untold = notices.switched(run, [(job.saltenv.dirname, job.result) for job in done])
    problem = notify(run.ready, [job.result for job in done]) if notify else None
    run.notes += [text for text in (untold, problem) if text]
    for job in done:
        slot, new = job.slots.served(), job.result.new
        if slot and new:
            run.served[job.saltenv.dirname] = prepared.Served(
                new,
                slot,
                int(time.time()),
                job.result.why,
                run.ready.composed,
                submodules=run.ready.submodules,
            )
    if any(job.saltenv.signed for job in done):
        from saltbranch.serve import signed

        signed.accept(run, done)  # whoever is killed before the record does it once more
    prepared.save_served(run.ready.root, run.served)
    in_parallel([lambda job=job: _make_sibling(job) for job in done])  # type: ignore[misc]
    collect.tidy(run.mirror)
    if formulas:
        formulas.tidy()


def _look_again(run: Run, jobs: list[Job]) -> None:
    """Let the next sync try once more to bring submodules into what is served: a quiet one would not see them."""
    if any(job.result.state == FAILED and job.result.old == job.result.new for job in jobs):
        run.ready.signatures.append(
            (run.ready.config_path, f"{prepared.AGAIN}submodules are missing")
        )
        prepared.save(run.ready)


def _note_refused(run: Run, jobs: list[Job], done: list[Job]) -> None:
    from saltbranch.serve import refused

    said_no = [job for job in jobs if job.result.state == REFUSED]
    try:
        refused.note(
            run.ready.root,
            [(job.saltenv.name, _commit(job.result), job.result.message) for job in said_no],
            [(job.saltenv.name, _commit(job.result)) for job in done],
        )
    except OSError as err:
        run.notes.append(f"not remembered what was refused: {os_error(err).message}")


def _record(run: Run, done: list[SaltenvResult]) -> None:
    from saltbranch.serve import report

    report.record(run.ready, run.mirror, done, run.served, fresh=run.fresh)


def _switch(run: Run, job: Job, formulas: Formulas | None) -> None:
    """Serve the new commit of one saltenv; what goes wrong stays with this saltenv."""
    result, slots = job.result, job.slots
    if job.damaged:
        job.damaged, result.changed, result.message = False, True, ""
        result.state = SWITCHED if slots.served() else FIRST
    try:
        if not job.switched:
            _bring_or_heal(run, job, formulas)
            if not run.drain:
                slots.switch(slots.idle())
            elif not run.drain.switch(job, slots.idle()):
                return
    except SaltbranchError as err:
        job.damaged = isinstance(err, GitError) and not _is_whole(run, job, formulas)
        _fail(result, err)
    except OSError as err:
        _fail(result, os_error(err))
    else:
        try:
            clear_file_list(run.ready.cachedir, job.saltenv.name)
        except OSError as err:
            result.message = (
                f"the master may overlook new files for a while: {os_error(err).message}"
            )


def _is_whole(run: Run, job: Job, formulas: Formulas | None) -> bool:
    """Whether all is there in the mirror that the new commit is served from."""
    new = _commit(job.result)
    if not run.mirror.is_whole(new):
        return False
    return formulas is None or formulas.is_whole(job.slots, new)


def _bring_or_heal(run: Run, job: Job, formulas: Formulas | None) -> None:
    """The same as `_bring`, once more where a mirror of formulas was damaged and could be made anew."""
    try:
        _bring(run, job, formulas)
    except GitError as err:
        if not (formulas and formulas.heal(job.slots, _commit(job.result), err)):
            raise
        _bring(run, job, formulas)


def _bring(run: Run, job: Job, formulas: Formulas | None) -> None:
    """Bring what is to be served into the idle slot, once it was judged. Raises SaltbranchError, OSError."""
    slots = job.slots
    source, names = _judge(run, job, formulas)
    _verify(run, job, keep=True)
    slot = slots.path(idle := slots.idle())
    slots.bring(idle, source.commit, run.say, source.pins, source.changes)
    compose.lay(slots, idle, job.roots)
    _refuse_empty(job, lambda kind: _has_files(job, idle, kind))
    _name_pointers(job, slot, names)


def _commit(result: SaltenvResult) -> str:
    if result.new is None:
        raise AssertionError(f"nothing to serve for {result.saltenv}")
    return result.new


def _make_sibling(job: Job) -> None:
    """Prepare the idle slot for the next switch; without it that switch only takes longer."""
    slot = job.slots.served()
    try:
        if slot and job.result.new:
            job.slots.make_sibling(slot, job.result.new)
    except (SaltbranchError, OSError):
        pass


def _fail(result: SaltenvResult, err: SaltbranchError) -> None:
    result.state = REFUSED if isinstance(err, RefusedError) else FAILED
    result.changed = False
    result.message = err.message + (f" ({err.hint})" if err.hint else "")
    if result.old:
        result.message += f"; still serving {result.old[:12]}"
