"""Hold a saltenv on this master at once, with nothing but its mirror: the remote may be out of reach.

The event is recorded first, then served; the next sync that reaches the remote publishes it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from saltbranch.base import files
from saltbranch.base.errors import RefusedError, UsageError
from saltbranch.git.mirror import Mirror
from saltbranch.journal import events, pending_holds
from saltbranch.journal.events import Event
from saltbranch.repository import prepared
from saltbranch.repository.prepared import Prepared
from saltbranch.repository.root import root_of
from saltbranch.serve import prepare
from saltbranch.serve.reconcile import look_at_mirror, serve_from_mirror
from saltbranch.serve.run import SyncResult

if TYPE_CHECKING:
    from saltbranch.serve.run import Notify


def hold_locally(
    config_path: str,
    event: Event,
    *,
    wait: float = 0,
    say: Callable[[str], None] | None = None,
    notify: Notify | None = None,
) -> SyncResult:
    """Record `event`, a hold, rollback or unhold of one saltenv or all, and serve what it asks for.

    wait: seconds to wait for the lock. Raises UsageError for an unknown saltenv, RefusedError for a commit that the
    mirror does not have, and what a sync raises but RemoteError.
    """
    root = root_of(config_path)
    with files.private_umask(), files.Lock(f"{root}/lock", wait=wait, waiting=say) as lock:
        mirror, fresh = Mirror(root), False
        ready = prepared.load(root, config_path)
        notes: list[str] = []
        if ready is None:
            ready, notes = prepare.prepare(config_path, mirror, mirror.branches(), write=True)
            fresh = True
        _check(event, ready, mirror)
        os.makedirs(f"{root}/state", exist_ok=True)
        pending_holds.add(root, event)
        lock.keep_with_children()
        look = look_at_mirror(mirror, ready, say, fresh=fresh)
        look.notes += notes
        names = pending_holds.saltenvs([event], [s.name for s in ready.saltenvs])
        return serve_from_mirror(look, names, notify)


def _check(event: Event, ready: Prepared, mirror: Mirror) -> None:
    known = [s.name for s in ready.saltenvs]
    if event.is_of_all:
        for name, commit in event.held_rows():
            if name in known:
                _check_commit(commit, mirror)
        return
    name = event.text("saltenv")
    if event.kind not in (events.HOLD, events.ROLLBACK, events.UNHOLD) or name not in known:
        raise UsageError(f"there is no saltenv {name!r}", hint=f"known: {', '.join(known)}")
    if event.kind != events.UNHOLD:
        _check_commit(event.text("commit"), mirror)


def _check_commit(commit: str, mirror: Mirror) -> None:
    if not (events.is_hash(commit) and mirror.git.commit_or_none(commit)):
        raise RefusedError(
            f"commit {commit[:12]} is not in {mirror.path}",
            hint="without the remote only commits that were fetched before can be served",
        )
