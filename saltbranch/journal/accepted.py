"""Which journal a master believes, and what follows from it and from the holds that only this master has.

A journal only ever grows: one that was rewritten leaves in force what was believed before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from saltbranch.base import files
from saltbranch.base.errors import GitError
from saltbranch.base.text import one_line
from saltbranch.git.mirror import KEPT_BY_VERBS, KEPT_REF, Refs
from saltbranch.git.program import Git, quoted
from saltbranch.journal import events, pending_holds
from saltbranch.journal import state as journal_state
from saltbranch.journal import store as journal
from saltbranch.journal.events import Event
from saltbranch.journal.state import State
from saltbranch.journal.store import NoJournalError


@dataclass(frozen=True, slots=True)
class Believed:
    """Which journal counts. head: its commit. problem: with the one of the remote; then `head` is the one before.

    hint: what to do about it. before: the commit that was believed until now.
    """

    head: str | None
    problem: str = ""
    hint: str = ""
    before: str | None = None


def believed(git: Git, refs: Refs, *, last: str | None = None, root: str | None = None) -> Believed:
    """The journal of the remote where it goes on from the one that was believed before, which else stays: it only
    ever grows. Masters and clones ask here.

    root: the one that the mirror is of, None in a clone. last: the head that was believed before, for a mirror that
    was rebuilt since. Raises GitError.
    """
    kept = _newest(git, refs.kept or last or None, refs.kept_by_verbs)
    if kept == refs.journal and not refs.in_the_way:
        return Believed(kept, before=kept)
    try:
        journal.check_chain(git, kept, refs.journal, refs.in_the_way)
    except GitError as err:
        if isinstance(err, NoJournalError):
            return Believed(kept, err.message, err.hint, kept)
        there = [r for r, c in ((KEPT_REF, refs.kept), (KEPT_BY_VERBS, refs.kept_by_verbs)) if c]
        forget = [f"git --git-dir={quoted(git.directory)} update-ref -d {ref}" for ref in there]
        how = "; ".join([*([f"rm {quoted(files.choices_path(root))}"] if root else []), *forget])
        return Believed(
            kept, err.message, f"{err.hint}; to accept what the remote has: {how}", kept
        )
    return Believed(refs.journal, before=kept)


def _newest(git: Git, one: str | None, other: str | None) -> str | None:
    """The one that contains the other; the first where neither does. Raises GitError."""
    if one and other and one != other:
        return other if git.is_ancestor(one, other) else one
    return one or other


def believed_by_sync(root: str, git: Git, refs: Refs, last: str) -> tuple[str, str]:
    """The head of the journal that a sync believes, and what is to be said of the remote's. Raises GitError.

    last: see `believed`.
    """
    found = believed(git, refs, last=last, root=root)
    if not found.problem:
        return found.head or "", ""
    holds = "; the holds that stood in the last good one stay in force" if found.head else ""
    return found.head or "", one_line(f"{found.problem}{holds} ({found.hint})")


def state_of(root: str, git: Git, refs: Refs) -> State:
    """All that follows from the accepted journal and the pending holds. Raises GitError, SaltbranchError."""
    head = believed(git, refs).head
    from saltbranch.journal import (
        cache as journal_cache,  # not for a sync, which reads on from what it kept itself
    )

    state = journal_cache.state(git, head)
    pending = pending_holds.load(root)
    return journal_state.replay(not_told(pending, state.events), state) if pending else state


def was_held(root: str, git: Git, saltenv: str, commit: str) -> bool:
    """Whether the journal, or a pending hold, ever held `saltenv` at `commit`. Raises GitError."""
    told = journal.read(git, git.commit_or_none(KEPT_REF)) + pending_holds.load(root)
    return any((saltenv, commit) in event.held_rows() for event in told) or any(
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
