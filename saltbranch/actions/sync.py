"""sync: make what every saltenv serves equal to its branch.

One fetch, then for each saltenv that is to serve another commit: bring the idle slot to the new commit, check it,
rename the symlink. Everything imported here is paid for by each run of the timer, so
whatever only a changed configuration needs is imported where it is needed.
"""

from __future__ import annotations

import os
import time

from saltbranch import choices, files, locate, prepared
from saltbranch.actions.outcome import (
    FAILED,
    FIRST,
    MISSING,
    REFUSED,
    REPAIRED,
    SWITCHED,
)
from saltbranch.actions.outcome import SaltenvResult as SaltenvResult
from saltbranch.actions.outcome import SyncResult as SyncResult
from saltbranch.errors import GitError, RemoteError, SaltbranchError, UsageError, os_error
from saltbranch.mirror import JOURNAL_REF, PRODUCTION, Mirror, ref_name
from saltbranch.slots import Slots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from saltbranch.choices import Choice, Choices
    from saltbranch.choosing import Facts
    from saltbranch.mirror import Refs
    from saltbranch.prepared import Prepared, Served, ServedSaltenv

    Say = Callable[[str], None]


class Job:
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
        "choices", "fresh", "mirror", "news", "notes", "offline", "ready", "refs", "restated", "say", "served",
        "unprotected", "unread", "verify",
    )  # fmt: skip

    def __init__(self, mirror: Mirror, say: Say | None) -> None:
        self.mirror = mirror
        self.say = say
        self.notes: list[str] = []
        self.fresh = False  # the configuration was checked anew, so nothing proven before counts
        self.verify = False
        self.offline = False
        self.news = False  # the journal, or what else decides beside the branches, has changed
        self.unprotected: set[str] = set()  # by the model that was in force until this run
        self.restated = False  # the record has a new reason for a commit that is served already
        self.unread: dict[str, str] = {}  # what could not be read: full ref to reason
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
                except UsageError:
                    raise  # a misspelt name says nothing of what is served
                except (SaltbranchError, OSError) as err:
                    if not plan:
                        _remember_failure(root, str(err))
                    raise
                if not plan:
                    result.unread_news = prepared.save_unread(root, run.unread)
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
    of_saltenvs = [
        f"{s.saltenv}: {s.message}" for s in result.saltenvs if s.state in _PROBLEMS or s.refused
    ]
    model = [result.model_problem] if result.model_problem else []
    return "\n".join([*of_saltenvs, *result.problems, *model])


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
        first = []
    else:
        remote, timeout, tags = ready.remote, ready.fetch_timeout, ready.follows_tags()
        first = ready.branches()
    _fetch(run, remote, timeout, first, tags=tags)
    deadline = time.monotonic() + patience
    while expect and not _is_seen(run, expect):
        if time.monotonic() >= deadline:
            raise RemoteError(
                f"no branch of the remote contains {expect} after {patience:g} s",
                hint="was it pushed, and to this remote? --expect-timeout SECONDS waits longer",
            )
        time.sleep(1)
        _fetch(run, remote, timeout, first, tags=tags)
    before = ready
    if ready is not None and (run.verify or not _is_model_current(run, ready, write=write)):
        ready = None
    if ready is None:
        if before:
            run.unprotected = {s.name for s in before.saltenvs if not s.protected}
        ready, done = _prepare(run, config_path, remote, timeout, first, tags=tags, write=write)
        run.notes += done
        run.fresh = True
        if ready.follows_tags() and not tags:  # the model, which says so, came with the fetch
            _fetch(run, remote, timeout, ready.branches(), tags=True)
    run.ready = ready
    run.verify = run.verify or ready.boot != files.boot_id()


def _prepare(
    run: Run,
    config_path: str,
    remote: str,
    timeout: float,
    first: Sequence[str],
    *,
    tags: bool,
    write: bool,
) -> tuple[Prepared, list[str]]:
    """The slow road; a mirror that lacks what the model needs is made anew first."""
    from saltbranch.actions import prepare

    try:
        return prepare.prepare(config_path, run.mirror, run.refs.branches, write=write)
    except RemoteError:
        raise
    except GitError:
        if not write or not _is_damaged(run):
            raise
    _rebuild(run, remote, timeout, first, tags=tags)
    return prepare.prepare(config_path, run.mirror, run.refs.branches, write=write)


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


