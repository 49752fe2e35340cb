"""history: what was done with the saltenvs, by whom, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from saltbranch.actions.shared.caller import Opener
from saltbranch.base import asked_by as asking
from saltbranch.base.durations import iso
from saltbranch.config.labs import name_of, number_of
from saltbranch.history.applied import told_of
from saltbranch.journal import events, facts, tips
from saltbranch.journal.events import Event
from saltbranch.journal.facts import Promotion
from saltbranch.repository import timeline
from saltbranch.repository.workplace import Workplace

PROMOTIONS = (events.PROMOTION, "release", "hotfix")


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that was done. what: promotion, release, hotfix, backmerge, push (by hand), accept, hold, unhold,
    rollback, tag, override, debt, lab, verify, apply, sync.

    time: seconds since 1970. by, asked_by, claimed_by: see base.asked_by. old, new: commits, None where there are none.
    source: the branch or the gate that it is about. diff_digest: of the compiled diff, where there was one. via:
    journal, or trailers where only the merge commit tells of it. all: it is about every saltenv, and so of each.
    outcome, counts, seconds: of an apply or a verification: how it ended, how many minions, how long it took.
    """

    time: float
    what: str
    saltenv: str
    id: str
    by: str
    source: str = ""
    old: str | None = None
    new: str | None = None
    tag: str = ""
    tickets: tuple[str, ...] = ()
    reason: str = ""
    until: str = ""
    diff_digest: str = ""
    via: str = "journal"
    asked_by: str = ""
    claimed_by: str = ""
    all: bool = False
    outcome: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    seconds: float | None = None

    @property
    def who(self) -> str:
        """Who did it, for people."""
        return asking.shown(self.by, self.asked_by, self.claimed_by)

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "time": iso(self.time),
            "what": self.what,
            "saltenv": self.saltenv or None,
            "all": self.all,
            "id": self.id,
            "by": self.by,
            "asked_by": self.asked_by or None,
            "claimed_by": self.claimed_by or None,
            "source": self.source or None,
            "old": self.old,
            "new": self.new,
            "tag": self.tag or None,
            "tickets": list(self.tickets),
            "reason": self.reason or None,
            "until": self.until or None,
            "diff_digest": self.diff_digest or None,
            "via": self.via,
            "outcome": self.outcome or None,
            "counts": dict(self.counts),
            "seconds": self.seconds,
        }


@dataclass(frozen=True, slots=True)
class History:
    """entries: the newest first. more: how many older ones were left out."""

    entries: tuple[Entry, ...]
    more: int

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        return {"version": 1, "entries": [e.as_dict() for e in self.entries], "more": self.more}


def tell(
    opener: Opener,
    saltenv: str | None = None,
    *,
    limit: int = 0,
    since: float | None = None,
    syncs: bool = False,
    fetch: bool = True,
) -> tuple[Workplace, History]:
    """`history` in what `opener` opens, the remote read unless `fetch` is False. Raises SaltbranchError."""
    work = opener.open(fetch=fetch)
    return work, history(work, saltenv, limit=limit, since=since, syncs=syncs)


def history(
    work: Workplace,
    saltenv: str | None = None,
    *,
    limit: int = 0,
    since: float | None = None,
    syncs: bool = False,
) -> History:
    """What the journal and the merge commits tell.

    limit: of entries, 0 for all. since: seconds since 1970. syncs: those of the masters, too.
    Raises ConfigError for an unknown saltenv, GitError.
    """
    is_lab = saltenv is not None and number_of(saltenv) is not None
    name = saltenv if is_lab or not saltenv else work.config.saltenv(saltenv).name
    found = _entries(work, syncs=syncs)
    found = [e for e in found if name in (None, e.saltenv) or (e.all and not is_lab)]
    found = [e for e in found if since is None or e.time >= since]
    found.reverse()
    kept = found[:limit] if limit else found
    return History(tuple(kept), len(found) - len(kept))


def _entries(work: Workplace, *, syncs: bool) -> list[Entry]:
    """All, in the order of the journal; what only trailers tell of stands where its time is."""
    found: list[Entry] = []
    ends: dict[str, int] = {}  # promotion to the place after its entry
    seen: set[tuple[str, str]] = set()
    for event in work.state.events:
        if (event.kind, event.id) in seen or (event.kind == events.SYNC and not syncs):
            continue
        if event.kind == events.TAG and (events.PROMOTION, event.text("promotion")) in seen:
            continue  # the promotion's entry names the tag
        seen.add((event.kind, event.id))
        found += _of_event(work, event)
        if event.kind == events.PROMOTION:
            ends[event.id] = len(found)
    return _with_told(work, found, ends)


def _with_told(work: Workplace, found: list[Entry], ends: dict[str, int]) -> list[Entry]:
    """`found`, and between its entries the promotions that only trailers tell of, as `past` orders them."""
    gaps: dict[int, list[Entry]] = {}
    at, places = 0, set(ends.values())
    for promotion in timeline.promotions(work):
        if promotion.id in ends:
            at = max(at, ends[promotion.id])
            continue
        time = promotion.time if promotion.time <= work.now else 0
        while at < len(found) and at + 1 not in places and found[at].time <= time:
            at += 1
        gaps.setdefault(at, []).append(_of_promotion(promotion))
    if not gaps:
        return found
    rows = [*found, None]
    return [e for n, row in enumerate(rows) for e in (*gaps.get(n, ()), row) if e is not None]


