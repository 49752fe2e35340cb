"""Which journal a master believes, and what follows from it and from the holds that only this master has.

A journal only ever grows: one that was rewritten leaves in force what was believed before.
"""

from __future__ import annotations

from collections.abc import Sequence

from saltbranch.base import files
from saltbranch.base.errors import GitError
from saltbranch.base.text import one_line
from saltbranch.git.mirror import KEPT_REF, Refs
from saltbranch.git.program import Git, quoted
from saltbranch.journal import events, pending_holds
from saltbranch.journal import state as journal_state
from saltbranch.journal import store as journal
from saltbranch.journal.events import Event
from saltbranch.journal.state import State
from saltbranch.journal.store import NoJournalError


def believed(root: str, git: Git, refs: Refs, last: str) -> tuple[str, str]:
    """The head of the journal to believe, and what is wrong with the fetched one.

    last: the head that was believed before, for a mirror that was rebuilt since. Raises GitError.
    """
    kept = refs.kept or last
    if kept != refs.journal or refs.in_the_way:
        try:
            journal.check_chain(git, kept or None, refs.journal or None, refs.in_the_way)
        except GitError as err:
            named = quoted(files.choices_path(root)), quoted(git.directory)
            how = "rm {}; git --git-dir={} update-ref -d {}".format(*named, KEPT_REF)
            accept = (
                "" if isinstance(err, NoJournalError) else f"; to accept what the remote has: {how}"
            )
            holds = "; the holds that stood in the last good one stay in force" if kept else ""
            return kept, one_line(f"{err.message}{holds} ({err.hint}{accept})")
    return refs.journal, ""


def state_of(root: str, git: Git, refs: Refs) -> State:
    """All that follows from the accepted journal and the pending holds. Raises GitError, SaltbranchError."""
    head, _ = believed(root, git, refs, "")
    from saltbranch.journal import (
        cache as journal_cache,  # not for a sync, which reads on from what it kept itself
    )

    state = journal_cache.state(git, head or None)
    pending = pending_holds.load(root)
    return journal_state.replay(not_told(pending, state.events), state) if pending else state


def was_held(root: str, git: Git, saltenv: str, commit: str) -> bool:
    """Whether the journal, or a pending hold, ever held `saltenv` at `commit`. Raises GitError."""
    told = journal.read(git, git.commit_or_none(KEPT_REF)) + pending_holds.load(root)
    return any(
        event.text("saltenv") == saltenv
        and commit
        in (
            event.commit_of("hold_moves_to"),
            event.commit_of("commit") if event.kind in (events.HOLD, events.ROLLBACK) else None,
        )
        for event in told
    )


def not_told(pending: Sequence[Event], told: Sequence[Event]) -> list[Event]:
    """Those of `pending` that the journal does not have."""
    known = {event.id for event in told}
    return [event for event in pending if event.id not in known]
