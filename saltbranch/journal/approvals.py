"""Approvals as the journal has them: nothing that was judged yet, since whoever may push can write it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final

from saltbranch.journal.events import Event

APPROVE: Final = "approve"
REVOKE: Final = "revoke"
"""What an event of an approval does."""
MOST: Final = 100
"""So many are kept for one saltenv, the newest of each key: who was flooded out of it approves once more."""
MOST_OF_ALL: Final = 400
"""So many are kept in all, for whoever floods the journal may make saltenvs up."""
_LONGEST = 20_000  # characters of a signature
_LONGEST_ID = 100


@dataclass(frozen=True, slots=True)
class Approval:
    """Somebody says that they agree to a plan. digest: of the plan, all 64 digits. signature: of `signed_text`."""

    id: str
    saltenv: str
    digest: str
    signature: str
    time: float
    by: str


def signed_text(id_: str, saltenv: str, digest: str) -> bytes:
    """What is signed. By the id of its event no approval that was revoked can be told once more under another one."""
    return f"saltbranch approval 1\nid {id_}\nsaltenv {saltenv}\nplan {digest}\n".encode()


def is_digest(text: str) -> bool:
    """Whether `text` is the whole digest of a plan."""
    return len(text) == 64 and not text.strip("0123456789abcdef")


def approval_of(event: Event) -> Approval | None:
    """The approval that an event tells of; None when it lacks something, or is larger than any is."""
    saltenv, digest, signature = (event.text(k) for k in ("saltenv", "digest", "signature"))
    if not (saltenv and is_digest(digest) and 0 < len(signature) <= _LONGEST):
        return None
    if not (0 < len(event.id) <= _LONGEST_ID and event.id.isascii() and event.id.isprintable()):
        return None
    return Approval(
        id=event.id,
        saltenv=saltenv,
        digest=digest,
        signature=signature,
        time=event.time,
        by=event.by,
    )


def revoked_by(event: Event) -> str:
    """The id of the approval that an event takes back; empty where it names none."""
    name = event.text("approval")
    return name if len(name) <= _LONGEST_ID else ""


def apply(approvals: dict[str, Approval], revoked: set[str], event: Event) -> None:
    """Bring both on. Of two with one id the first counts, and one that was revoked never comes back."""
    action = event.text("action")
    if action == REVOKE:
        if name := revoked_by(event):
            revoked.add(name)
            approvals.pop(name, None)
    elif action == APPROVE and (found := approval_of(event)) is not None:
        if found.id in revoked or found.id in approvals:
            return
        mine = [a for a in approvals.values() if a.saltenv == found.saltenv]
        if len(mine) >= MOST or len(approvals) >= MOST_OF_ALL:
            del approvals[_least(mine if len(mine) >= MOST else [*approvals.values()]).id]
        approvals[found.id] = found


def _least(told: list[Approval]) -> Approval:
    """Which of them goes: the oldest of the key that most of them name, so that a flood by one key takes its own.

    One that makes up a key for each takes the oldest of all.
    """
    by_key: dict[str, list[Approval]] = {}
    for approval in told:
        by_key.setdefault(_key(approval.signature), []).append(approval)
    return max(by_key.values(), key=len)[0]


@functools.lru_cache(MOST_OF_ALL)
def _key(signature: str) -> str:
    from saltbranch.base.ssh_keys import signing_key  # only after a flood of them

    return signing_key(signature)