def _of_event(work: Workplace, event: Event) -> Iterable[Entry]:
    if event.kind == events.PROMOTION:
        promotion = facts.promotion_of(event)
        return [_of_promotion(promotion)] if promotion else []
    if event.kind == events.SYNC:
        return _of_sync(event)
    if event.kind == events.PUSH:
        return _of_push(event)
    if event.kind == events.LAB:
        return _of_lab(event)
    entry = Entry(
        time=event.time,
        what=event.kind,
        saltenv=_saltenv(work, event),
        id=event.id,
        by=event.by,
        source=event.text("gate")
        or event.text("source")
        or event.text("branch")
        or event.text("origin"),
        old=event.commit_of("from_commit") or event.commit_of("old"),
        new=event.commit_of("commit") or event.commit_of("new"),
        tag=event.text("tag"),
        reason=_reason(event),
        until=event.text("until"),
        asked_by=asking.name(event.details.get(asking.ASKED_BY)),
        claimed_by=asking.name(event.details.get(asking.CLAIMED_BY)),
        all=event.is_of_all,
    )
    return [_with_outcome(entry, event)]


def _with_outcome(entry: Entry, event: Event) -> Entry:
    """How an apply or a verification ended."""
    if told := told_of(event):
        seconds = event.time - told.since if told.since is not None else None
        return replace(entry, outcome=told.outcome, counts=told.counts, seconds=seconds)
    if event.kind != events.VERIFY:
        return entry
    numbers = {key: event.details.get(key) for key in ("checks", "minions", "failed", "seconds")}
    counts = {
        key: n for key, n in numbers.items() if key != "seconds" and type(n) is int and n >= 0
    }
    seconds, passed = numbers["seconds"], event.details.get("passed") is True
    return replace(
        entry,
        outcome="passed" if passed else "failed",
        counts=counts,
        seconds=float(seconds) if isinstance(seconds, int | float) else None,
    )


def _of_lab(event: Event) -> Iterable[Entry]:
    """What was asked for; whether it counted is each machine's judgement."""
    number, action = facts.lab_of(event), event.text("action")
    if number is None or action not in (facts.CLAIM, facts.EXTEND, facts.RELEASE):
        return
    minions = event.details.get("minions")
    names = [m for m in minions if isinstance(m, str)] if isinstance(minions, list) else []
    lent = f" with {', '.join(names)}" if names else ""
    yield Entry(
        time=event.time,
        what=events.LAB,
        saltenv=name_of(number),
        id=event.id,
        by=event.by,
        source=event.text("branch"),
        reason=asking.shortened(f"{action}{lent}"),
        until=event.text("until"),
        asked_by=asking.name(event.details.get(asking.ASKED_BY)),
        claimed_by=asking.name(event.details.get(asking.CLAIMED_BY)),
    )


def _of_push(event: Event) -> Iterable[Entry]:
    push = tips.push_of(event)
    if push:
        yield Entry(
            time=event.time,
            what=events.PUSH,
            saltenv=push.saltenv,
            id=event.id,
            by="",  # git does not say who pushed; the event is by whoever noticed
            source=push.branch,
            old=push.old,
            new=push.new,
            reason=push.told() + (", refused" if push.is_refused else ""),
        )


def _saltenv(work: Workplace, event: Event) -> str:
    """The saltenv that an event is about; of a debt that of the branch which lacks something."""
    owner = work.config.of_branch(event.text("branch"))
    if event.kind == events.DEBT and owner:
        return owner.name
    return event.text("saltenv") or (owner.name if owner else "")


def _reason(event: Event) -> str:
    if event.kind == events.APPLY:
        return asking.shortened(": ".join(filter(None, [event.text("told"), event.text("why")])))
    if event.kind == events.DEBT:
        return f"lacks a hotfix of {event.text('origin') or 'a branch above it'}"
    if event.kind == events.APPROVAL:
        what = event.text("approval") or f"plan {event.text('digest')[:16]}"
        return asking.shortened(f"{event.text('action')} {what}")
    return asking.shortened(event.text("reason"))


def _of_promotion(promotion: Promotion) -> Entry:
    return Entry(
        time=promotion.time,
        what=promotion.kind,
        saltenv=promotion.saltenv,
        id=promotion.id,
        by=promotion.by,
        source=promotion.source,
        old=promotion.old,
        new=promotion.new,
        tag=promotion.tag,
        tickets=promotion.tickets,
        diff_digest=promotion.diff_digest,
        via=promotion.via,
        asked_by=promotion.asked_by,
        claimed_by=promotion.claimed_by,
    )


def _of_sync(event: Event) -> Iterable[Entry]:
    """One entry for each saltenv that the master switched."""
    rows: Any = event.details.get("saltenvs")
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and isinstance(row.get("saltenv"), str):
            yield Entry(
                time=event.time,
                what=events.SYNC,
                saltenv=row["saltenv"],
                id=event.id,
                by=event.text("master") or event.by,
                old=_hash(row.get("old")),
                new=_hash(row.get("new")),
            )


def _hash(value: object) -> str | None:
    return value if isinstance(value, str) and events.is_hash(value) else None