def _fetch(run: Run, remote: str, timeout: float, first: list[str], *, tags: bool) -> None:
    mirror = run.mirror
    try:
        run.unread = mirror.fetch(remote, timeout=timeout, tags=tags, first=first, progress=run.say)
    except RemoteError:
        raise
    except GitError as err:
        if "is damaged" not in err.message:
            raise
        _rebuild(run, remote, timeout, first, tags=tags)
    run.refs = mirror.refs(tags=tags)
    if run.unread:
        _check_journal(run.unread, run.refs)


def _check_journal(unread: dict[str, str], refs: Refs) -> None:
    """Without a journal that was ever read here nobody knows what is held. Raises RemoteError."""
    why = unread.get(JOURNAL_REF)
    if why and not (refs.journal or refs.kept):
        raise RemoteError(
            f"the journal of the remote, which says what is held, cannot be read: {why}",
            hint=f"fix {JOURNAL_REF} there",
        )


def _rebuild(run: Run, remote: str, timeout: float, first: Sequence[str], *, tags: bool) -> None:
    aside = run.mirror.rebuild()
    run.notes.append(f"the mirror was damaged: rebuilt from the remote, the old one is {aside}")
    run.unread = run.mirror.fetch(remote, timeout=timeout, tags=tags, first=first, progress=run.say)
    run.verify = True  # git has forgotten the slots, so each is made anew
    run.refs = run.mirror.refs(tags=tags)


def _is_damaged(run: Run) -> bool:
    return not all(map(run.mirror.is_whole, run.refs.branches.values()))


def _is_seen(run: Run, expect: str) -> bool:
    commit = run.mirror.git.commit_or_none(expect)
    return commit is not None and any(
        commit == head or run.mirror.git.is_ancestor(commit, head)
        for head in run.refs.branches.values()
    )


def _is_model_current(run: Run, ready: Prepared, *, write: bool) -> bool:
    """Whether the model is that of `ready` still; a branch that vanished takes no saltenv away.

    Where production has moved on with the same file, it is only asked whether a master would serve the new
    head: then that is the last accepted one (repository/model.py), and nothing has to be read.
    """
    if ready.model is None:
        return False
    branch, judged, blob = ready.model
    head = run.refs.branches.get(branch)
    accepted = run.refs.accepted.get(ref_name(branch), "")
    if ready.problem and f"{accepted} {run.refs.journal}" != ready.accepted:
        return False  # a person may have accepted what was refused
    if head is None or head == judged:
        return True
    git = run.mirror.git
    if ready.problem or (git.blob_or_none(head, locate.FILE_NAME) or "") != blob:
        return False
    if blob and not _accept(run, ready, branch, head, write=write):
        return False
    ready.model = branch, head, blob
    if write:
        prepared.save(ready)
    return True


def _accept(run: Run, ready: Prepared, branch: str, head: str, *, write: bool) -> bool:
    from saltbranch import admission

    git, ref = run.mirror.git, f"{PRODUCTION}{ref_name(branch)}"
    states_dir, pillar_dir = ready.states_dir, ready.pillar_dir
    try:
        last = git.commit_or_none(ref)
        if last is None or not git.is_ancestor(last, head):
            return False
        had_pillar = admission.commit_has_files(git, last, pillar_dir)
        if admission.refusal(git, head, last, states_dir, pillar_dir, had_pillar=had_pillar):
            return False
        if write:
            git.out("update-ref", ref, head)
    except GitError:
        return False  # a damaged mirror: the slow road says so
    return True


def _reconcile(
    run: Run,
    only: Sequence[str],
    *,
    plan: bool,
    notify: Callable[[Prepared, list[SaltenvResult]], str | None] | None,
) -> SyncResult:
    run.served = prepared.load_served(run.ready.root)
    run.choices = _choose(run, write=not plan)
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


_OF_BRANCH = choices.Choice(choices.BY_BRANCH)


