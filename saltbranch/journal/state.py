"""What follows from the journal: holds, promotions, debts, what masters serve."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import overload

from saltbranch.base import asked_by
from saltbranch.base.durations import from_iso, iso, shown_duration
from saltbranch.config.labs import MOST
from saltbranch.journal import approvals, masters, tips
from saltbranch.journal.approvals import Approval
from saltbranch.journal.events import (
    ACCEPT,
    APPROVAL,
    BACKMERGE,
    DEBT,
    HOLD,
    LAB,
    PROMOTION,
    PUSH,
    ROLLBACK,
    SYNC,
    UNHOLD,
    VERIFY,
    Event,
    is_hash,
)
from saltbranch.journal.facts import (
    CLAIM,
    EXTEND,
    RELEASE,
    Claim,
    Debt,
    Hold,
    Promotion,
    Residence,
    Verification,
    claim_of,
    hold_from_dict,
    lab_of,
    promotion_of,
    until_of,
    verification_of,
)
from saltbranch.journal.tips import Moved, Push, Tip

_SLACK = 300  # seconds by which clocks may differ without a word


class Told(Sequence[Event]):
    """The events themselves, the oldest first; older ones are read only when somebody asks for them."""

    __slots__ = ("_found", "_older")

    def __init__(self, older: Callable[[], list[Event]] | None = None) -> None:
        self._found: list[Event] = []
        self._older = older

    def append(self, event: Event) -> None:
        """Add the newest one."""
        self._found.append(event)

    def _all(self) -> list[Event]:
        if self._older is not None:
            older, self._older = self._older, None
            self._found[:0] = older()
        return self._found

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | list[Event]:
        return self._all()[index]

    def __len__(self) -> int:
        return len(self._all())


@dataclass(slots=True)
class State:
    """What follows from the journal. All of it but `events` is kept by journal/cache.py, so it has to be plain data.

    made: the promotions by their ids, the oldest first. latest: master and saltenv to the place in `residences` of what
    it said last. newest: the time of the last event. tips: branch to what is known of it. by_hand: see tips.Moved.
    undone: the ids of promotions that their branches do not contain any more. labs: number to the claim that it has,
    judged by nobody yet, in the order of the journal. lab_counts: master to how many labs it said it has. masters: see
    journal/masters.py. approvals: id to what was approved and not yet promoted, judged by nobody; revoked: ids that
    never count again. verified: saltenv to its verifications that count: those in a row that passed, the last failure
    alone. held_all: saltenv to its part of the hold of all saltenvs, where there is one.
    """

    events: Told = field(default_factory=Told)
    holds: dict[str, Hold] = field(default_factory=dict)
    held_all: dict[str, Hold] = field(default_factory=dict)
    made: dict[str, Promotion] = field(default_factory=dict)
    debts: list[Debt] = field(default_factory=list)
    residences: list[Residence] = field(default_factory=list)
    tips: dict[str, Tip] = field(default_factory=dict)
    pushes: dict[str, Push] = field(default_factory=dict)
    by_hand: list[Moved] = field(default_factory=list)
    undone: set[str] = field(default_factory=set)
    latest: dict[str, dict[str, int]] = field(default_factory=dict)
    newest: float = 0
    labs: dict[int, Claim] = field(default_factory=dict)
    lab_counts: dict[str, int] = field(default_factory=dict)
    masters: masters.Masters = field(default_factory=dict)
    approvals: dict[str, Approval] = field(default_factory=dict)
    revoked: set[str] = field(default_factory=set)
    verified: dict[str, list[Verification]] = field(default_factory=dict)

    def clock_problem(self, now: float) -> str:
        """What is to be said where the newest event lies ahead of this machine's clock; empty where it does not."""
        ahead = self.newest - now
        if ahead <= _SLACK:
            return ""
        return (
            f"the newest entry of the journal is of {iso(self.newest)}, {shown_duration(ahead)} ahead of this machine's"
            " clock: one of the two clocks is wrong, and the ends of holds go by this one (timedatectl)"
        )

    @property
    def promotions(self) -> list[Promotion]:
        """All that count, the oldest first."""
        return [p for p in self.made.values() if p.id not in self.undone]

    def hold(self, saltenv: str, now: float) -> Hold | None:
        """The hold that counts for `saltenv` at `now`: of its own and that of all saltenvs the one made last."""
        found = [h for h in (self.holds.get(saltenv), self.held_all.get(saltenv)) if h]
        own_or_all = [h for h in found if h.is_active(now)]
        return next((h for h in own_or_all if not h.below), own_or_all[0]) if own_or_all else None

    def hold_of_all(self, now: float) -> Hold | None:
        """One part of the hold of all saltenvs, where there is one at `now`."""
        return next((h for h in self.held_all.values() if h.is_active(now)), None)

    def promotions_to(self, saltenv: str) -> list[Promotion]:
        """Those of one saltenv, the oldest first."""
        return [p for p in self.promotions if p.saltenv == saltenv]

    def promotion(self, id_: str) -> Promotion | None:
        """The one with this id, or whose id begins so and is the only one."""
        if id_ in self.made:
            return None if id_ in self.undone else self.made[id_]
        found = [p for p in self.promotions if id_ and p.id.startswith(id_)]
        return found[0] if len(found) == 1 else None

    def open_push(self, branch: str) -> Push | None:
        """All that was pushed to `branch` by hand, and neither accepted nor taken up by a promotion since."""
        tip = self.tips.get(branch)
        found = [self.pushes[name] for name in (tip.pushes if tip else ()) if name in self.pushes]
        return tips.together(found, tip) if tip and found else None

    def serving(self, saltenv: str) -> dict[str, Residence]:
        """Master to what it said last that it serves as `saltenv`."""
        places = ((m, found[saltenv]) for m, found in self.latest.items() if saltenv in found)
        return {master: self.residences[place] for master, place in places}


