"""sync: make what every saltenv serves equal to its branch.

One fetch, then for each saltenv that is to serve another commit: bring the idle slot to the new commit, check it,
rename the symlink. Everything imported here is paid for by each run of the timer, so
whatever only a changed configuration needs is imported where it is needed.
"""

from __future__ import annotations

import os
import time

from saltbranch.base import files
from saltbranch.base.errors import RemoteError, SaltbranchError, UsageError, os_error
from saltbranch.config import locate
from saltbranch.git.mirror import Mirror
from saltbranch.repository import decision, prepared
from saltbranch.serve import fetch, reconcile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from saltbranch.serve.drained import Place
    from saltbranch.serve.run import Notify, Run, Say, SyncResult


def sync(
    config_path: str,
    *,
    only: Sequence[str] = (),
    plan: bool = False,
    wait: float = 0,
    expect: str | None = None,
    expect_timeout: float = 60,
    verify: bool = False,
    drain: float | None = None,
    patience: float | None = None,
    say: Say | None = None,
    notify: Notify | None = None,
) -> SyncResult:
    """Bring what is served in step with the remote.

    only: names of saltenvs, all when empty. plan: change nothing that is served. wait: seconds to wait
    for the lock. expect: a commit that one of the branches must contain; the remote is asked again
    until it does, for expect_timeout seconds. verify: look at every served file, too. say: told what
    takes time. notify: called after the switches; what it returns is noted. drain: how many seconds each switch waits
    for state runs, None for what is configured; patience: how many seconds this call waits for them at the most, then
    it leaves them to the next sync.
    Raises RemoteError, GitError, ConfigError, RootError, LockedError, UsageError, RefusedError.
    """
    expect = _hash_or_none(expect)
    try:
        with files.private_umask():
            root = _find_root(config_path, write=not plan)
            if root is None:
                from saltbranch.serve import first_sync

                return first_sync.plan_first(config_path, only)
            lock = files.Lock(f"{root}/lock", wait=wait, waiting=say)
            with _sending(root, config_path, write=not plan) as sending, lock:
                mirror = Mirror(root)

                def serve() -> SyncResult:
                    look = fetch.look(
                        mirror, root, config_path,
                        expect=expect, patience=expect_timeout, verify=verify, write=not plan, say=say,
                    )  # fmt: skip
                    lock.keep_with_children()
                    look.drain_seconds = drain
                    run = reconcile.decided(look, write=not plan)
                    result = reconcile.reconcile(run, only, plan=plan, notify=notify)
                    if not plan:
                        lock.keep_from_children()
                        reconcile.tell_journal(run)
                        _hear(root, run.choices.journal)
                        sending.promote = _is_promotion_due(root, run)
                    return result

                if plan:
                    return serve()
                try:
                    result = serve()
                except UsageError:
                    raise  # a misspelt name says nothing of what is served
                except (SaltbranchError, OSError) as err:
                    _remember_failure(root, str(err))
                    if isinstance(err, RemoteError):
                        _serve_pending(mirror, root, config_path, lock, say=say, notify=notify)
                        _go_on_with_labs(mirror, root, config_path, lock, say=say, notify=notify)
                    raise
                result.unread_news = prepared.save_unread(root, result.unread)
                _remember_failure(root, _problems(result))
            if result.drain or result.moving is not None or result.to_tell:
                from saltbranch.serve.drained import Place

                _wait(Place(mirror, root, config_path), result, patience, say, notify)
            return result
    except OSError as err:
        raise os_error(err) from err


def restart_if_needed(result: SyncResult) -> bool:
    """Restart the salt-master where `result` says that it has to be; False where that failed, as its problems tell."""
    if not result.restart_needed or result.plan:
        return True
    from saltbranch.salt_master.process import restart_master

    try:
        restart_master()
    except SaltbranchError as err:
        result.problems.append(f"{err.message}; {err.hint}" if err.hint else err.message)
        return False
    result.restart_needed = None
    result.notes.append("restarted the salt-master")
    return True


def _wait(
    place: Place, result: SyncResult, patience: float | None, say: Say | None, notify: Notify | None
) -> None:
    """Wait for what holds up saltenvs and labs of `result`, which then says what became of them."""
    from saltbranch.serve import drained

    try:
        if result.moving is not None or result.to_tell:
            from saltbranch.serve import lent_later

            lent_later.finish(place, result, say=say, tell=notify)
        drained.finish(place, result, patience=patience, say=say, notify=notify)
    except (SaltbranchError, OSError) as err:
        _remember_failure(place.root, str(err))
        raise
    finally:
        _send(place.root, place.config_path)
    _remember_failure(place.root, _problems(result))


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
    if root is not None and prepared.is_made_from(root, config_path) and files.check_root(root):
        return root
    from saltbranch.repository import root as roots

    return roots.open_root(config_path, write=write)


