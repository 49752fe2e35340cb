"""Which minions have a lab instead of their own saltenv: the one file that all generated top files read.

Salt renders the top files of the saltenvs one after another, so a minion that went from one saltenv to another
between two of them would get both. Hence a move takes two steps: first the file says that the minion is being moved,
and every top file is an error for it; only when whatever was rendered before is surely over (GAP), and its state runs
are, the file gives it to the other one. What a lab stands for (its branch, whose pillar it has) changes only while
nobody can have it: it is closed for as long first.

The file says where it stands in this, so whoever is killed leaves what the next sync goes on with.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from saltbranch.repository import decision

# Seconds. Rendering top files takes less than one; a minion asks the master for two or three files of each saltenv.
GAP = 15.0
# Seconds after which a run that does not end holds up a move no more: its top files were rendered long ago.
LONGEST = 900.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a lab is to be. pillar: where its link leads, relative. minions: ids, who have it and nothing else."""

    claim: str
    branch: str
    saltenv: str
    pillar: str
    minions: tuple[str, ...] = ()
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """What a lab is. closing: since when nobody new gets in, for it is to be emptied; None while it is in use."""

    claim: str
    branch: str
    saltenv: str
    pillar: str
    open: bool
    closing: float | None = None

    def is_of(self, wanted: Wanted | None) -> bool:
        """Whether it stays what it is."""
        keys = ("claim", "branch", "saltenv", "pillar")
        return wanted is not None and all(getattr(self, k) == getattr(wanted, k) for k in keys)


@dataclass(frozen=True, slots=True)
class Move:
    """A minion that gets nothing for the moment. source: the lab that it had, empty for its own saltenv."""

    source: str
    since: float


@dataclass(frozen=True, slots=True)
class Moment:
    """now: seconds of a clock that only goes on; boot: of which start of the machine."""

    now: float
    boot: str


@dataclass(slots=True)
class Lent:
    """All that the file says. lent: minion to lab. tell: minion to the saltenv that it has now and was not told of.

    boot: by whose clock the times are; empty where there is none.
    """

    labs: dict[str, Place] = field(default_factory=dict)
    lent: dict[str, str] = field(default_factory=dict)
    moving: dict[str, Move] = field(default_factory=dict)
    tell: dict[str, str] = field(default_factory=dict)
    boot: str = ""

    @property
    def is_moving(self) -> bool:
        """Whether time has to pass before all is as it should be."""
        return bool(self.moving) or any(p.closing is not None for p in self.labs.values())

    def of_lab(self, lab: str) -> list[str]:
        """The minions that have the lab, or had it until a moment ago."""
        leaving = (minion for minion, move in self.moving.items() if move.source == lab)
        return sorted({m for m, name in self.lent.items() if name == lab}.union(leaving))

    def wait(self, at: Moment) -> float:
        """In how many seconds there is more to do."""
        begun = [move.since for move in self.moving.values()]
        begun += [place.closing for place in self.labs.values() if place.closing is not None]
        return max(0.0, min(begun, default=at.now) + GAP - at.now)


NOBODY = f"{decision.NOBODY}\n"


def dumps(lent: Lent) -> str:
    """The file's text. Jinja includes it, so no string in it can start a tag."""
    data = asdict(lent)
    for key in ("labs", "lent", "moving", "tell"):
        data[key] = dict(sorted(data[key].items()))
    text = json.dumps(data, ensure_ascii=True)
    return re.sub(r'"(?:[^"\\]|\\.)*"', lambda m: m[0].replace("{", "\\u007b"), text) + "\n"


