"""Add events to the journal of the remote by compare-and-swap, however many masters do so at once."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

from saltbranch.base.errors import GitError, RemoteError
from saltbranch.git.mirror import JOURNAL_REF, KEPT_REF, Mirror
from saltbranch.git.program import Git, indent, mask
from saltbranch.journal import events
from saltbranch.journal import store as journal
from saltbranch.journal.events import Event

_TRIES = 10  # in which nobody else wrote, either
_RECENT = 500  # as far back a sync of ours is looked for: it was sent moments ago or never
_CONFIG = ("http.lowSpeedLimit=1000", "http.lowSpeedTime=20", "push.recurseSubmodules=no")


def push(
    mirror: Mirror,
    remote: str,
    new: Sequence[Event],
    *,
    patience: float,
    found: Sequence[Event] = (),
    found_at: str = "",
) -> None:
    """Append those of `new` that the journal does not have yet, and push it; refs here follow.

    found: what the journal lacked when its head was `found_at`; where somebody else has written since, that is to be
    found out anew, and none of it is sent. patience: seconds for all of it. Raises RemoteError when it cannot be
    pushed, GitError when the remote's journal does not go on from the one that was accepted.
    """
    git, deadline, complaint = mirror.git, time.monotonic() + patience, "no time was left"
    rejected = stuck = 0
    has_moved = False
    while stuck < _TRIES:
        refs = mirror.refs()
        journal.check_chain(git, refs.kept, refs.journal, refs.in_the_way)
        missing = [
            *(found if (refs.journal or "") == found_at else ()),
            *_missing(git, refs.journal, new),
        ]
        if not missing:
            _accept(git, refs.journal)
            return
        head, _ = journal.append(git, refs.journal, missing)
        left = deadline - time.monotonic()
        if left <= 0:
            break
        lease = f"--force-with-lease={JOURNAL_REF}:{refs.journal or ''}"
        words = ("push", "--quiet", "--no-follow-tags", "--no-signed", lease, "--", remote)
        done = git.run(*words, f"{head}:{JOURNAL_REF}", config=_CONFIG, timeout=left)
        if done.code == 0:
            _accept(git, head)
            return
        complaint = "no end in time" if done.timed_out else mask(done.complaint)
        time.sleep(random.random() * 0.1 * min(rejected, _TRIES))
        mirror.fetch_journal(remote, timeout=max(1, deadline - time.monotonic()))
        rejected += 1
        # Whoever was overtaken tries on: many masters may well be so more than a few times.
        has_moved = mirror.refs().journal != refs.journal
        if not has_moved and "lock" not in complaint:
            break
        stuck = 0 if has_moved else stuck + 1
    raise RemoteError(
        f"the journal could not be pushed to {mask(remote)}:\n{indent(complaint)}",
        hint="others wrote to it all the time; run it again"
        if has_moved
        else "this user needs the right to push refs below refs/saltbranch/",
    )


def _accept(git: Git, head: str | None) -> None:
    if head is None:
        return
    refs = (JOURNAL_REF, KEPT_REF)
    git.out("update-ref", "--stdin", stdin="".join(f"update {r} {head}\n" for r in refs).encode())


def _missing(git: Git, head: str | None, new: Sequence[Event]) -> list[Event]:
    """Those of `new` that are not in the journal: whoever was killed after a push finds them there."""
    if not new:
        return []
    only_syncs = all(event.kind == events.SYNC for event in new)
    told = journal.read(git, head, limit=_RECENT if only_syncs else None)
    known = {event.id for event in told}
    return [event for event in new if event.id not in known]


def may_push(mirror: Mirror, remote: str, commit: str, *, timeout: float) -> str:
    """Why the remote would not take a ref below refs/saltbranch/ from this user; empty when it would.

    It is only asked; hooks of the server have no say in that (git-push(1), --dry-run).
    """
    words = ("push", "--dry-run", "--quiet", "--no-signed", "--", remote)
    try:
        done = mirror.git.run(*words, f"{commit}:refs/saltbranch/probe", timeout=timeout)
    except GitError as err:
        return err.message
    if done.code == 0:
        return ""
    lines = [line for line in mask(done.complaint).splitlines() if line.strip()]
    return lines[0] if lines else "no answer in time" if done.timed_out else f"exit {done.code}"
