"""What hold, unhold, rollback and accept would record, and what they ask of a saltenv for it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from saltbranch.base import asked_by
from saltbranch.base.durations import iso
from saltbranch.base.errors import UsageError
from saltbranch.config.locate import FILE_NAME
from saltbranch.config.model import Saltenv
from saltbranch.git import identity
from saltbranch.journal import store as journal
from saltbranch.journal.events import Event, Kind
from saltbranch.journal.facts import HoldKind, Promotion
from saltbranch.repository import prepared, timeline
from saltbranch.repository.workplace import Workplace
from saltbranch.serve import refused


@dataclass(frozen=True, slots=True)
class HoldPlan:
    """What a verb would record. serves, will_serve: commits before and after, None where nothing is served.

    stays: what a rollback does not undo (apply/stays.py), where somebody looked.
    """

    verb: str
    saltenv: str
    event: Event
    serves: str | None
    will_serve: str | None
    reason: str
    until: float | None
    promotion: str = ""
    note: str = ""
    stays: Mapping[str, Any] | None = None

    @property
    def events(self) -> tuple[Event, ...]:
        """What is to be recorded."""
        return (self.event,)

    def refusal(self, new: HoldPlan) -> str:
        """Why `new`, planned after another push, is not what was agreed to; empty where it is."""
        if (new.will_serve, new.serves) == (self.will_serve, self.serves):
            return ""
        return f"{self.saltenv} serves {(new.serves or 'nothing')[:12]} now"

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        rest = asdict(self)
        del rest["event"]
        until = iso(self.until) if self.until is not None else None
        told = asked_by.told(self.event.by, self.event.details)
        return {"version": 1, **rest, "until": until, "id": self.event.id, **told}


def asked_reason(reason: str, verb: str) -> str:
    """The reason that `verb` asks for, cleaned. Raises UsageError without one."""
    if not reason.strip():
        raise UsageError(f"{verb} wants --reason TEXT", hint="everybody who looks will ask why")
    return asked_by.reason(reason)


def hold_at(
    work: Workplace,
    saltenv: Saltenv,
    commit: str,
    *,
    kind: HoldKind,
    reason: str,
    until: float | None = None,
    promotion: str = "",
) -> HoldPlan:
    """The plan that holds `saltenv` at `commit`. kind: of its event, which is the verb, too. until: as in plan_hold.

    promotion: the one by which the commit was found. Raises UsageError without a reason.
    """
    verb, reason = f"{kind} {saltenv.name}", asked_reason(reason, kind)
    serves = served(work, saltenv)
    details = {
        "saltenv": saltenv.name,
        "branch": saltenv.branch,
        "commit": commit,
        "from_commit": serves,
        "reason": reason,
        "until": iso(until) if until is not None else None,
        "promotion": promotion or None,
    }
    event = event_of(work, kind, details)
    clock = work.state.clock_problem(work.now) if until is not None else ""
    note = "; ".join(filter(None, (_about_model(work, saltenv, commit), clock)))
    return HoldPlan(
        verb=verb,
        saltenv=saltenv.name,
        event=event,
        serves=serves,
        will_serve=commit,
        reason=reason,
        until=until,
        promotion=promotion,
        note=note,
    )


def served(work: Workplace, saltenv: Saltenv) -> str | None:
    """What the saltenv serves: what it is to serve or, where this machine refused that, what it still has."""
    wanted = work.wanted(saltenv).commit
    if wanted not in refused_here(work, saltenv):
        return wanted
    record = prepared.load_served(work.config.root).get(saltenv.dirname)
    return record.commit if record else None


def refused_here(work: Workplace, saltenv: Saltenv) -> frozenset[str]:
    """What a sync of this machine refused to serve. That a master merely passed it over says nothing of a commit."""
    if not work.place.is_machines:
        return frozenset()
    with contextlib.suppress(OSError):
        return refused.load(work.config.root, saltenv.name)
    return frozenset()


def _about_model(work: Workplace, saltenv: Saltenv, commit: str) -> str:
    """What is held is the states and the pillar; gates and minions go on as the branch has them."""
    source = work.config.source
    if source.branch != saltenv.branch or work.git.blob_or_none(commit, FILE_NAME) == source.blob:
        return ""
    return (
        f"{FILE_NAME} is another one there, but gates, hooks and minions stay those of {source.shown()}: a hold or"
        " rollback does not take the model back"
    )


def event_of(work: Workplace, kind: Kind, details: Mapping[str, object]) -> Event:
    """The event to record, with who wants it."""
    told = {**details, **work.asked.details()}
    return Event(kind, journal.new_id(work.now), work.now, identity.who(work.git), told)


def promotions_to(work: Workplace, saltenv: Saltenv) -> list[Promotion]:
    """All to `saltenv`, also those that only merge commits tell of, the oldest first."""
    return [p for p in timeline.promotions(work) if p.saltenv == saltenv.name]