def _problems(result: SyncResult) -> str:
    of_saltenvs = [
        f"{s.saltenv}: {s.message}"
        for s in result.saltenvs
        if s.state in reconcile.PROBLEMS or s.refused
    ]
    model = [result.model_problem] if result.model_problem else []
    return "\n".join([*of_saltenvs, *result.problems, *model])


def _remember_failure(root: str, text: str) -> None:
    """Keep the reason of a failed run for `status`; a good run clears it and leaves its time."""
    failure, seen = f"{root}/state/failure", f"{root}/state/seen"
    try:
        # People are told before it is remembered: a run that is killed in between tells it again.
        if text:
            from saltbranch.serve import notices

            before = (files.read_or_none(failure) or b"").decode("utf-8", "replace")
            notices.failed(root, before, text)
            files.write_atomic(failure, text, durable=False)
            return
        if os.path.exists(failure):
            from saltbranch.serve import notices

            notices.good_again(root)
            files.unlink(failure)
        try:
            os.utime(seen)
        except FileNotFoundError:
            files.write_atomic(seen, "the time of this file is that of the last good sync\n")
    except OSError:
        pass  # a full or read-only disk has already been reported by what failed first


class _sending:  # noqa: N801 - reads like a function
    """Let what is in the outbox be sent once the lock is given back, however the sync ended."""

    def __init__(self, root: str, config_path: str, *, write: bool) -> None:
        self.root, self.config_path, self.write = root, config_path, write
        self.promote = False

    def __enter__(self) -> _sending:
        return self

    def __exit__(self, *_exc: object) -> None:
        if self.write:
            _send(self.root, self.config_path)
        if self.promote:
            from saltbranch.serve import promoter

            promoter.start(self.root, self.config_path)


def _send(root: str, config_path: str) -> None:
    """Start whoever sends, where something is due; a sync without news looks into one folder."""
    outbox = f"{root}/state/outbox"
    try:
        if not os.listdir(f"{outbox}/queue"):
            return
        left = os.stat(f"{outbox}/pause").st_mtime - time.time()
    except OSError:
        return  # nobody wants to be told of anything
    if not 0 < left <= 1800:  # more is left only where the clock went back
        from saltbranch.notify.start import start

        start(root, config_path)


def _hear(root: str, journal: str) -> None:
    """Where people are told of the journal's entries, see whether it has new ones; the price is one small file."""
    heard = files.read_or_none(f"{root}/state/outbox/heard")
    if heard is not None and heard != journal.encode():
        from saltbranch.notify import outbox

        outbox.hear(root, journal)


def _is_promotion_due(root: str, run: Run) -> bool:
    """Whether one may move by itself; the price is one small file, where this machine promotes at all."""
    data = files.read_or_none(f"{root}/state/promotions")
    if data is None:
        return False
    again, _, seen = data.decode("utf-8", "surrogateescape").partition("\n")
    return seen != decision.heads(run.refs, run.ready) or (
        again.isdigit() and int(again) <= time.time()
    )


def _serve_pending(
    mirror: Mirror,
    root: str,
    config_path: str,
    lock: files.Lock,
    *,
    say: Say | None,
    notify: Notify | None,
) -> None:
    """A hold that was made here counts also while the remote cannot be read."""
    if not os.path.exists(files.pending_path(root)):
        return
    ready = prepared.load(root, config_path)
    if ready and mirror.exists():
        from saltbranch.journal import pending_holds

        known = [s.name for s in ready.saltenvs]
        held = pending_holds.saltenvs(pending_holds.load(root), known)
        if held:
            lock.keep_with_children()
            look = reconcile.look_at_mirror(mirror, ready, say)
            reconcile.serve_from_mirror(look, held, notify)


def _go_on_with_labs(
    mirror: Mirror,
    root: str,
    config_path: str,
    lock: files.Lock,
    *,
    say: Say | None,
    notify: Notify | None,
) -> None:
    """A minion that is being moved gets nothing, and a claim has its end, also while the remote cannot be read."""
    ready = prepared.load(root, config_path, within=True)
    if ready is None or not ready.labs or not mirror.exists():
        return
    from saltbranch.serve import lent_later
    from saltbranch.serve.drained import Place

    lent_later.go_on(Place(mirror, root, config_path), lock, say=say, tell=notify)