def loads(data: bytes | str | None) -> Lent:
    """What the file says; that nobody is lent where it says nothing that can be understood."""
    try:
        found: Any = json.loads(data or b"null")
        return Lent(
            {str(name): Place(**place) for name, place in found["labs"].items()},
            {str(minion): str(lab) for minion, lab in found["lent"].items()},
            {str(minion): Move(**move) for minion, move in found["moving"].items()},
            {str(minion): str(name) for minion, name in found["tell"].items()},
            str(found["boot"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return Lent()


def _place(wanted: Wanted, *, is_open: bool) -> Place:
    return Place(wanted.claim, wanted.branch, wanted.saltenv, wanted.pillar, is_open)


def settled(wanted: Mapping[str, Wanted]) -> Lent:
    """What the file is to say in the end. wanted: by the name of the lab."""
    labs = {n: _place(w, is_open=w.is_open) for n, w in wanted.items()}
    return Lent(labs, {minion: n for n, w in wanted.items() for minion in w.minions})


def wanted_of(text: str) -> dict[str, Wanted]:
    """What labs are to be, by their names, of the JSON that is kept of it (serve/lab_choices.py)."""
    data = json.loads(text)
    return {n: Wanted(**{**w, "minions": tuple(w["minions"])}) for n, w in data.items()}


@dataclass(frozen=True, slots=True)
class Step:
    """What may be done now. empty: labs that nobody has, whose files go before `lent` is written; links: where
    those of pillar are to lead, by lab, before that, too.
    """

    lent: Lent
    empty: tuple[str, ...]
    links: Mapping[str, str]


def advance(
    old: Lent,
    wanted: Mapping[str, Wanted],
    at: Moment,
    *,
    served: Collection[str],
    busy: Collection[str] | None,
    may_lend: bool = True,
) -> Step:
    """The next step towards `wanted`.

    served: the labs that serve what they are to serve. busy: minions and labs with state runs under way, None where
    that is not known. may_lend: whether the running master knows the labs.
    """
    new = Lent(dict(old.labs), dict(old.lent), dict(old.moving), dict(old.tell), at.boot)
    if old.boot != at.boot:
        new.moving = {m: replace(move, since=at.now) for m, move in old.moving.items()}
        new.labs = {
            n: p if p.closing is None else replace(p, closing=at.now) for n, p in new.labs.items()
        }
    homes = {m: n for n, w in wanted.items() for m in w.minions if n in served and may_lend}
    for name, place in new.labs.items():
        if place.closing is None and not place.is_of(wanted.get(name)):
            new.labs[name] = replace(place, open=False, closing=at.now)
    _leave(new, wanted, at)
    _arrive(new, homes, at, busy)
    empty = _close(new, wanted, at, busy)
    links = {}
    for name, want in wanted.items():
        if name not in new.labs:
            links[name] = want.pillar
            new.labs[name] = _place(want, is_open=False)
        if new.labs[name].closing is None:
            is_open = want.is_open and name in served and name not in empty
            new.labs[name] = replace(new.labs[name], open=is_open)
    for minion, name in homes.items():
        place = new.labs[name]
        if (
            place.closing is None
            and minion not in new.lent
            and minion not in new.moving
            and name not in empty
        ):
            new.moving[minion] = Move("", at.now)
            new.tell.pop(minion, None)
    if not new.is_moving:
        new.boot = ""
    return Step(new, tuple(empty), links)


def _leave(new: Lent, wanted: Mapping[str, Wanted], at: Moment) -> None:
    for minion, name in list(new.lent.items()):
        place, want = new.labs.get(name), wanted.get(name)
        if place is None or place.closing is not None or want is None or minion not in want.minions:
            del new.lent[minion]
            new.tell.pop(minion, None)
            new.moving[minion] = Move(name, at.now)


def _is_over(since: float, at: Moment, busy: Collection[str] | None, name: str) -> bool:
    gone = at.now - since
    return gone >= LONGEST or (gone >= GAP and busy is not None and name not in busy)


def _arrive(new: Lent, homes: Mapping[str, str], at: Moment, busy: Collection[str] | None) -> None:
    for minion, move in list(new.moving.items()):
        if not _is_over(move.since, at, busy, minion):
            continue
        del new.moving[minion]
        name = homes.get(minion, "")
        if name and new.labs.get(name) and new.labs[name].closing is None:
            new.lent[minion] = new.tell[minion] = name
        elif move.source and (source := new.labs.get(move.source)):
            new.tell[minion] = source.saltenv


def _close(
    new: Lent, wanted: Mapping[str, Wanted], at: Moment, busy: Collection[str] | None
) -> list[str]:
    done = []
    for name, place in list(new.labs.items()):
        if place.closing is None or new.of_lab(name):
            continue
        if _is_over(place.closing, at, busy, name):
            del new.labs[name]
            done.append(name)
    return done
