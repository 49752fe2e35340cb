"""The journal on disk: `refs/saltbranch/journal`, one commit for each event, each on top of the one before.

Read along the first parents. Further parents are the commits that an event speaks of, so that
these are fetched and kept with it, whatever becomes of the branches.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import replace

from saltbranch.base.errors import GitError
from saltbranch.git.identity import identity
from saltbranch.git.mirror import JOURNAL_REF
from saltbranch.git.program import Git, quoted
from saltbranch.journal import events
from saltbranch.journal.events import Event

_FEW = 256  # commits: about as many as come between two looks
_NEWEST = (
    500  # commits that are read where only the newest are needed: more than most verbs ask for
)
_ROOT = "The journal of saltbranch: one commit for each event\n"
# git knows it without having it stored (object-file.c, cached objects); pushing it sends it along.
_EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


def read(
    git: Git, head: str | None, *, since: str | None = None, limit: int | None = None
) -> list[Event]:
    """The events up to the journal commit `head`, the oldest first; those after `since` only.

    limit: of the newest commits only so many. What is not an event is passed over. Raises GitError.
    """
    if head is None:
        return []
    newest = _entries(git, head, since, _NEWEST)
    if limit is not None and limit <= _NEWEST:
        chosen = newest[-limit:] if limit > 0 else []
    else:
        chosen = newest if len(newest) < _NEWEST else _entries(git, head, since, limit)
    found = (events.parse_message(commit, message) for commit, message in chosen)
    return [event for event in found if event]


def _entries(
    git: Git, head: str, since: str | None, limit: int | None
) -> tuple[tuple[str, str], ...]:
    """Commit and message of so many of the newest, the oldest first; asked once in a verb."""
    args = ["log", "--first-parent", "--reverse", "-z", "--format=%H%n%B"]
    args += [f"--max-count={limit}"] if limit is not None else []
    args += ["--end-of-options", head, *([f"^{since}"] if since else []), "--"]

    def find() -> tuple[tuple[str, str], ...]:
        parts = (entry.partition("\n") for entry in git.out(*args).split("\0") if entry)
        return tuple((commit, message) for commit, _, message in parts)

    return git.once(("journal", head, since, limit), find)


def read_on(git: Git, head: str, since: str) -> list[Event] | None:
    """The events after the journal commit `since`; None where `head` does not go on from it. Raises GitError.

    It is looked for along the first parents, a few and then more: to leave out what `since` contains (``^since``) git
    would go by dates, and where a clock was wrong read everything.
    """
    for limit in (_FEW, _FEW * 16, None):
        args = ["log", "--first-parent", "-z", "--format=%H %P%n%B", "--end-of-options", head, "--"]
        args[1:1] = [f"--max-count={limit}"] if limit else []
        entries = [entry.partition("\n") for entry in git.out(*args).split("\0") if entry]
        parents = [names.split(" ")[1:2] for names, _, _ in entries]
        if [since] in parents:
            new = entries[: parents.index([since]) + 1]
            found = (
                events.parse_message(names.split(" ")[0], text) for names, _, text in new[::-1]
            )
            return [event for event in found if event]
        if limit and len(entries) < limit:
            break
    return None


def _goes_on(git: Git, old: str, new: str) -> bool:
    """Whether the journal `new` goes on from `old`: along its first parents, for further ones are what events name."""
    newest = _entries(git, new, None, _NEWEST)
    if any(commit == old for commit, _ in newest):
        return True
    if len(newest) < _NEWEST:
        return False
    return old in git.out("rev-list", "--first-parent", "--end-of-options", new, "--").split("\n")


def append(git: Git, head: str | None, new: Sequence[Event]) -> tuple[str, list[Event]]:
    """Write `new` on top of `head` into the object database: the new head, and the events with their commits.

    No ref moves here. Raises GitError.
    """
    person = identity(git)
    if head is None:
        # A root of its own, so that also the first event can have further parents.
        head = git.out("commit-tree", "-m", _ROOT, _EMPTY_TREE, config=person).strip()
    here = _present(git, [c for event in new for c in event.names()])
    written = []
    for event in new:
        parents = [head, *(c for c in event.names() if c in here)]
        args = [word for parent in parents for word in ("-p", parent)]
        head = git.out(
            "commit-tree", *args, "-F", "-", _EMPTY_TREE, config=person, stdin=event.message().encode()
        ).strip()  # fmt: skip
        written.append(replace(event, commit=head))
    return head, written


def _present(git: Git, commits: Sequence[str]) -> set[str]:
    """Those that are here; an event may speak of one that is not any more."""
    if not commits:
        return set()
    found = git.objects_named(list(dict.fromkeys(commits)))
    return {entry[0] for entry in found if entry and entry[1] == "commit"}


def new_id(now: float | None = None) -> str:
    """An id for an event: its time, so that they sort, and 32 random bits."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    return f"{stamp}-{secrets.token_hex(4)}"


class NoJournalError(GitError):
    """What stands in its place on the remote can be no journal at all."""


def check_chain(git: Git, old: str | None, new: str | None, in_the_way: Sequence[str] = ()) -> None:
    """Refuse what is not a journal, or does not go on from the one seen before. Raises GitError, NoJournalError.

    in_the_way: refs below that of the journal, which exclude it (git keeps refs as files once were).
    """
    back = f"git push --force REMOTE {old}:{JOURNAL_REF}" if old else ""
    if in_the_way:
        gone = f"git push REMOTE --delete {' '.join(quoted(ref) for ref in in_the_way[:20])}"
        raise NoJournalError(
            f"the journal of the remote cannot be written: {in_the_way[0]} is in the way of {JOURNAL_REF}",
            hint=f"find out who did it; to make room: {' && '.join(filter(None, (gone, back)))}",
        )
    told = git.objects_named([new])[0] if new else None
    kind = told[1] if told else "" if new else "commit"
    if kind != "commit":
        raise NoJournalError(
            f"the journal of the remote is a {kind or 'missing object'} and not a commit: {JOURNAL_REF} is {new}",
            hint=f"find out who did it; to fix it: {back or f'git push REMOTE --delete {JOURNAL_REF}'}",
        )
    if old and (new is None or not _goes_on(git, old, new)):
        raise GitError(
            f"the journal of the remote was rewritten or removed: it does not contain {old[:12]}",
            hint=f"find out who did it; to bring it back: git push REMOTE {old}:{JOURNAL_REF} --force",
        )
