"""The journal on disk: `refs/saltbranch/journal`, one commit for each event, each on top of the one before.

Read along the first parents. Further parents are the commits that an event speaks of, so that
these are fetched and kept with it, whatever becomes of the branches.
"""

from __future__ import annotations

import functools
import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import replace

from saltbranch import events
from saltbranch.errors import GitError
from saltbranch.events import Event
from saltbranch.git import Git

REF = "refs/saltbranch/journal"
# git knows it without having it stored (object-file.c, cached objects); pushing it sends it along.
_EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


def read(git: Git, head: str | None, *, since: str | None = None) -> list[Event]:
    """The events up to the journal commit `head`, the oldest first; those after `since` only.

    What is no event is passed over. Raises GitError.
    """
    if head is None:
        return []
    args = ["log", "--first-parent", "--reverse", "-z", "--format=%H%n%B"]
    args += ["--end-of-options", head, *([f"^{since}"] if since else []), "--"]
    found = []
    for entry in git.out(*args).split("\0"):
        commit, _, message = entry.partition("\n")
        event = events.parse_message(commit, message)
        if event:
            found.append(event)
    return found


def state(git: Git, head: str | None) -> events.State:
    """What follows from the journal. Raises GitError."""
    return events.replay(read(git, head))


def append(git: Git, head: str | None, new: Sequence[Event]) -> tuple[str, list[Event]]:
    """Write `new` on top of `head` into the object database: the new head, and the events with their commits.

    No ref moves here. Raises GitError.
    """
    person = identity(git)
    written = []
    for event in new:
        parents = [head] if head else []
        # A root commit would read as the end of the journal, so the first event names nothing.
        parents += [c for c in _present(git, event.names()) if c not in parents] if head else []
        args = [word for parent in parents for word in ("-p", parent)]
        head = git.out(
            "commit-tree", *args, "-m", event.message(), _EMPTY_TREE, config=person
        ).strip()
        written.append(replace(event, commit=head))
    if head is None:
        raise AssertionError("nothing to append")
    return head, written


def _present(git: Git, commits: list[str]) -> list[str]:
    """Those that are here; an event may speak of one that is not any more."""
    return [c for c in commits if git.commit_or_none(c)]


def new_id(now: float | None = None) -> str:
    """An id for an event: its time, so that they sort, and 32 random bits."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    return f"{stamp}-{secrets.token_hex(4)}"


def who(git: Git) -> str:
    """The person who runs this, as git knows them: `Ann <ann@example.com>`; else user and host."""
    return _who(git.directory, tuple(sorted(git.env.items())))


@functools.lru_cache(maxsize=8)
def _who(directory: str, environment: tuple[tuple[str, str], ...]) -> str:
    git = Git(directory)
    git.env = dict(environment)
    done = git.run("var", "GIT_COMMITTER_IDENT")
    words = done.text.strip().rsplit(" ", 2)
    if done.code == 0 and len(words) == 3 and not words[0].startswith("<"):
        return words[0]
    return f"{_user()} <{_user()}@{os.uname().nodename}>"


def _user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"uid{os.geteuid()}"


def identity(git: Git) -> tuple[str, ...]:
    """Configuration that lets git write a commit where it does not know the person."""
    name, _, mail = who(git).partition(" <")
    return (f"user.name={name}", f"user.email={mail.rstrip('>')}")


def check_chain(git: Git, old: str | None, new: str | None) -> None:
    """Refuse a journal that does not go on from the one seen before. Raises GitError."""
    if old and (new is None or not git.is_ancestor(old, new)):
        raise GitError(
            f"the journal of the remote was rewritten or removed: it does not contain {old[:12]}",
            hint=f"find out who did it; to bring it back: git push REMOTE {old}:{REF} --force",
        )