def _choose(run: Run, *, write: bool) -> Choices:
    """What each saltenv is to serve: what was found before, if nothing changed that it follows from."""
    ready, now = run.ready, time.time()
    expected = choices.sources(ready.root, run.refs, ready.saltenvs, unread=run.unread)
    plain = choices.needs_no_choice(expected, run.refs, ready.saltenvs, run.served)
    if plain and not (expected and run.fresh):  # a new model may be less strict than the one before
        return choices.Choices()  # the head of the branch, everywhere
    found = choices.load(ready.root, expected, now)
    if found:
        return found
    from saltbranch import choosing

    run.news = True
    try:
        facts, found = _chosen(run, now, write=write)
    except RemoteError:
        raise
    except GitError:
        head = run.refs.journal
        is_whole = (not head or run.mirror.has_history(head)) and not _is_damaged(run)
        if run.offline or not write or is_whole:
            raise
        from saltbranch.actions import switching

        switching.rebuild(run)
        facts, found = _chosen(run, now, write=write)
    if write:
        choosing.keep(facts, found)
    return found


def _chosen(run: Run, now: float, *, write: bool) -> tuple[Facts, Choices]:
    """The answer, and from what it follows.

    A fetch does not see all refs at one moment, so before a branch is said to have moved by hand the remote is read
    once more: branches, journal and model of one look decide.
    """
    from saltbranch import choosing

    def facts() -> Facts:
        ready = run.ready
        production = ready.model[0] if ready.model else None
        return choosing.Facts(
            ready.root,
            run.mirror,
            run.refs,
            ready.saltenvs,
            run.served,
            now,
            production,
            run.unread,
        )

    first = facts()
    found = choosing.choose(first)
    if run.offline or not found.news:
        return first, found
    before = choices.sources(first.root, first.refs, first.saltenvs, unread=first.unread)
    _look_again(run, write=write)
    second = facts()
    if before == choices.sources(second.root, second.refs, second.saltenvs, unread=run.unread):
        return second, found
    return second, choosing.choose(second)


def _look_again(run: Run, *, write: bool) -> None:
    """Read the remote as it is now, and the model with it. Raises RemoteError, GitError, ConfigError."""
    ready = run.ready
    remote, timeout, tags = ready.remote, ready.fetch_timeout, ready.follows_tags()
    _fetch(run, remote, timeout, ready.branches(), tags=tags)
    if not _is_model_current(run, ready, write=write):
        path, first = ready.config_path, ready.branches()
        run.ready, done = _prepare(run, path, remote, timeout, first, tags=tags, write=write)
        run.notes += done
        run.fresh = True


def _tell_journal(run: Run) -> None:
    """Publish what this master has to tell; a sync without news looks at the time of one file."""
    root = run.ready.root
    if run.choices.problem or JOURNAL_REF in run.unread:
        return  # nothing is added to a journal that is not believed, or not known
    pending = os.path.exists(choices.pending_path(root))
    lacking = bool(run.choices.unrecorded and run.ready.reporter)
    if not pending and not _is_report_due(root, lacking=lacking):
        return
    from saltbranch.actions import reporting

    run.notes += reporting.send(run.ready, run.mirror, run.choices)
    run.refs = run.mirror.refs(tags=run.ready.follows_tags())
    run.choices = _choose(run, write=True)  # so that the next sync has nothing to find out


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
    from saltbranch import masterprocess

    return masterprocess.restart_reason(ready.pidfile, ready.master_config)


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
    new = run.refs.branches.get(saltenv.branch)
    if choice.why != choices.BY_BRANCH or choice.commit:
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
    result.refused = _refused_head(run, saltenv, choice)
    still = f"; still serving {old[:12]}" if old else "; nothing is served"
    if choice.level in _PROBLEMS:
        result.state = choice.level
        result.new = new or old
        result.message = choice.message + still
        return result, None
    lost = run.unread.get(f"refs/heads/{saltenv.branch}") if run.unread else None
    if lost and choice.why != choices.BY_HOLD:
        result.state = FAILED
        result.new = old
        what = f"the branch {saltenv.branch!r} of the remote cannot be read"
        result.message = f"{what}: {lost} (fix it there){still}"
        return result, None
    if new is None:
        result.why = choices.BY_NOTHING
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
        result.message = choice.message if choice.level == choices.KEPT else ""
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
    is_refused = choice.level == choices.HELD_BACK
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
