"""What `where` answers: in which saltenvs a commit, a ticket or a path is, since when, and how it came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from saltbranch.base.durations import iso
from saltbranch.history.applied import OnMinions
from saltbranch.history.commits import CommitTold
from saltbranch.history.pins import Pinned
from saltbranch.journal.facts import Promotion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from saltbranch.repository.served_commit import Wanted

Kind = Literal["commit", "ticket", "path"]
"""What is looked for."""
State = Literal["there", "reverted", "not there", "no branch"]
"""Whether a commit is on the branch of a saltenv."""
How = Literal["ancestor", "cherry-pick", "same patch"]
"""How that is known: by the message of a cherry-pick, or since another commit changes the same."""
TicketState = State | Literal["complete", "partly"]

COMMIT: Final = "commit"
TICKET: Final = "ticket"
PATH: Final = "path"
THERE: Final = "there"
REVERTED: Final = "reverted"
ABSENT: Final = "not there"
NO_BRANCH: Final = "no branch"
COMPLETE: Final = "complete"
PARTLY: Final = "partly"
BY_ANCESTRY: Final = "ancestor"
BY_PICK: Final = "cherry-pick"
BY_PATCH: Final = "same patch"


@dataclass(frozen=True, slots=True)
class Arrival:
    """How a commit came to a branch. by: the commit of the branch's own line. time: seconds since 1970.

    push: the id of the push by hand that brought it. accepted: who accepted that and why, empty where nobody did.
    """

    commit: str
    by: str
    time: float
    promotion: Promotion | None
    push: str = ""
    accepted: str = ""

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "commit": self.commit,
            "by": self.by,
            "since": iso(self.time),
            "promotion": self.promotion.as_dict() if self.promotion else None,
            "push": self.push or None,
            "accepted": self.accepted or None,
        }


@dataclass(frozen=True, slots=True)
class OnMaster:
    """What a master said that it serves. since: when it began to serve what was asked for, None where it does not."""

    master: str
    commit: str
    there: bool | None
    since: float | None

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        since = iso(self.since) if self.since is not None else None
        return {"master": self.master, "commit": self.commit, "there": self.there, "since": since}


@dataclass(frozen=True, slots=True)
class Presence:
    """A change in a saltenv.

    state: there, reverted, not there, no branch. how: ancestor, cherry-pick (by the message) or same patch.
    resembles: where it is not there, a commit with the same author, date and subject, and another patch.
    turns: each coming (True) and going (False) with how it came to the branch. served: whether what the saltenv is to
    serve has it, and why it serves that.
    """

    saltenv: str
    branch: str
    state: State
    how: How | None = None
    turns: tuple[tuple[bool, Arrival], ...] = ()
    served: bool | None = None
    wanted: Wanted | None = None
    masters: tuple[OnMaster, ...] = ()
    resembles: str | None = None
    minions: tuple[OnMinions, ...] = ()

    @property
    def last(self) -> Arrival | None:
        """The turn that made it what it is now."""
        return self.turns[-1][1] if self.turns else None

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        first = self.turns[0][1] if self.turns else None
        return {
            "saltenv": self.saltenv,
            "branch": self.branch,
            "state": self.state,
            "how": self.how,
            "arrival": first.as_dict() if first else None,
            "turns": [{"there": there, **arrival.as_dict()} for there, arrival in self.turns],
            "served": self.served,
            "serves": self.wanted.commit if self.wanted else None,
            "serves_by": self.wanted.why if self.wanted else None,
            "masters": [m.as_dict() for m in self.masters],
            "resembles": self.resembles,
            "minions": [m.as_dict() for m in self.minions],
        }


@dataclass(frozen=True, slots=True)
class InLab:
    """A lab whose branch has what is looked for. lent: the minions that get it so. until: seconds since 1970."""

    lab: str
    branch: str
    lent: tuple[str, ...]
    until: float | None

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        until = iso(self.until) if self.until is not None else None
        return {"lab": self.lab, "branch": self.branch, "lent": list(self.lent), "until": until}


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where a commit is, saltenv by saltenv. labs: those that have it and are not merged yet."""

    about: CommitTold
    said: str
    saltenvs: tuple[Presence, ...]
    labs: tuple[InLab, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        rows = [p.as_dict() for p in self.saltenvs]
        labs = [lab.as_dict() for lab in self.labs]
        told = self.about.as_dict()
        return {"version": 1, "kind": COMMIT, **told, "saltenvs": rows, "labs": labs}


@dataclass(frozen=True, slots=True)
class TicketPresence:
    """A ticket in a saltenv. there: how many of its changes. served: of them. missing: commits."""

    saltenv: str
    branch: str
    state: TicketState
    there: int
    served: int
    since: float | None
    promotions: tuple[Promotion, ...]
    missing: tuple[CommitTold, ...]
    reverted: tuple[CommitTold, ...]
    masters: tuple[str, ...]
    minions: tuple[OnMinions, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "saltenv": self.saltenv,
            "branch": self.branch,
            "state": self.state,
            "there": self.there,
            "served": self.served,
            "since": iso(self.since) if self.since is not None else None,
            "promotions": [p.as_dict() for p in self.promotions],
            "missing": [c.as_dict() for c in self.missing],
            "reverted": [c.as_dict() for c in self.reverted],
            "masters": list(self.masters),
            "minions": [m.as_dict() for m in self.minions],
        }


@dataclass(frozen=True, slots=True)
class TicketWhereabouts:
    """Where the changes of a ticket are. A cherry-pick is the same change as what it was picked from."""

    ticket: str
    changes: tuple[CommitTold, ...]
    saltenvs: tuple[TicketPresence, ...]
    labs: tuple[InLab, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        return {
            "version": 1,
            "kind": TICKET,
            "ticket": self.ticket,
            "commits": [c.as_dict() for c in self.changes],
            "saltenvs": [p.as_dict() for p in self.saltenvs],
            "labs": [lab.as_dict() for lab in self.labs],
        }


@dataclass(frozen=True, slots=True)
class PathPresence:
    """A path in a saltenv. content: the object id on the branch, served: in what is to be served. pin: of a formula,
    what the commit on the branch is called.
    """

    saltenv: str
    branch: str
    content: str | None
    served: str | None
    last: CommitTold | None
    arrival: Arrival | None
    pin: Pinned | None = None

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "saltenv": self.saltenv,
            "branch": self.branch,
            "object": self.content,
            "formula": self.pin.as_dict() if self.pin else None,
            "served": self.served,
            "commit": self.last.as_dict() if self.last else None,
            "arrival": self.arrival.as_dict() if self.arrival else None,
        }


@dataclass(frozen=True, slots=True)
class PathWhereabouts:
    """Who changed a path last, saltenv by saltenv."""

    path: str
    saltenvs: tuple[PathPresence, ...]

    @property
    def same(self) -> bool:
        """Whether all saltenvs have the same content."""
        return len({p.content for p in self.saltenvs}) == 1

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        rows = [p.as_dict() for p in self.saltenvs]
        return {"version": 1, "kind": PATH, "path": self.path, "same": self.same, "saltenvs": rows}
