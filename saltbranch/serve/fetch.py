"""Read the remote, and which model counts by what it has. Imported by every sync, as actions/sync.py says."""

from __future__ import annotations

import time

from saltbranch import files, locate, prepared
from saltbranch.errors import GitError, RemoteError
from saltbranch.mirror import JOURNAL_REF, PRODUCTION, ref_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from saltbranch.mirror import Refs
    from saltbranch.prepared import Prepared
    from saltbranch.serve.run import Run


class Remote:
    """What is fetched: the URL, seconds that it may take, branches that come first, and whether tags are needed."""

    __slots__ = ("first", "tags", "timeout", "url")

    def __init__(self, url: str, timeout: float, first: Sequence[str], *, tags: bool) -> None:
        self.url = url
        self.timeout = timeout
        self.first = first
        self.tags = tags


def _remote_of(ready: Prepared) -> Remote:
    tags = ready.follows_tags()
    return Remote(ready.remote, ready.fetch_timeout, ready.branches(), tags=tags)


def look(
    run: Run, config_path: str, root: str, expect: str | None, patience: float, *, write: bool
) -> None:
    """Read the remote and the configuration into `run`.

    expect: a commit that a branch has to contain, for which the remote is asked again for `patience` seconds.
    write: what is found may be kept. Raises RemoteError, GitError, ConfigError, RefusedError.
    """
    ready = prepared.load(root, config_path)
    if ready is None:
        from saltbranch.repository import machine

        url, timeout, tags = machine.remote_of(config_path)
        remote = Remote(url, timeout, [], tags=tags)
    else:
        remote = _remote_of(ready)
    read(run, remote)
    deadline = time.monotonic() + patience
    while expect and not _is_seen(run, expect):
        if time.monotonic() >= deadline:
            raise RemoteError(
                f"no branch of the remote contains {expect} after {patience:g} s",
                hint="was it pushed, and to this remote? --expect-timeout SECONDS waits longer",
            )
        time.sleep(1)
        read(run, remote)
    before = ready
    if ready is not None and (run.verify or not _is_model_current(run, ready, write=write)):
        ready = None
    if ready is None:
        if before:
            run.unprotected = {s.name for s in before.saltenvs if not s.protected}
        ready, done = _prepare(run, config_path, remote, write=write)
        run.notes += done
        run.fresh = True
        if (
            ready.follows_tags() and not remote.tags
        ):  # the model, which says so, came with the fetch
            read(run, _remote_of(ready))
    run.ready = ready
    run.verify = run.verify or ready.boot != files.boot_id()


def _prepare(
    run: Run,
    config_path: str,
    remote: Remote,
    *,
    write: bool,
) -> tuple[Prepared, list[str]]:
    """The slow road; a mirror that lacks what the model needs is made anew first."""
    from saltbranch.actions import prepare

    try:
        return prepare.prepare(config_path, run.mirror, run.refs.branches, write=write)
    except RemoteError:
        raise
    except GitError:
        if not write or not is_damaged(run):
            raise
    _start_anew(run, remote)
    return prepare.prepare(config_path, run.mirror, run.refs.branches, write=write)


def look_again(run: Run, *, write: bool) -> None:
    """Read the remote as it is now, and the model with it. Raises RemoteError, GitError, ConfigError."""
    ready = run.ready
    remote = _remote_of(ready)
    read(run, remote)
    if not _is_model_current(run, ready, write=write):
        run.ready, done = _prepare(run, ready.config_path, remote, write=write)
        run.notes += done
        run.fresh = True


def read(run: Run, remote: Remote) -> None:
    """Fetch into the mirror, which is made anew where it is damaged. Raises RemoteError, GitError."""
    try:
        run.unread = _fetch(run, remote)
    except RemoteError:
        raise
    except GitError as err:
        if "is damaged" not in err.message:
            raise
        _start_anew(run, remote)
    else:
        run.refs = run.mirror.refs(tags=remote.tags)
    if run.unread:
        _check_journal(run.unread, run.refs)


def _fetch(run: Run, remote: Remote) -> dict[str, str]:
    return run.mirror.fetch(
        remote.url, timeout=remote.timeout, tags=remote.tags, first=remote.first, progress=run.say
    )


def _check_journal(unread: dict[str, str], refs: Refs) -> None:
    """Without a journal that was ever read here nobody knows what is held. Raises RemoteError."""
    why = unread.get(JOURNAL_REF)
    if why and not (refs.journal or refs.kept):
        raise RemoteError(
            f"the journal of the remote, which says what is held, cannot be read: {why}",
            hint=f"fix {JOURNAL_REF} there",
        )


def _start_anew(run: Run, remote: Remote) -> None:
    rebuild(run, remote)
    run.verify = True  # git has forgotten the slots, so each is made anew


def rebuild(run: Run, remote: Remote | None = None) -> None:
    """Put a damaged mirror aside and fetch a new one. Raises RemoteError, GitError.

    remote: that of the model in force where it is not said.
    """
    remote = remote or _remote_of(run.ready)
    aside = run.mirror.rebuild()
    run.notes.append(f"the mirror was damaged: rebuilt from the remote, the old one is {aside}")
    run.unread = _fetch(run, remote)
    run.refs = run.mirror.refs(tags=remote.tags)


def is_damaged(run: Run) -> bool:
    """Whether the mirror lacks something of its branches; reads all of it."""
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
