"""What is told of an apply that is over, or has stopped: to the journal, and to people.

The record of an apply has the journal's entries until they were handed over. So whoever comes after a kill does that;
their ids are the same, and the journal has each once.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack

from saltbranch.actions.shared.after_push import WAIT
from saltbranch.apply import run_state
from saltbranch.apply.engine import told
from saltbranch.apply.outcome import APPLIED, NOTHING_CHANGES
from saltbranch.apply.run_state import OVER, ROLLBACK, UNDER_WAY, Record
from saltbranch.base import files
from saltbranch.base.asked_by import shortened
from saltbranch.base.durations import iso
from saltbranch.base.errors import RefusedError, SaltbranchError, os_error
from saltbranch.base.text import one_line
from saltbranch.config.model import Config
from saltbranch.journal import events
from saltbranch.journal import store as journal
from saltbranch.journal.events import Event
from saltbranch.notify import gather, start
from saltbranch.repository.masters import known_as
from saltbranch.serve import leased, report

_MOST_NAMED = 20  # minions, and decisions, that the journal names


def end(config: Config, record: Record, now: float, more: Iterable[Event] = ()) -> None:
    """It has ended, and that is still to be told. more: events that are told with it. The caller saves it."""
    record.ended = now
    told = entry(record, journal.new_id(now), now, master=known_as(config.root)[0])
    record.untold += [event.as_dict() for event in (told, *more)]


def tell(config: Config, record: Record, wait: float = WAIT) -> list[str]:
    """Hand over what `record` has to tell, once; what went wrong with that. wait: seconds for the lock of the root.

    The next sync publishes it, where masters tell the journal what they do, and whoever reads the journal is told.
    Elsewhere only this master's people are. The caller holds the lock of the apply.
    """
    root, found = config.root, [events.from_dict(data) for data in record.untold]
    if not found:
        return []
    try:
        with ExitStack() as stack:
            if config.record_syncs:
                stack.enter_context(files.Lock(f"{root}/lock", wait=wait))
            for event in filter(None, found):
                if config.record_syncs:
                    report.keep(root, event)
                else:
                    gather.tell_here(root, event)
        if not config.record_syncs:
            start.start_if_wanted(root, config.path)
        record.untold = []
        run_state.save(root, record)
    except OSError as err:
        return [f"not recorded in the journal yet: {os_error(err).message}"]
    except SaltbranchError as err:
        return [f"not recorded in the journal yet: {err.message}"]
    return []


def finish(config: Config, record: Record, wait: float = WAIT) -> list[str]:
    """Do what is left of an apply whose process was killed after its end; the caller holds the lock of the apply."""
    if record.status == UNDER_WAY or not record.untold:
        return []
    lease = leased.read(config.root, record.dirname, record.ended or 0.0)
    if lease and lease.apply == record.id:
        leased.drop(config.root, record.dirname)
    run_state.forget_request(config.root, record.id)
    return tell(config, record, wait)


def finish_in_passing(config: Config, record: Record) -> None:
    """The same for whoever only looks: at once or not at all, and nothing is raised that is expected."""
    if not record.untold:
        return
    path = run_state.lock_path(config.root, record.dirname)
    try:
        with files.private_umask(), files.Lock(path):
            finish(config, run_state.load(config.root, record.id), wait=0)
    except (SaltbranchError, OSError):
        pass  # somebody is at it, or this user may not write here


def check_goes_on(root: str, record: Record) -> None:
    """Raise RefusedError where nothing can be gone on with."""
    if record.status in OVER:
        raise RefusedError(
            f"apply {record.id} is {record.status}", hint=f"saltbranch apply {record.saltenv}"
        )
    if newer := run_state.superseded_by(root, record):
        # What was applied and proven before that one says nothing of the minions now.
        raise RefusedError(
            f"apply {record.id} cannot go on: apply {newer.id} of {newer.saltenv} came after it",
            hint=f"saltbranch apply --abort {record.id} ends it",
        )


def entry(record: Record, id_: str, now: float, *, master: str) -> Event:
    """What the journal is told. master: the name under which this one tells."""
    first, last = record.first, record.last
    is_back = last.kind == ROLLBACK
    left_out = {m: why for m, why in record.skipped.items() if m not in first.minions}
    details = {
        "saltenv": record.saltenv,
        "commit": first.commit,
        "apply": record.id,
        "status": record.status,
        "since": iso(record.since),
        "told": told(first),
        "why": shortened(one_line(record.why)),
        "counts": first.counts(),
        "of": len(first.minions) + len(left_out),
        "unchanged": sum(why == NOTHING_CHANGES for why in left_out.values()),
        "failed": {one_line(m): first.of(m).state for m in first.wrong()[:_MOST_NAMED]},
        "rolled_back_to": last.commit if is_back else None,
        "back": last.counts().get(APPLIED, 0) if is_back else 0,
        "decided": [shortened(one_line(line)) for line in record.decided[-_MOST_NAMED:]],
        "master": master,
        **record.asked,
    }
    return Event(events.APPLY, id_, now, record.by, details)
