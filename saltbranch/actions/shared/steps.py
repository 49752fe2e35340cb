"""What changed what a saltenv serves, step by step: what `rollback` goes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from saltbranch.config.direct_pushes import ALLOW
from saltbranch.config.model import Saltenv
from saltbranch.history import trailers
from saltbranch.journal import state as journal_state
from saltbranch.journal import tips
from saltbranch.journal.facts import Promotion
from saltbranch.journal.state import State
from saltbranch.repository import served_commit
from saltbranch.repository.timeline import Past
from saltbranch.repository.workplace import Workplace, tags_on


@dataclass(frozen=True, slots=True)
class Step:
    """The saltenv went from `before` to `new`, by the promotion or the push by hand `id`.

    before: None where it is not known. source: what a hotfix brought, which is all of it that a hold takes up.
    """

    id: str
    before: str | None
    new: str
    source: str = ""


@dataclass(slots=True)
class _Told:
    """What the journal says of one saltenv: where each event stands, and the hold that counted before it.

    late: promotions that were written down afterwards, or never, so that their place says nothing.
    """

    order: dict[str, int] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)
    lifted: dict[str, str] = field(default_factory=dict)
    late: set[str] = field(default_factory=set)


def steps(work: Workplace, saltenv: Saltenv) -> list[Step]:
    """All, the oldest first. Raises GitError."""
    past = Past(work)
    told = _journal(work, saltenv)
    promotions = [p for p in past.promotions() if p.saltenv == saltenv.name]
    told.late |= {p.id for p in promotions if p.via == trailers.VIA}
    found: list[Promotion | Step] = list(promotions)
    for moved in work.state.by_hand:
        if moved.saltenv == saltenv.name:
            step = Step(moved.id, told.held.get(moved.id, moved.before), moved.new)
            found.insert(_place(past, told, found, step), step)
    done: list[Step] = []
    for row in found:
        done.append(row if isinstance(row, Step) else _step(past, told, saltenv, row, done))
    return done


def _journal(work: Workplace, saltenv: Saltenv) -> _Told:
    told, state = _Told(), State()
    for number, event in enumerate(work.state.events):
        told.order.setdefault(event.id, number)
        hold = state.hold(saltenv.name, event.time)
        if hold and event.text("saltenv") == saltenv.name:
            if event.kind == tips.PUSH:
                told.held[event.id] = hold.commit
            if event.details.get("lifts_hold") is True:
                told.lifted[event.id] = hold.commit
        if event.details.get("rebuilt") is True:
            told.late.add(event.id)
        journal_state.replay([event], state)
    return told


def _place(past: Past, told: _Told, found: Sequence[Promotion | Step], step: Step) -> int:
    """Where `step`, a push by hand, stands among `found`: by the branch's history where the journal's order is none."""
    number, mine = past.graph.number, told.order.get(step.id, len(told.order))

    def is_later(row: Promotion | Step) -> bool:
        if row.id in told.late:
            known = step.new in number and row.new in number
            return known and number[step.new] < number[row.new]
        return told.order.get(row.id, -1) > mine

    return next((n for n, row in enumerate(found) if is_later(row)), len(found))


def _step(
    past: Past, told: _Told, saltenv: Saltenv, promotion: Promotion, done: Sequence[Step]
) -> Step:
    """The step that a promotion is. done: those before it."""
    source = promotion.source_commit if promotion.kind == "hotfix" else ""
    before = promotion.served_before or promotion.old
    step = Step(promotion.id, before, promotion.new, source)
    if promotion.id in told.lifted:
        return replace(step, before=told.lifted[promotion.id])
    if promotion.id not in told.late:
        return step
    return replace(step, before=_before_merge(past, saltenv, promotion, done) or before)


def _before_merge(
    past: Past, saltenv: Saltenv, promotion: Promotion, done: Sequence[Step]
) -> str | None:
    """What was served when a pull request was merged, where that is not what it was made for; else None."""
    graph, old = past.graph, promotion.old
    merge = next((t.commit for t in past.told if t.id == promotion.id), "")
    made_on = next(iter(graph.parents.get(merge, ())), None)
    if made_on in (None, old) or old not in graph.parents:
        return None
    if saltenv.follow:
        return served_commit.wanted(old, saltenv.follow, tags_on(past.work.repo, old), None).commit
    line, earlier = graph.line(old), graph.line(str(made_on))
    since = [s.new for s in done if s.new in line and s.new not in earlier]
    if since:
        return since[-1]
    # Who allows pushes by hand has nobody write them down.
    return old if saltenv.direct_pushes == ALLOW else None
