"""Read the remote, and which model counts by what it has. Imported by every sync, as actions/sync.py says."""

from __future__ import annotations

import time

from saltbranch.base import files
from saltbranch.base.errors import DamagedMirrorError, GitError, RefusedError, RemoteError
from saltbranch.config import locate
from saltbranch.git.mirror import JOURNAL_REF, PRODUCTION, ref_name
from saltbranch.repository import prepared
from saltbranch.serve.run import Look, Seen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from saltbranch.git.mirror import Mirror, Refs
    from saltbranch.repository.prepared import Prepared
    from saltbranch.serve.run import Say


class Remote:
    """What is fetched: the URL, seconds that it may take, branches that come first, and whether tags are needed."""

    __slots__ = ("first", "tags", "timeout", "url")

    def __init__(self, url: str, timeout: float, first: Sequence[str], *, tags: bool) -> None:
        self.url = url
        self.timeout = timeout
        self.first = first
        self.tags = tags


def remote_of(ready: Prepared) -> Remote:
    """What the model in force needs of its remote."""
    tags = ready.follows_tags()
    return Remote(ready.remote, ready.fetch_timeout, ready.branches(), tags=tags)


def look(
    mirror: Mirror,
    root: str,
    config_path: str,
    *,
    expect: str | None,
    patience: float,
    verify: bool,
    write: bool,
    say: Say | None,
) -> Look:
    """Read the remote and the configuration.

    expect: a commit that a branch has to contain, for which the remote is asked again for `patience` seconds.
    write: what is found may be kept. Raises RemoteError, GitError, ConfigError, RefusedError.
    """
    ready = before = prepared.load(root, config_path)
    if ready is None:
        from saltbranch.repository import machine

        url, timeout, tags = machine.remote_of(config_path)
        remote = Remote(url, timeout, [], tags=tags)
    else:
        remote = remote_of(ready)
    seen = read(mirror, remote, say)
    deadline = time.monotonic() + patience
    while expect and not _is_seen(mirror, seen.refs, expect):
        if time.monotonic() >= deadline:
            raise RemoteError(
                f"no branch of the remote contains {expect} after {patience:g} s",
                hint="was it pushed, and to this remote? --expect-timeout SECONDS waits longer",
            )
        time.sleep(1)
        seen = read(mirror, remote, say, seen)
    verify = verify or seen.rebuilt
    done: list[str] = []
    fresh = ready is None or verify or not _is_model_current(mirror, seen.refs, ready, write=write)
    if ready is None or fresh:
        ready, seen, done = _prepare(mirror, seen, config_path, remote, say, write=write)
        if ready.follows_tags() and not remote.tags:  # the model, which says so, came with it
            seen = read(mirror, remote_of(ready), say, seen)
    return Look(
        mirror,
        ready,
        seen,
        say=say,
        done=done,
        fresh=fresh,
        verify=verify or seen.rebuilt or ready.boot != files.boot_id(),
        unprotected=[s.name for s in before.saltenvs if not s.protected]
        if fresh and before
        else [],
    )


def _prepare(
    mirror: Mirror, seen: Seen, config_path: str, remote: Remote, say: Say | None, *, write: bool
) -> tuple[Prepared, Seen, list[str]]:
    """The slow road; a mirror that lacks what the model needs is made anew first."""
    from saltbranch.serve import prepare

    try:
        ready, done = prepare.prepare(config_path, mirror, seen.refs.branches, write=write)
    except RemoteError:
        raise
    except GitError:
        if not write or not is_damaged(mirror, seen.refs):
            raise
        seen = rebuild(mirror, remote, say, seen)
        ready, done = prepare.prepare(config_path, mirror, seen.refs.branches, write=write)
    return ready, seen, done


def look_again(look: Look, *, write: bool) -> None:
    """Read the remote as it is now, and the model with it. Raises RemoteError, GitError, ConfigError."""
    remote = remote_of(look.ready)
    seen = read(look.mirror, remote, look.say)
    done: list[str] = []
    if not _is_model_current(look.mirror, seen.refs, look.ready, write=write):
        path = look.ready.config_path
        look.ready, seen, done = _prepare(look.mirror, seen, path, remote, look.say, write=write)
        look.fresh = True
    look.see(seen)
    look.notes += done
    look.verify = look.verify or seen.rebuilt