def replay(events: Iterable[Event], start: State | None = None) -> State:
    """What follows from `events`, the oldest first. start: what followed from those before them, which is changed."""
    state = start or State()
    for event in events:
        state.events.append(event)
        state.newest = event.time
        _APPLY.get(event.kind, _nothing)(state, event)
    return state


def _nothing(_state: State, _event: Event) -> None:
    pass


def _promotion(state: State, event: Event) -> None:
    _follow(state, event)
    promotion = promotion_of(event)
    if promotion is None:
        return
    state.made.pop(promotion.id, None)
    state.undone.discard(promotion.id)
    state.made[promotion.id] = promotion
    # Every plan for the saltenv is another one from now on; were the branch reset, that one is to be approved anew.
    for spent in [i for i, a in state.approvals.items() if a.saltenv == promotion.saltenv]:
        del state.approvals[spent]
        state.revoked.add(spent)
    moved = event.commit_of("hold_moves_to")
    for holds in (state.holds, state.held_all) if moved else ():
        if hold := holds.get(promotion.saltenv):
            holds[hold.saltenv] = replace(hold, commit=moved or hold.commit)
    if not moved and event.details.get("lifts_hold") is True:
        state.holds.pop(promotion.saltenv, None)


def _hold(state: State, event: Event) -> None:
    if event.is_of_all:
        rows = event.held_rows()
        if rows:
            state.held_all = {s: _made(event, s, commit) for s, commit in rows}
            state.holds = {s: replace(hold, below=True) for s, hold in state.holds.items()}
        return
    commit, saltenv = event.commit_of("commit"), event.text("saltenv")
    if commit and saltenv:
        if event.kind == ROLLBACK:
            state.verified.pop(saltenv, None)  # somebody took back what had passed
        state.holds[saltenv] = _made(event, saltenv, commit)


def _made(event: Event, saltenv: str, commit: str) -> Hold:
    try:
        until = from_iso(event.text("until")) if event.text("until") else None
    except (ValueError, OverflowError):
        until = None
    return Hold(
        saltenv=saltenv,
        commit=commit,
        kind=ROLLBACK if event.kind == ROLLBACK else HOLD,
        reason=asked_by.shortened(event.text("reason")),
        by=event.by,
        since=event.time,
        until=until,
        event=event.id,
        from_commit=event.commit_of("from_commit"),
        all=event.is_of_all,
        below=False,
        **asked_by.named_in(event.details),
    )


def _unhold(state: State, event: Event) -> None:
    if event.is_of_all:
        state.held_all = {}
    state.holds.pop(event.text("saltenv"), None)


def _debt(state: State, event: Event) -> None:
    commit, branch = event.commit_of("commit"), event.text("branch")
    files = event.details.get("files")
    if commit and branch:
        paths = tuple(f for f in files if isinstance(f, str)) if isinstance(files, list) else ()
        origin, promotion = event.text("origin"), event.text("promotion")
        state.debts.append(
            Debt(
                id=event.id,
                branch=branch,
                commit=commit,
                origin=origin,
                files=paths,
                time=event.time,
                promotion=promotion,
            )
        )


