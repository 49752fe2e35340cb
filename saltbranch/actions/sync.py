"""sync: make what every saltenv serves equal to its branch.

One fetch, then for each saltenv that is to serve another commit: bring the idle slot to the new commit, check it,
rename the symlink. Everything imported here is paid for by each run of the timer, so
whatever only a changed configuration needs is imported where it is needed.
"""

from __future__ import annotations

import os
import time

from saltbranch import choices, files, locate, prepared, proc
from saltbranch.errors import (
    EXIT_PARTIAL,
    EXIT_PENDING,
    GitError,
    RefusedError,
    RemoteError,
    SaltbranchError,
    UsageError,
)
from saltbranch.mirror import Mirror
from saltbranch.slots import Slots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from saltbranch.choices import Choice, Choices
    from saltbranch.mirror import Refs
    from saltbranch.prepared import Prepared, Served, ServedSaltenv

    Say = Callable[[str], None]

# What a saltenv's `state` can be in the result.
UNCHANGED, FIRST, SWITCHED, REWRITTEN, REPAIRED = (
    "unchanged", "first", "switched", "rewritten", "repaired",
)  # fmt: skip
REFUSED, MISSING, FAILED = "refused", "missing", "failed"


class SaltenvResult:
    """What happened to one saltenv; `old` and `new` are full commit hashes or None.

    why: what decides which commit it serves: branch, tag, hold or nothing. held: the reason of the hold.
    """

    __slots__ = (
        "branch", "changed", "held", "message", "new", "old", "saltenv", "state", "tag", "why",
    )  # fmt: skip

    def __init__(self, saltenv: str, branch: str, old: str | None, new: str | None) -> None:
        self.saltenv = saltenv
        self.branch = branch
        self.old = old
        self.new = new
        self.changed = False
        self.state = UNCHANGED
        self.message = ""
        self.why = choices.BY_BRANCH
        self.tag = ""
        self.held = ""

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        return {
            "saltenv": self.saltenv,
            "branch": self.branch,
            "old": self.old,
            "new": self.new,
            "changed": self.changed,
            "state": self.state,
            "message": self.message,
            "why": self.why,
            "tag": self.tag or None,
            "held": self.held or None,
        }


