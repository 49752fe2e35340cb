"""What a sync that moves minions does once it has let go of the lock: wait, look for state runs, go on."""

from __future__ import annotations

import json
import os
import time

from saltbranch.base import files, proc
from saltbranch.base.errors import SaltbranchError
from saltbranch.labs.lent import GAP
from saltbranch.repository import prepared
from saltbranch.serve import bus_event, lab_minions, reconcile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from saltbranch.repository.prepared import Prepared
    from saltbranch.serve.drained import Place
    from saltbranch.serve.run import Notify, Say, SyncResult

_LOCK = 60  # seconds to wait for another saltbranch, each time
_RUNS = 60  # seconds for which state runs are waited for; the next sync goes on
_PAUSE = 1.0
_ANSWER = 60  # seconds for an answer of the process that looks


def finish(place: Place, result: SyncResult, *, say: Say | None, tell: Notify | None) -> None:
    """Go on until the minions of `result` are where they belong, which it then says. tell: about what is switched.

    The caller does not hold the lock. Raises what a sync raises.
    """
    end = time.monotonic() + 2 * GAP + _RUNS
    watch = _Watch(place)
    said = False
    try:
        while result.moving is not None and time.monotonic() < end:
            if say and not said:
                say(f"minions are being moved, which takes {GAP:g} s at least")
                said = True
            watch.begin()
            due = time.monotonic() + max(result.moving, 0.05)
            pins = lab_minions.pins(place)
            time.sleep(max(due - time.monotonic(), 0))
            done = _again(place, watch.busy(), {}, pins=pins, say=say, tell=tell)
            if done is None:
                return
            result.take(done)
            result.moving, result.to_tell = done.moving, done.to_tell
            if result.moving is not None:
                result.moving = max(result.moving, _PAUSE)
    finally:
        watch.close()
    if result.to_tell:
        result.notes += lab_minions.tell(place, result.to_tell)
        _again(place, None, result.to_tell, pins={}, say=say, tell=tell)


def go_on(place: Place, lock: files.Lock, *, say: Say | None, tell: Notify | None) -> None:
    """What is to be done by what was fetched last, by a sync that holds `lock` and fails.

    Here the lock is kept all the time, for two gaps and what minions take to answer: whoever comes meanwhile would
    wait as well.
    """
    lock.keep_with_children()
    try:
        result = _step(place, None, {}, say, tell)
        if result is None or (result.moving is None and not result.to_tell):
            return
        watch = _Watch(place)
        end = time.monotonic() + 2 * GAP
        try:
            while result is not None and result.moving is not None and time.monotonic() < end:
                watch.begin()
                due = time.monotonic() + (result.moving or _PAUSE)
                lab_minions.refuse(place.root, lab_minions.pins(place))
                time.sleep(max(due - time.monotonic(), 0))
                result = _step(place, watch.busy(), {}, say, tell)
        finally:
            watch.close()
        if result is not None and result.to_tell:
            lab_minions.tell(place, result.to_tell)
            _step(place, None, result.to_tell, say, tell)
    except (SaltbranchError, OSError):
        return  # what failed first is told; the next sync goes on


def _again(
    place: Place,
    busy: frozenset[str] | None,
    told: dict[str, str],
    *,
    pins: Mapping[str, tuple[str, str]],
    say: Say | None,
    tell: Notify | None,
) -> SyncResult | None:
    """The next step under the lock; None where the configuration is another one by now. pins: as lab_minions has it."""
    path = f"{place.root}/lock"
    with files.private_umask(), files.Lock(path, wait=_LOCK, waiting=say) as lock:
        lock.keep_with_children()
        refused = lab_minions.refuse(place.root, pins)
        done = _step(place, busy, told, say, tell)
        if done is not None:
            done.notes = [*refused, *done.notes]
        return done


def _step(
    place: Place,
    busy: frozenset[str] | None,
    told: dict[str, str],
    say: Say | None,
    tell: Notify | None,
) -> SyncResult | None:
    """The next step, by what was fetched; None where the configuration is another one by now."""
    ready = prepared.load(place.root, place.config_path, within=True)
    if ready is None or not ready.labs:
        return None
    look = reconcile.look_at_mirror(place.mirror, ready, say)
    look.unread = prepared.load_unread(place.root)
    look.busy, look.told = busy, told
    run = reconcile.decided(look, write=True)
    return reconcile.reconcile(run, ready.lab_names(), plan=False, notify=tell)


class _Watch:
    """Which minions and saltenvs have state runs under way: see serve/drain.py."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._process: proc.Companion | None = None

    def _listens(self) -> Prepared | None:
        ready = prepared.load(self._place.root, self._place.config_path, within=True)
        return ready if ready and bus_event.listens(ready.socket) else None

    def begin(self) -> None:
        """Let the process be ready by the time that it is asked."""
        if self._process is None and self._listens():
            code = (
                "import os; os.closerange(3, 1 << 20);"
                " from saltbranch.serve import drain_watch; drain_watch.main()"
            )
            argv = proc.python(code, self._place.root, self._place.config_path)
            self._process = proc.Companion(argv, os.environ)

    def busy(self) -> frozenset[str] | None:
        """Names of them; none where no master runs, so that nobody gets files. None where that is not known."""
        if self._process is None:
            return None if self._listens() else frozenset()
        try:
            answer = json.loads(self._process.ask(json.dumps({"do": "look"}), _ANSWER))
            runs = answer["runs"]
            return frozenset([r["minion"] for r in runs] + [n for r in runs for n in r["saltenvs"]])
        except (SaltbranchError, ValueError, KeyError, TypeError):
            self.close()
            return None

    def close(self) -> None:
        """End the process."""
        if self._process:
            self._process.close()
            self._process = None