def _sync(state: State, event: Event) -> None:
    masters.follow(state.masters, event)
    master, rows = event.text("master"), event.details.get("saltenvs")
    if not masters.is_name(master):
        return
    labs = event.details.get("labs")
    if type(labs) is int and 0 <= labs <= MOST:
        state.lab_counts[master] = labs
    for row in rows if isinstance(rows, list) else ():
        if not isinstance(row, dict):
            continue
        saltenv, new, when, why = (row.get(k) for k in ("saltenv", "new", "time", "why"))
        if not (isinstance(saltenv, str) and isinstance(new, str) and is_hash(new)):
            continue
        try:
            since = from_iso(when) if isinstance(when, str) else event.time
        except (ValueError, OverflowError):
            since = event.time
        said = why if isinstance(why, str) else ""
        _serve(
            state,
            Residence(
                master=master, saltenv=saltenv, commit=new, since=since, until=None, why=said
            ),
        )


def _serve(state: State, new: Residence) -> None:
    places = state.latest.setdefault(new.master, {})
    place = places.get(new.saltenv)
    if place is not None:
        old = state.residences[place]
        if old.commit == new.commit:
            return
        state.residences[place] = replace(old, until=new.since)
    places[new.saltenv] = len(state.residences)
    state.residences.append(new)


def _push(state: State, event: Event) -> None:
    push = tips.push_of(event)
    if push is None or push.id in state.pushes:
        return
    state.pushes[push.id] = push
    tips.follow(state.tips, event)
    _note_move(state, event)
    # What was promoted, and was there, counts until somebody accepts that it is gone.
    is_gone = not push.is_refused or event.details.get("undone") is True
    if is_gone:
        state.undone |= {name for name in push.lost if name in state.made}
    state.undone -= {*push.restored}
    if event.details.get("lifts_hold") is True:
        state.holds.pop(push.saltenv, None)
    hold = event.details.get("restores_hold")
    if isinstance(hold, Mapping) and hold.get("saltenv") == push.saltenv and is_gone:
        try:
            below = push.saltenv in state.held_all  # a push ends no stop
            state.holds[push.saltenv] = replace(hold_from_dict(hold), event=push.id, below=below)
        except (ValueError, OverflowError):
            pass


def _accept(state: State, event: Event) -> None:
    _follow(state, event)
    _note_move(state, event)


def _follow(state: State, event: Event) -> None:
    """Bring the tips on; what the pushes that were open until now have lost is gone for good."""
    branch = event.text("branch")
    before = state.tips.get(branch)
    tips.follow(state.tips, event)
    after = state.tips.get(branch)
    left = after.pushes if after else ()
    closed = [state.pushes[n] for n in (before.pushes if before else ()) if n in state.pushes]
    for push in closed:
        if push.id not in left:
            state.undone |= {name for name in push.lost if name in state.made}


def _note_move(state: State, event: Event) -> None:
    moved = tips.moved_by(event)
    if moved:
        state.by_hand.append(moved)


def _back_merge(state: State, event: Event) -> None:
    tips.follow(state.tips, event)


def _lab(state: State, event: Event) -> None:
    """Of two claims of one lab the first counts, until it is released or over."""
    action, number = event.text("action"), lab_of(event)
    held = state.labs.get(number or 0)
    if action == CLAIM:
        claim = claim_of(event)
        is_free = held is None or held.until <= event.time
        if claim and is_free and claim.until > event.time:
            state.labs.pop(claim.number, None)
            state.labs[claim.number] = claim
    elif held is None or held.id != event.text("claim"):
        return
    elif action == RELEASE:
        del state.labs[held.number]
    elif action == EXTEND and (until := until_of(event)) is not None:
        state.labs[held.number] = replace(held, until=until)


def _approval(state: State, event: Event) -> None:
    approvals.apply(state.approvals, state.revoked, event)


def _verify(state: State, event: Event) -> None:
    """A failure makes void what passed before. That some of the minions passed says nothing of the others."""
    found = verification_of(event)
    if found is None or (found.passed and not found.complete):
        return
    before = state.verified.get(found.saltenv, [])
    if found.passed and any(v.time > found.begun for v in before if not v.passed):
        return  # some of it, an apply for example, was seen before the failure was
    is_on = found.passed and all(v.passed for v in before)
    state.verified[found.saltenv] = [*before, found] if is_on else [found]


_APPLY = {
    PROMOTION: _promotion,
    HOLD: _hold,
    ROLLBACK: _hold,
    UNHOLD: _unhold,
    DEBT: _debt,
    SYNC: _sync,
    PUSH: _push,
    ACCEPT: _accept,
    BACKMERGE: _back_merge,
    LAB: _lab,
    APPROVAL: _approval,
    VERIFY: _verify,
}
