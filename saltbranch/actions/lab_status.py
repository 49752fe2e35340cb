"""What the labs of this master serve, and which minions have them now: the rows of `status`, and what `doctor` sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from saltbranch.base import files
from saltbranch.base.errors import GitError
from saltbranch.base.text import printable
from saltbranch.config.lab_places import LENT_FILE
from saltbranch.git import describe as commit_info
from saltbranch.git.describe import CommitInfo
from saltbranch.labs import lent
from saltbranch.labs.lab import Lab
from saltbranch.labs.look import look
from saltbranch.repository.workplace import Workplace
from saltbranch.serve import lab_minions
from saltbranch.serve.slots import Slots


@dataclass(frozen=True, slots=True)
class LabStatus:
    """One lab of this master.

    claim: as the journal has it, None where it is free. saltenv: whose minions it may have, and, unless pillar is
    ``branch``, whose pillar it has. served: what it serves. minions: those that it is to have; lent: those of them
    that have it now; moving: those that are on their way to it or back, and get nothing. open: whether others of the
    saltenv get it where they ask. refused: why the claim does not count here; freed: why one is over. pinned: minions
    that it does not get, with what pins them.
    """

    lab: str
    branch: str | None
    claim: dict[str, object] | None
    saltenv: str | None
    pillar: str
    served: CommitInfo | None
    head: str | None
    minions: tuple[str, ...]
    lent: tuple[str, ...]
    moving: tuple[str, ...]
    open: bool
    refused: str | None
    freed: str | None
    pinned: dict[str, str]

    @property
    def is_behind(self) -> bool:
        """Whether a sync would change what it serves, or who has it."""
        served = self.served.commit if self.served else None
        wanted = self.head if self.branch and not self.refused else None
        return served != wanted or set(self.minions) != set(self.lent) or bool(self.moving)


def labs_of(work: Workplace) -> tuple[LabStatus, ...]:
    """The labs, by what was fetched last; none where `labs:` is not set. Raises GitError, SaltError."""
    if not work.config.labs:
        return ()
    said = lent.loads(files.read_or_none(f"{work.config.root}/{LENT_FILE}"))
    return tuple(_status(work, lab, said) for lab in look(work).labs)


def _status(work: Workplace, lab: Lab, said: lent.Lent) -> LabStatus:
    mirror, place = work.place.mirror, said.labs.get(lab.name)
    slots = Slots(work.config.root, lab.dirname, mirror)
    slot = slots.served()
    commit = slots.head(slot) if slot else None
    pinned = lab_minions.pinned(work.config.root, lab.claim.id) if lab.claim and lab.lent else {}
    moving = {m for m, move in said.moving.items() if move.source == lab.name or m in lab.lent}
    return LabStatus(
        lab=lab.name,
        branch=lab.claim.branch if lab.claim else None,
        claim=_printable(lab.claim.as_dict()) if lab.claim else None,
        saltenv=lab.saltenv or None,
        pillar=work.config.lab_pillar,
        served=described(mirror.path, commit),
        head=work.refs.branches.get(lab.branch),
        minions=tuple(sorted(set(lab.lent) - pinned.keys())),
        lent=tuple(sorted(m for m, name in said.lent.items() if name == lab.name)),
        moving=tuple(sorted(moving)),
        open=bool(place and place.open),
        refused=printable(lab.refused) or None,
        freed=printable(lab.freed) or None,
        pinned={m: printable(why) for m, why in pinned.items()},
    )


def _printable(data: dict[str, Any]) -> dict[str, object]:
    return {key: printable(v) if isinstance(v, str) else v for key, v in data.items()}


def described(git_dir: str, commit: str | None) -> CommitInfo | None:
    """A commit as people know it; None where it cannot be read."""
    try:
        return commit_info.describe(git_dir, commit) if commit else None
    except GitError:
        return None