def read(mirror: Mirror, remote: Remote, say: Say | None, before: Seen | None = None) -> Seen:
    """Fetch into the mirror, which is made anew where it is damaged. Raises RemoteError, GitError.

    before: what this sync read already.
    """
    try:
        unread = _fetch(mirror, remote, say)
    except DamagedMirrorError:
        seen = rebuild(mirror, remote, say, before)
    else:
        notes, rebuilt = (before.notes, before.rebuilt) if before else ((), False)
        seen = Seen(mirror.refs(tags=remote.tags), unread, notes=notes, rebuilt=rebuilt)
    if seen.unread:
        _check_journal(seen.unread, seen.refs)
    return seen


def _fetch(mirror: Mirror, remote: Remote, say: Say | None) -> dict[str, str]:
    return mirror.fetch(
        remote.url, timeout=remote.timeout, tags=remote.tags, first=remote.first, progress=say
    )


def rebuild(mirror: Mirror, remote: Remote, say: Say | None, before: Seen | None = None) -> Seen:
    """Put a damaged mirror aside and fetch a new one; git has forgotten the slots then.

    before: what this sync read already. Raises RemoteError, GitError.
    """
    aside = mirror.rebuild()
    note = f"the mirror was damaged: rebuilt from the remote, the old one is {aside}"
    unread = _fetch(mirror, remote, say)
    notes = [*(before.notes if before else ()), note]
    return Seen(mirror.refs(tags=remote.tags), unread, notes=notes, rebuilt=True)


def _check_journal(unread: dict[str, str], refs: Refs) -> None:
    """Without a journal that was ever read here nobody knows what is held. Raises RemoteError."""
    why = unread.get(JOURNAL_REF)
    if why and not (refs.journal or refs.kept):
        raise RemoteError(
            f"the journal of the remote, which says what is held, cannot be read: {why}",
            hint=f"fix {JOURNAL_REF} there",
        )


def is_damaged(mirror: Mirror, refs: Refs) -> bool:
    """Whether the mirror lacks something of its branches; reads all of it."""
    return not all(map(mirror.is_whole, refs.branches.values()))


def _is_seen(mirror: Mirror, refs: Refs, expect: str) -> bool:
    commit = mirror.git.commit_or_none(expect)
    return commit is not None and any(
        commit == head or mirror.git.is_ancestor(commit, head) for head in refs.branches.values()
    )


def _is_model_current(mirror: Mirror, refs: Refs, ready: Prepared, *, write: bool) -> bool:
    """Whether the model is that of `ready` still; a branch that vanished takes no saltenv away.

    Where production has moved on with the same file, it is only asked whether a master would serve the new
    head: then that is the last accepted one (repository/model.py), and nothing has to be read.
    """
    if ready.model is None:
        return False
    branch, judged, blob = ready.model
    head = refs.branches.get(branch)
    accepted = refs.accepted.get(ref_name(branch), "")
    if ready.problem and f"{accepted} {refs.journal or ''}" != ready.accepted:
        return False  # a person may have accepted what was refused
    if head is None or head == judged:
        return True
    git = mirror.git
    if ready.problem or (git.blob_or_none(head, locate.FILE_NAME) or "") != blob:
        return False
    if ready.vouched:
        return False  # repository/accepted.py asks who vouches for it
    if blob and not _accept(mirror, ready, branch, head, write=write):
        return False
    ready.model = branch, head, blob
    if write:
        prepared.save(ready)
    return True


def _accept(mirror: Mirror, ready: Prepared, branch: str, head: str, *, write: bool) -> bool:
    from saltbranch.config.roots import PILLAR, of_text
    from saltbranch.repository import servable

    roots = of_text(ready.roots)
    git, ref = mirror.git, f"{PRODUCTION}{ref_name(branch)}"
    try:
        last = git.commit_or_none(ref)
        if last is None or not git.is_ancestor(last, head):
            return False
        had_pillar = servable.commit_has(git, last, roots, PILLAR)
        if servable.refusal(git, head, last, roots, had_pillar=had_pillar):
            return False
        if write:
            git.out("update-ref", ref, head)
    except (GitError, RefusedError):
        return False  # a damaged mirror, or names that collide: the slow road says so
    return True
