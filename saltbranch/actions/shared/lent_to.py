"""The lab that a minion has instead of its own saltenv, as far as it is known here."""

from __future__ import annotations

import os
from dataclasses import dataclass

from saltbranch.base.durations import iso
from saltbranch.base.errors import SaltbranchError
from saltbranch.labs.look import Given, given_here, look
from saltbranch.repository import clone_or_mirror
from saltbranch.repository.workplace import open_workplace


@dataclass(frozen=True, slots=True)
class LentTo:
    """The lab that the minion has instead of its own saltenv. until: seconds since 1970, None where nobody says.

    saltenv: whose pillar it has there. is_moving: it is on its way in or out, and gets nothing for the moment.
    """

    lab: str
    branch: str
    saltenv: str
    until: float | None
    is_moving: bool = False

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "lab": self.lab,
            "branch": self.branch or None,
            "saltenv": self.saltenv or None,
            "until": iso(self.until) if self.until is not None else None,
            "moving": self.is_moving,
        }


def lent_to(place: clone_or_mirror.CloneOrMirror, minion: str) -> LentTo | None:
    """The lab that has the minion: on a master by what its top files say, in a clone by the claims."""
    root = os.path.normpath(place.machine.root)
    given = Given() if place.clone else given_here(root)
    if not place.clone and minion not in given.lent and minion not in given.moving:
        return None
    try:
        work = open_workplace(place, fetch=False)
        labs = {lab.name: lab for lab in look(work).labs}
    except SaltbranchError:
        labs = {}  # what the journal says cannot be known now
    claimed = next((name for name, lab in labs.items() if minion in lab.lent), "")
    is_moving = minion in given.moving
    name = claimed if place.clone or is_moving else given.lent.get(minion, "")
    if not name and not is_moving:
        return None
    lab = labs.get(name)
    if lab is None or lab.claim is None:
        return LentTo(name, "", "", None, is_moving)
    return LentTo(name, lab.branch, lab.saltenv, lab.claim.until, is_moving)