class SyncResult:
    """What a sync did, or with `plan` would do.

    notes: what was done beside switching. problems: what a person must look at, of no saltenv alone.
    """

    __slots__ = ("notes", "plan", "problems", "restart_needed", "saltenvs")

    def __init__(
        self,
        saltenvs: list[SaltenvResult],
        *,
        plan: bool,
        restart_needed: str | None,
        notes: list[str],
        problems: Sequence[str] = (),
    ) -> None:
        self.saltenvs = saltenvs
        self.plan = plan
        self.restart_needed = restart_needed
        self.notes = notes
        self.problems = list(problems)

    @property
    def changed(self) -> bool:
        """Whether anything was, or with `plan` would be, changed."""
        return bool(self.notes) or any(s.changed for s in self.saltenvs)

    @property
    def exit_code(self) -> int:
        """0, 1, 3, 4 or 20, as README.md explains them."""
        failed = sum(s.state in (FAILED, MISSING) for s in self.saltenvs)
        if failed:
            return EXIT_PARTIAL if failed < len(self.saltenvs) else 1
        if self.problems or any(s.state == REFUSED for s in self.saltenvs):
            return RefusedError.exit_code
        return EXIT_PENDING if self.plan and self.changed else 0

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`; `restart_needed` is null or the reason."""
        return {
            "version": 1,
            "plan": self.plan,
            "saltenvs": [s.as_dict() for s in self.saltenvs],
            "notes": self.notes,
            "problems": self.problems,
            "restart_needed": self.restart_needed,
        }


class _Job:
    """A saltenv whose served commit should move."""

    __slots__ = ("choice", "damaged", "proven", "result", "saltenv", "slots", "switched", "was")

    def __init__(
        self, saltenv: ServedSaltenv, slots: Slots, result: SaltenvResult, choice: Choice
    ) -> None:
        self.saltenv = saltenv
        self.slots = slots
        self.result = result
        self.choice = choice
        self.was = ""  # why it serves what it serves until now, where that is known
        self.proven: str | None = None  # a commit whose links were found safe
        self.switched = False  # by a run that was killed before it could say so
        self.damaged = False  # the mirror lacks objects that it should have


class Run:
    """What one run works with."""

    __slots__ = (
        "choices", "fresh", "mirror", "notes", "offline", "ready", "refs", "restated", "say", "served", "verify",
    )  # fmt: skip

    def __init__(self, mirror: Mirror, say: Say | None) -> None:
        self.mirror = mirror
        self.say = say
        self.notes: list[str] = []
        self.fresh = False  # the configuration was checked anew, so nothing proven before counts
        self.verify = False
        self.offline = False
        self.restated = False  # the record has a new reason for a commit that is served already
        self.ready: Prepared
        self.refs: Refs
        self.choices: Choices
        self.served: dict[str, Served]


def sync(
    config_path: str,
    *,
    only: Sequence[str] = (),
    plan: bool = False,
    wait: float = 0,
    expect: str | None = None,
    expect_timeout: float = 60,
    verify: bool = False,
    say: Say | None = None,
    notify: Callable[[Prepared, list[SaltenvResult]], str | None] | None = None,
) -> SyncResult:
    """Bring what is served in step with the remote.

    only: names of saltenvs, all when empty. plan: change nothing that is served. wait: seconds to wait
    for the lock. expect: a commit that one of the branches must contain; the remote is asked again
    until it does, for expect_timeout seconds. verify: look at every served file, too. say: told what
    takes time. notify: called after the switches; what it returns is noted.

    Raises RemoteError, GitError, ConfigError, RootError, LockedError, UsageError, RefusedError.
    """
    expect = _hash_or_none(expect)
    try:
        with private_umask():
            root = _find_root(config_path, write=not plan)
            if root is None:
                from saltbranch.actions import prepare

                return prepare.plan_first(config_path, only)
            with files.Lock(f"{root}/lock", wait=wait, waiting=say) as lock:
                run = Run(Mirror(root), say)
                run.verify = verify
                try:
                    _look(run, config_path, root, expect, expect_timeout, write=not plan)
                    lock.keep_with_children()
                    result = _reconcile(run, only, plan=plan, notify=notify)
                    if not plan:
                        lock.keep_from_children()
                        _tell_journal(run)
                except RemoteError as err:
                    if not plan:
                        _remember_failure(root, str(err))
                        _serve_pending(run, config_path, root, lock, notify)
                    raise
                except (SaltbranchError, OSError) as err:
                    if not plan:
                        _remember_failure(root, str(err))
                    raise
                if not plan:
                    _remember_failure(root, _problems(result))
                return result
    except OSError as err:
        raise os_error(err) from err


def _hash_or_none(expect: str | None) -> str | None:
    """What `expect` names; None for the zeros that a webhook sends about a deleted branch."""
    if expect is None:
        return None
    if not 4 <= len(expect) <= 64 or expect.strip("0123456789abcdefABCDEF"):
        raise UsageError(
            f"{expect!r} is not the hash of a commit", hint="give at least its first 4 hex digits"
        )
    return expect if expect.strip("0") else None


def _find_root(config_path: str, *, write: bool) -> str | None:
    """The root to work on; None when it is not there yet and `write` forbids to make it.

    The plain look at the file counts only where an earlier sync proved that it saw right.
    """
    root = locate.plain_root(config_path)
    if root is not None and prepared.load(root, config_path) and files.check_root(root):
        return root
    from saltbranch.actions import prepare

    return prepare.open_root(config_path, write=write)


class private_umask:  # noqa: N801 - reads like the function it wraps
    """Make files for owner and group only, while it lasts: they hold pillar."""

    def __enter__(self) -> None:
        self.mask = os.umask(0o027)

    def __exit__(self, *_exc: object) -> None:
        os.umask(self.mask)


_PROBLEMS = (FAILED, MISSING, REFUSED)


def _problems(result: SyncResult) -> str:
    of_saltenvs = [f"{s.saltenv}: {s.message}" for s in result.saltenvs if s.state in _PROBLEMS]
    return "\n".join([*of_saltenvs, *result.problems])


def _remember_failure(root: str, text: str) -> None:
    """Keep the reason of a failed run for `status`; a good run clears it and leaves its time."""
    failure, seen = f"{root}/state/failure", f"{root}/state/seen"
    try:
        if text:
            files.write_atomic(failure, text, durable=False)
            return
        files.unlink(failure)
        try:
            os.utime(seen)
        except FileNotFoundError:
            files.write_atomic(seen, "the time of this file is that of the last good sync\n")
    except OSError:
        pass  # a full or read-only disk has already been reported by what failed first


def _look(
    run: Run, config_path: str, root: str, expect: str | None, patience: float, *, write: bool
) -> None:
    """Read the remote and the configuration into `run`."""
    ready = prepared.load(root, config_path)
    if ready is None:
        from saltbranch.actions import prepare

        remote, timeout, tags = prepare.remote_of(config_path)
    else:
        remote, timeout, tags = ready.remote, ready.fetch_timeout, ready.follows_tags()
    _fetch(run, remote, timeout, tags=tags)
    deadline = time.monotonic() + patience
    while expect and not _is_seen(run, expect):
        if time.monotonic() >= deadline:
            raise RemoteError(
                f"no branch of the remote contains {expect} after {patience:g} s",
                hint="was it pushed, and to this remote? --expect-timeout SECONDS waits longer",
            )
        time.sleep(1)
        _fetch(run, remote, timeout, tags=tags)
    if ready is not None and (run.verify or not _is_model_current(run, ready)):
        ready = None
    if ready is None:
        from saltbranch.actions import prepare

        ready, done = prepare.prepare(config_path, run.mirror, run.refs.branches, write=write)
        run.notes += done
        run.fresh = True
        if ready.follows_tags() and not tags:  # the model, which says so, came with the fetch
            _fetch(run, remote, timeout, tags=True)
    run.ready = ready
    run.verify = run.verify or ready.boot != files.boot_id()


def _serve_pending(
    run: Run,
    config_path: str,
    root: str,
    lock: files.Lock,
    notify: Callable[[Prepared, list[SaltenvResult]], str | None] | None,
) -> None:
    """A hold that was made here counts also while the remote cannot be read."""
    if not os.path.exists(choices.pending_path(root)):
        return
    ready = prepared.load(root, config_path)
    if ready and run.mirror.exists():
        from saltbranch import pendingholds

        names = [event.text("saltenv") for event in pendingholds.load(root)]
        held = [s.name for s in ready.saltenvs if s.name in names]
        if held:
            lock.keep_with_children()
            serve_from_mirror(run, ready, held, notify)


def serve_from_mirror(
    run: Run,
    ready: Prepared,
    only: Sequence[str],
    notify: Callable[[Prepared, list[SaltenvResult]], str | None] | None,
) -> SyncResult:
    """Serve what the saltenvs `only` are to serve by what is in the mirror; the caller holds the lock."""
    run.offline = True
    run.ready = ready
    run.refs = run.mirror.refs(tags=ready.follows_tags())
    return _reconcile(run, only, plan=False, notify=notify)


def _fetch(run: Run, remote: str, timeout: float, *, tags: bool) -> None:
    try:
        run.mirror.fetch(remote, timeout=timeout, tags=tags, progress=run.say)
    except RemoteError:
        raise
    except GitError as err:
        if "is damaged" not in err.message:
            raise
        aside = run.mirror.rebuild()
        run.notes.append(f"the mirror was damaged: rebuilt from the remote, the old one is {aside}")
        run.mirror.fetch(remote, timeout=timeout, tags=tags, progress=run.say)
        run.verify = True  # git has forgotten the slots, so each is made anew
    run.refs = run.mirror.refs(tags=tags)


def _is_seen(run: Run, expect: str) -> bool:
    commit = run.mirror.git.commit_or_none(expect)
    return commit is not None and any(
        commit == head or run.mirror.git.is_ancestor(commit, head)
        for head in run.refs.branches.values()
    )


def _is_model_current(run: Run, ready: Prepared) -> bool:
    if ready.model is None:
        return True
    branch, commit, blob = ready.model
    head = run.refs.branches.get(branch)
    if head is None or head == commit:
        return True  # a branch that vanished takes no saltenv away
    return run.mirror.git.blob_or_none(head, locate.FILE_NAME) == blob


def _reconcile(
    run: Run,
    only: Sequence[str],
    *,
    plan: bool,
    notify: Callable[[Prepared, list[SaltenvResult]], str | None] | None,
) -> SyncResult:
    ready = run.ready
    run.served = prepared.load_served(ready.root)
    run.choices = _choose(run, write=not plan)
    wanted = select(ready.saltenvs, only)
    jobs: list[_Job] = []
    results = []
    for saltenv in wanted:
        result, job = _decide(run, saltenv)
        results.append(result)
        if job:
            jobs.append(job)
    if plan:
        _in_parallel([lambda job=job: _judge_only(run, job) for job in jobs])  # type: ignore[misc]
    else:
        _apply(run, jobs, notify)
        if run.restated:
            prepared.save_served(ready.root, run.served)
        if run.verify and not only:
            ready.boot = files.boot_id()
            prepared.save(ready)
    return SyncResult(
        results,
        plan=plan,
        restart_needed=_restart_reason(ready),
        notes=run.notes,
        problems=[run.choices.problem] if run.choices.problem else [],
    )


_OF_BRANCH = choices.Choice(choices.BY_BRANCH)


def _choose(run: Run, *, write: bool) -> Choices:
    """What each saltenv is to serve: what was found before, if nothing changed that it follows from."""
    ready, now = run.ready, time.time()
    expected = choices.sources(ready.root, run.refs, ready.saltenvs)
    if not expected:
        return choices.Choices()  # the head of the branch, everywhere
    found = choices.load(ready.root, expected, now)
    if found:
        return found
    from saltbranch import choosing

    return choosing.choose(
        ready.root, run.mirror, run.refs, ready.saltenvs, run.served, now=now, write=write
    )


def _tell_journal(run: Run) -> None:
    """Publish what this master has to tell; a sync without news looks at the time of one file."""
    root = run.ready.root
    pending = os.path.exists(choices.pending_path(root))
    if not pending and not _is_report_due(root):
        return
    from saltbranch.actions import reporting

    run.notes += reporting.send(run.ready, run.mirror)
    run.refs = run.mirror.refs(tags=run.ready.follows_tags())
    run.choices = _choose(run, write=True)  # so that the next sync has nothing to find out


def _is_report_due(root: str) -> bool:
    try:
        return os.stat(f"{root}/state/unreported").st_mtime <= time.time()
    except OSError:
        return False


def _restart_reason(ready: Prepared) -> str | None:
    if not os.path.exists(ready.pidfile):
        return None  # no master runs
    from saltbranch import masterprocess

    return masterprocess.restart_reason(ready.pidfile, ready.master_config)


def select(saltenvs: list[ServedSaltenv], only: Sequence[str]) -> list[ServedSaltenv]:
    """Those named in `only`, all when it is empty. Raises UsageError."""
    known = [s.name for s in saltenvs]
    for name in only:
        if name not in known:
            raise UsageError(f"there is no saltenv {name!r}", hint=f"known: {', '.join(known)}")
    return [s for s in saltenvs if not only or s.name in only]


def _decide(run: Run, saltenv: ServedSaltenv) -> tuple[SaltenvResult, _Job | None]:
    """The result for a saltenv, with a job when it is not already what it should be."""
    choice = run.choices.by_saltenv.get(saltenv.name, _OF_BRANCH)
    new = run.refs.branches.get(saltenv.branch)
    if choice.why != choices.BY_BRANCH:
        new = choice.commit
    recorded = run.served.get(saltenv.dirname)
    slots = Slots(run.ready.root, saltenv.dirname, run.mirror)
    slot = slots.served()
    head = slots.head(slot) if slot else None
    # Not the recorded slot: a run was killed between the rename and the record, so git knows what is served.
    known = recorded if recorded and recorded.slot == slot else None
    old = known.commit if known else head
    result = SaltenvResult(saltenv.name, saltenv.branch, old, new)
    result.why, result.tag, result.held = choice.why, choice.tag, choice.held
    if choice.level in _PROBLEMS:
        result.state = choice.level
        result.new = new or old
        result.message = choice.message + (
            f"; still serving {old[:12]}" if old else "; nothing is served"
        )
        return result, None
    if new is None:
        result.why = choices.BY_NOTHING
        result.state = MISSING
        result.new = old
        result.message = (
            f"the remote has no branch {saltenv.branch!r}"
            + (f"; still serving {old[:12]}" if old else "; nothing is served")
            + _similar(saltenv.branch, run.refs.branches)
        )
        return result, None
    spoilt = slot is not None and (
        head is None or head != old or (run.verify and _is_edited(slots, slot))
    )
    if old == new and not spoilt and known:
        if known.why != choice.why:
            known.why, run.restated = choice.why, True
        result.message = choice.message if choice.level == choices.KEPT else ""
        return result, None
    job = _Job(saltenv, slots, result, choice)
    job.was = known.why if known else ""
    job.switched = old == new and not spoilt
    if job.switched:
        result.old = recorded.commit if recorded else None
    elif known and not run.fresh:
        job.proven = old
    result.state = REPAIRED if spoilt and old == new else SWITCHED if slot else FIRST
    result.changed = True
    return result, job


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


def _judge(run: Run, job: _Job) -> None:
    """Refuse a commit that must not be served, and note what is odd about it.

    Raises RefusedError, GitError.
    """
    from saltbranch import admission

    result = job.result
    old, new = result.old, _commit(result)
    odd = [job.choice.message] if job.choice.message else []
    if job.choice.level == choices.NEW:
        result.state = REWRITTEN
    elif old and old != new and admission.is_rewritten(run.mirror, old, new):
        odd += _judge_rewritten(run, job, old, new)
    pillar_dir = run.ready.pillar_dir
    modules = admission.refuse_unsafe_links(run.mirror.git, new, job.proven, pillar_dir)
    if modules:
        odd.append(f"submodules are not checked out: {', '.join(map(repr, modules))}")
    result.message = "; ".join(odd)


def _judge_rewritten(run: Run, job: _Job, old: str, new: str) -> list[str]:
    """What is to be said of a commit that lacks what is served. Raises RefusedError, GitError."""
    saltenv, tag = job.saltenv, job.result.tag
    if _may_leave(run, job, old):
        return []
    what = f"tag {tag} goes back" if tag else f"branch {saltenv.branch!r} was rewritten"
    if saltenv.protected:
        raise RefusedError(
            f"{what}: {new[:12]} does not contain {old[:12]}, which {saltenv.name} serves, and"
            f" {saltenv.name} is protected",
            hint="push the branch back or, if it is meant, set protected: false for one sync",
        )
    job.result.state = REWRITTEN
    if tag:
        return [f"tag {tag} does not contain {old[:12]}"]
    return [f"the branch was rewritten, it no longer contains {old[:12]}"]


def _may_leave(run: Run, job: _Job, old: str) -> bool:
    """Whether the commit `old` may be left for one that does not contain it: to a hold, or back from one,
    or from the head of a branch to one of its tags.
    """
    why = job.result.why
    if choices.BY_HOLD in (why, job.was) or (job.was, why) == (choices.BY_BRANCH, choices.BY_TAG):
        return True
    if job.was or not run.refs.kept:
        return False
    from saltbranch import choosing  # a killed run has not recorded why

    return choosing.was_held(run.ready.root, run.mirror.git, job.saltenv.name, old)


def _judge_only(run: Run, job: _Job) -> None:
    new, git = _commit(job.result), run.mirror.git
    try:
        if not job.switched:
            _judge(run, job)
            _refuse_empty(run, job, lambda folder: git.blob_or_none(new, folder) is not None)
    except SaltbranchError as err:
        _fail(job.result, err)


def _refuse_empty(run: Run, job: _Job, has: Callable[[str], bool]) -> None:
    from saltbranch import admission

    states_dir, pillar_dir = run.ready.states_dir, run.ready.pillar_dir
    served = job.slots.served()
    had_pillar = served is not None and os.path.isdir(f"{job.slots.path(served)}/{pillar_dir}")
    admission.refuse_empty(
        _commit(job.result), states_dir, pillar_dir, had_pillar=had_pillar, has=has
    )


def _apply(
    run: Run,
    jobs: list[_Job],
    notify: Callable[[Prepared, list[SaltenvResult]], str | None] | None,
) -> None:
    _in_parallel([lambda job=job: _switch(run, job) for job in jobs])  # type: ignore[misc]
    damaged = [job for job in jobs if job.damaged]
    if damaged and not run.offline:
        _rebuild(run)
        _in_parallel([lambda job=job: _switch(run, job) for job in damaged])  # type: ignore[misc]
    done = [job for job in jobs if job.result.changed]
    if run.ready.reporter and (done or run.fresh):
        _record(run, [job.result for job in done])
    if not done:
        return
    # Told before it is recorded: whoever is killed in between tells it twice, never not at all.
    problem = notify(run.ready, [job.result for job in done]) if notify else None
    if problem:
        run.notes.append(problem)
    for job in done:
        slot, new = job.slots.served(), job.result.new
        if slot and new:
            record = prepared.Served(new, slot, int(time.time()), job.result.why)
            run.served[job.saltenv.dirname] = record
    prepared.save_served(run.ready.root, run.served)
    _in_parallel([lambda job=job: _make_sibling(job) for job in done])  # type: ignore[misc]
    run.mirror.tidy()


def _record(run: Run, done: list[SaltenvResult]) -> None:
    from saltbranch.actions import reporting

    reporting.record(run.ready, run.mirror, done, run.served, fresh=run.fresh)


def _rebuild(run: Run) -> None:
    aside = run.mirror.rebuild()
    run.notes.append(f"the mirror was damaged: rebuilt from the remote, the old one is {aside}")
    ready = run.ready
    tags = ready.follows_tags()
    run.mirror.fetch(ready.remote, timeout=ready.fetch_timeout, tags=tags, progress=run.say)


def _switch(run: Run, job: _Job) -> None:
    """Serve the new commit of one saltenv; what goes wrong stays with this saltenv."""
    result, slots = job.result, job.slots
    if job.damaged:
        job.damaged, result.changed, result.message = False, True, ""
        result.state = SWITCHED if slots.served() else FIRST
    try:
        if not job.switched:
            _judge(run, job)
            idle = slots.idle()
            slots.bring(idle, _commit(result), run.say)
            _refuse_empty(run, job, lambda folder: os.path.isdir(f"{slots.path(idle)}/{folder}"))
            slots.switch(idle)
    except SaltbranchError as err:
        job.damaged = isinstance(err, GitError) and not run.mirror.is_whole(_commit(result))
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


def _commit(result: SaltenvResult) -> str:
    if result.new is None:
        raise AssertionError(f"nothing to serve for {result.saltenv}")
    return result.new


def _make_sibling(job: _Job) -> None:
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


def os_error(err: OSError) -> SaltbranchError:
    """What the system refused, as one of our errors."""
    import errno

    hints = {
        errno.EACCES: "run saltbranch as the owner of the root",
        errno.EEXIST: "something else stands where a folder should be: move it away",
        errno.ENOTDIR: "something else stands where a folder should be: move it away",
        errno.ENOSPC: "free some space below the root",
        errno.EROFS: "mount it for writing",
    }
    what = f"{err.filename}: " if err.filename else ""
    return SaltbranchError(f"{what}{err.strerror}", hint=hints.get(err.errno or 0, ""))


def clear_file_list(cachedir: str, saltenv: str) -> None:
    """Let the master list the files of `saltenv` anew (salt/fileserver/__init__.py, check_file_list_cache).

    Otherwise a new sls file is unknown for `fileserver_list_cache_time` (20 s). A list being made just now,
    marked by the folder `.<saltenv>.w`, may be of the old tree: wait until it is written, then drop it.
    """
    folder = f"{cachedir}/file_lists/roots"
    cache, busy = f"{folder}/{saltenv}.p", f"{folder}/.{saltenv}.w"
    files.unlink(cache)
    deadline = time.monotonic() + 5
    while os.path.exists(busy) and time.monotonic() < deadline:
        time.sleep(0.02)
    files.unlink(cache)  # always: it may have been finished between any two looks


def _in_parallel(tasks: Sequence[Callable[[], None]]) -> None:
    """Run `tasks`, as many at once as there are processors. They raise nothing that is expected."""
    if len(tasks) < 2:
        for task in tasks:
            task()
        return
    import threading  # only when there is more than one thing to do

    waiting = list(reversed(tasks))
    errors: list[BaseException] = []
    threads = [
        threading.Thread(target=_work, args=(waiting, errors), daemon=True)
        for _ in range(min(len(tasks), os.cpu_count() or 1))
    ]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException:
        proc.kill_all()
        raise
    if errors:
        raise errors[0]


def _work(waiting: list[Callable[[], None]], errors: list[BaseException]) -> None:
    """Do what is in `waiting` until it is empty, or until something fails here or elsewhere."""
    while not errors:
        try:
            task = waiting.pop()
        except IndexError:
            return
        try:
            task()
        except BaseException as err:
            errors.append(err)
