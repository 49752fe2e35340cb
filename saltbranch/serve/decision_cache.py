"""What each saltenv is to serve, found out anew and kept for the syncs that follow.

Loaded by a sync only where something has changed of what the decisions follow from.
"""

from __future__ import annotations

import time

from saltbranch.base.errors import GitError, RemoteError
from saltbranch.git.mirror import KEPT_REF
from saltbranch.repository import decision
from saltbranch.repository.decision import Choices
from saltbranch.serve import fetch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from saltbranch.repository.prepared import Served
    from saltbranch.serve.decide import Facts
    from saltbranch.serve.run import Look


def renew(look: Look, served: dict[str, Served], *, write: bool) -> Choices:
    """What each saltenv is to serve, found out anew, for which `look` may read the remote again.

    served: what was recorded, by folder name. write: keep it. Raises RemoteError, GitError, SaltbranchError.
    """
    now = time.time()
    try:
        facts, found = _chosen(look, served, now, write=write)
    except RemoteError:
        raise
    except GitError:
        if look.offline or not write or _is_whole(look):
            raise
        look.see(fetch.rebuild(look.mirror, fetch.remote_of(look.ready), look.say))
        facts, found = _chosen(look, served, now, write=write)
    if write:
        _keep(facts, found)
    return found


def _is_whole(look: Look) -> bool:
    head, mirror = look.refs.journal, look.mirror
    return (not head or mirror.has_history(head)) and not fetch.is_damaged(mirror, look.refs)


def _chosen(
    look: Look, served: dict[str, Served], now: float, *, write: bool
) -> tuple[Facts, Choices]:
    """The answer, and from what it follows.

    A fetch does not see all refs at one moment, so before a branch is said to have moved by hand the remote is read
    once more: branches, journal and model of one look decide.
    """
    from saltbranch.serve import decide

    def facts() -> Facts:
        ready = look.ready
        return decide.Facts(
            root=ready.root,
            mirror=look.mirror,
            refs=look.refs,
            saltenvs=ready.saltenvs,
            served=served,
            now=now,
            production=ready.model[0] if ready.model else None,
            unread=look.unread,
            last=decision.load(ready.root, None, now),
            labs=ready.labs,
            lab_rules=ready.lab_rules,
        )

    first = facts()
    found = decide.choose(first)
    if look.offline or not found.news:
        return first, found
    before = decision.sources(
        first.root, first.refs, first.saltenvs, unread=first.unread, labs=first.labs
    )
    fetch.look_again(look, write=write)
    second = facts()
    if before == decision.sources(
        second.root, second.refs, second.saltenvs, unread=second.unread, labs=second.labs
    ):
        return second, found
    return second, decide.choose(second)


def _keep(facts: Facts, found: Choices) -> None:
    """Accept the fetched journal, and keep what was found for the syncs that follow. Raises GitError."""
    refs = facts.refs
    if not found.problem and refs.journal and refs.kept != refs.journal:
        facts.git.out("update-ref", KEPT_REF, refs.journal)
        refs.kept = refs.journal
    expected = decision.sources(
        facts.root, refs, facts.saltenvs, unread=facts.unread, labs=facts.labs
    )
    if found.loosened:
        expected += "\nfound anew each time"
    decision.save(facts.root, found, expected)
