"""status --masters: what every master serves, when it told so last, and which lags, by the journal."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from saltbranch.actions.shared.caller import Opener
from saltbranch.base.durations import iso
from saltbranch.git.program import mask
from saltbranch.repository import clone_or_mirror
from saltbranch.repository.masters import Master, masters_of
from saltbranch.repository.workplace import Workplace, open_mirror

_MOST = 500  # masters that are listed; more are made up


@dataclass(frozen=True, slots=True)
class Masters:
    """All masters that tell the journal. now: seconds since 1970.

    more: masters that are not listed. records: whether this machine tells it, too; None in a clone. notes: what is to
    be known of it. problems: why the journal of the remote is not believed, and of clocks.
    """

    remote: str
    now: float
    masters: tuple[Master, ...]
    more: int
    records: bool | None
    notes: tuple[str, ...]
    problems: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        return {
            "version": 1,
            "time": iso(self.now),
            "masters": [m.as_dict() for m in self.masters],
            "more": self.more,
            "records": self.records,
            "notes": list(self.notes),
            "problems": list(self.problems),
        }


def tell(opener: Opener, config: str | None, *, fetch: bool = True) -> Masters:
    """Of the clone one stands in, the remote read by `opener` first unless `fetch` is False, or of the machine.

    config: --config. Raises SaltbranchError.
    """
    place = clone_or_mirror.find(config)
    return masters(opener.open(fetch=fetch) if place.clone else open_mirror(place.path))


def masters(work: Workplace) -> Masters:
    """What the journal says, as it was last read. Raises GitError."""
    now = time.time()
    found = masters_of(work, now)
    records = work.config.record_syncs if work.serves else None
    clock = work.state.clock_problem(now)
    return Masters(
        remote=mask(work.config.remote),
        now=now,
        masters=found[:_MOST],
        more=max(0, len(found) - _MOST),
        records=records,
        notes=tuple(_notes(work, found, records=records)),
        problems=(*work.problems, *([clock] if clock else [])),
    )


def _notes(work: Workplace, found: Sequence[Master], *, records: bool | None) -> list[str]:
    told = []
    if records is False:
        told.append(
            f"this master is not among them: record_syncs: true in {work.config_path} lets it record"
        )
    elif not found:
        told.append("no master records what it serves: record_syncs: true in its own file")
    shared = list(dict.fromkeys(m.master for m in found if m.shared))
    if shared:
        more = f" and {len(shared) - 10} more" if len(shared) > 10 else ""
        which = ", ".join(shared[:10]) + more
        told.append(
            f"two roots record as {which}: give each master an `id:` of its own in Salt's configuration"
        )
    if any(m.clock_ahead for m in found):
        names = [m.name for m in found if m.clock_ahead]
        told.append(f"clocks ahead of this machine's: {', '.join(names[:10])} (timedatectl)")
    return told
