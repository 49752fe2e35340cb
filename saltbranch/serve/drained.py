"""What a sync does once it has waited for state runs: decide anew for the saltenvs that are left, and switch them."""

from __future__ import annotations

from saltbranch.base import files
from saltbranch.base.errors import SaltbranchError
from saltbranch.repository import prepared
from saltbranch.serve import fetch, reconcile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from saltbranch.git.mirror import Mirror
    from saltbranch.repository.prepared import Prepared
    from saltbranch.serve.drain import Drain
    from saltbranch.serve.run import Look, Notify, Say, SyncResult

_LOCK = 60  # seconds to wait for another saltbranch, each time


class Place:
    """The root of this machine, and the configuration that it belongs to."""

    __slots__ = ("config_path", "mirror", "root")

    def __init__(self, mirror: Mirror, root: str, config_path: str) -> None:
        self.mirror = mirror
        self.root = root
        self.config_path = config_path


def finish(
    place: Place,
    result: SyncResult,
    *,
    patience: float | None,
    say: Say | None,
    notify: Notify | None,
) -> None:
    """Wait for the state runs that hold up saltenvs of `result`, which then says what became of them.

    The caller does not hold the lock. patience: seconds to wait at the most. Raises what a sync raises.
    """
    drain = result.drain
    if drain is None:
        return

    def again(names: list[str]) -> SyncResult | None:
        return _again(place, drain, names, say=say, notify=notify)

    def others(names: list[str]) -> SyncResult | None:
        return _others(place, drain, names, notify)

    try:
        drain.wait(result, again, others, patience=patience, say=say)
    finally:
        drain.close()


def _again(
    place: Place, drain: Drain, names: list[str], *, say: Say | None, notify: Notify | None
) -> SyncResult | None:
    """Serve what the saltenvs `names` are to serve by now; None where the configuration is another one by now.

    The remote is not read again: what was fetched since, by whomever, counts.
    """
    root, mirror = place.root, place.mirror
    with files.private_umask(), files.Lock(f"{root}/lock", wait=_LOCK, waiting=say) as lock:
        ready = prepared.load(root, place.config_path, within=True)
        if ready is None:
            return None
        known = [name for name in _names(ready) if name in names]
        if not known:
            return None
        lock.keep_with_children()
        look = reconcile.look_at_mirror(mirror, ready, say)
        look.unread = prepared.load_unread(root)
        look.unprotected = drain.unprotected
        return _serve(look, drain, known, lock, notify)


def _others(
    place: Place, drain: Drain, names: list[str], notify: Notify | None
) -> SyncResult | None:
    """Sync the saltenvs `names`, as the timer would; None where that is not possible now, which the next sync tells."""
    root = place.root
    try:
        with files.private_umask(), files.Lock(f"{root}/lock") as lock:
            look = fetch.look(
                place.mirror, root, place.config_path,
                expect=None, patience=0, verify=False, write=True, say=None,
            )  # fmt: skip
            known = [name for name in _names(look.ready) if name in names]
            lock.keep_with_children()
            return _serve(look, drain, known, lock, notify) if known else None
    except (SaltbranchError, OSError):
        return None


def _names(ready: Prepared) -> list[str]:
    """The saltenvs that may be named, labs among them."""
    found = [s.name for s in ready.saltenvs]
    found += ready.lab_names()
    return found


def _serve(
    look: Look, drain: Drain, names: list[str], lock: files.Lock, notify: Notify | None
) -> SyncResult:
    look.drain, look.drain_seconds = drain, drain.asked
    run = reconcile.decided(look, write=True)
    done = reconcile.reconcile(run, names, plan=False, notify=notify)
    lock.keep_from_children()
    try:
        reconcile.tell_journal(run)
    except SaltbranchError as err:
        done.notes.append(err.message)  # what was switched is told all the same
    return done
