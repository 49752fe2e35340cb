"""Taking an apply back: to which commit, on which minions, and what that does not undo."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from saltbranch.actions.rollback import plan_rollback
from saltbranch.apply.ask_preview import Preview
from saltbranch.apply.batches import only
from saltbranch.apply.run_state import ROLLBACK, Pass, Record
from saltbranch.apply.stays import Stays, stays_from_dict
from saltbranch.base.errors import RefusedError
from saltbranch.repository.workplace import Workplace

Tell = Callable[[int, int], None]


def _silent(_done: int, _of: int) -> None:
    """Nobody looks on."""


def stays_at(
    work: Workplace, saltenv: str, commit: str, minions: Iterable[str], *, tell: Tell = _silent
) -> Stays:
    """What stays on `minions` where a rollback of the saltenv takes `commit` back. Raises RefusedError, UsageError."""
    found = plan_rollback(work, saltenv, to=None, reason="to look")
    return Preview(work.place, saltenv, tell=tell).stays(commit, found.will_serve or "", minions)


def plan_back(work: Workplace, record: Record, *, tell: Tell = _silent) -> Stays:
    """Add to `record`, which is not written here, that the apply is taken back; what that does not undo.

    Raises RefusedError where there is nothing to take back, or nothing to go back to.
    """
    touched = record.first.touched()
    if not touched:
        raise RefusedError(
            f"apply {record.id} has not touched any minion, so there is nothing to take back",
            hint=f"saltbranch apply --abort {record.id} ends it",
        )
    reason = f"apply {record.id}: {record.why or 'taken back'}"[:900]
    found = plan_rollback(work, record.saltenv, to=None, reason=reason)
    former = found.will_serve or ""
    stays = stays_from_dict(record.stays)
    if stays is None or stays.former != former:
        preview = Preview(work.place, record.saltenv, tell=tell)
        stays = preview.stays(record.first.commit, former, touched)
    stays = stays.of(touched)
    record.former, record.hold, record.stays = former, found.event.as_dict(), stays.as_dict()
    batches = only(record.first.batches, touched)
    record.passes.append(Pass(ROLLBACK, former, [list(b) for b in batches], {}))
    return stays
