"""What entries of the journal tell of: holds, promotions, debts, labs, what masters serve."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from saltbranch.base import asked_by as asking
from saltbranch.base.durations import from_iso, iso
from saltbranch.config.labs import MOST
from saltbranch.journal.events import HOLD, LAB, PROMOTION, ROLLBACK, Event, is_hash

HoldKind = Literal["hold", "rollback"]
PromotionKind = Literal["promotion", "release", "hotfix"]
Via = Literal["journal", "trailers"]

_PROMOTIONS: dict[str, PromotionKind] = {kind: kind for kind in get_args(PromotionKind)}


@dataclass(frozen=True, slots=True)
class Hold:
    """A saltenv serves `commit`, whatever its branch says. `until`: seconds since 1970, None: for ever.

    kind: `hold` (somebody wants it so: promotions wait) or `rollback` (the next promotion lifts it).
    asked_by, claimed_by: see base/asked_by.py. all: it is held with all others, by one hold. below: it was held before
    all were, so it counts when that is over.
    """

    saltenv: str
    commit: str
    kind: HoldKind
    reason: str
    by: str
    since: float
    until: float | None
    event: str
    from_commit: str | None = None
    asked_by: str = ""
    claimed_by: str = ""
    all: bool = False
    below: bool = False

    @property
    def who(self) -> str:
        """Who made it, for people."""
        return asking.shown(self.by, self.asked_by, self.claimed_by)

    def is_active(self, now: float) -> bool:
        """Whether it still counts."""
        return self.until is None or now < self.until

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "saltenv": self.saltenv,
            "commit": self.commit,
            "kind": self.kind,
            "reason": self.reason,
            "by": self.by,
            "asked_by": self.asked_by or None,
            "claimed_by": self.claimed_by or None,
            "since": iso(self.since),
            "until": iso(self.until) if self.until is not None else None,
            "all": self.all,
        }


def hold_from_dict(data: Mapping[str, Any]) -> Hold:
    """What Hold.as_dict() gave; `event` and `from_commit`, which it leaves out, are empty. Raises ValueError.

    `below`, which it leaves out, too, is taken where somebody added it.
    """
    texts = [data.get(k) for k in ("saltenv", "commit", "kind", "reason", "by", "since")]
    saltenv, commit, kind, reason, by, since = (t if isinstance(t, str) else "" for t in texts)
    if not saltenv or not is_hash(commit):
        raise ValueError(f"no hold: {data!r}")
    until = data.get("until")
    return Hold(
        saltenv=saltenv,
        commit=commit,
        kind=ROLLBACK if kind == ROLLBACK else HOLD,
        reason=reason,
        by=by,
        since=from_iso(since),
        until=from_iso(until) if isinstance(until, str) else None,
        event="",
        all=data.get("all") is True,
        below=data.get("below") is True,
        **asking.named_in(data),
    )


@dataclass(frozen=True, slots=True)
class Promotion:
    """State code that went to the branch of a saltenv: `old` -> `new`, by merging `source_commit`.

    kind: promotion, release or hotfix. served_before: what the saltenv was to serve before, None
    when not known. via: journal, or trailers where only the merge commit tells. asked_by, claimed_by: see asked_by.
    """

    id: str
    kind: PromotionKind
    time: float
    by: str
    saltenv: str
    branch: str
    source: str
    source_commit: str
    old: str
    new: str
    served_before: str | None
    tag: str
    tickets: tuple[str, ...]
    digest: str
    via: Via = "journal"
    diff_digest: str = ""
    asked_by: str = ""
    claimed_by: str = ""

    @property
    def who(self) -> str:
        """Who made it, for people."""
        return asking.shown(self.by, self.asked_by, self.claimed_by)

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "id": self.id,
            "kind": self.kind,
            "time": iso(self.time),
            "by": self.by,
            "asked_by": self.asked_by or None,
            "claimed_by": self.claimed_by or None,
            "saltenv": self.saltenv,
            "branch": self.branch,
            "source": self.source,
            "source_commit": self.source_commit,
            "old": self.old,
            "new": self.new,
            "tag": self.tag or None,
            "tickets": list(self.tickets),
            "digest": self.digest,
            "diff_digest": self.diff_digest or None,
            "via": self.via,
        }


def promotion_kind(word: str) -> PromotionKind | None:
    """The kind of that name; None for one that only a newer release knows."""
    return _PROMOTIONS.get(word)


def promotion_of(event: Event) -> Promotion | None:
    """The promotion that an event tells of; None when it lacks something."""
    commits = [event.commit_of(k) for k in ("source_commit", "old", "new")]
    source, old, new = commits
    saltenv = event.text("saltenv")
    if not (source and old and new and saltenv):
        return None
    tickets = event.details.get("tickets")
    return Promotion(
        id=event.id,
        kind=promotion_kind(event.text("kind")) or PROMOTION,
        time=event.time,
        by=event.by,
        saltenv=saltenv,
        branch=event.text("branch"),
        source=event.text("source"),
        source_commit=source,
        old=old,
        new=new,
        served_before=event.commit_of("served_before"),
        tag=event.text("tag"),
        tickets=tuple(t for t in tickets if isinstance(t, str))
        if isinstance(tickets, list)
        else (),
        digest=event.text("digest"),
        diff_digest=event.text("diff_digest"),
        via="journal",
        **asking.named_in(event.details),
    )


@dataclass(frozen=True, slots=True)
class Debt:
    """`branch` lacks `commit`, which `origin` has: merging it there conflicted in `files`, or the branch was not read.

    promotion: the id of the one that brought `commit`.
    """

    id: str
    branch: str
    commit: str
    origin: str
    files: tuple[str, ...]
    time: float
    promotion: str = ""

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "id": self.id,
            "branch": self.branch,
            "commit": self.commit,
            "origin": self.origin,
            "files": list(self.files),
            "since": iso(self.time),
        }


@dataclass(frozen=True, slots=True)
class Residence:
    """From `since` to `until` (None: still) `master` served `commit` as `saltenv`; seconds since 1970.

    why: as in serving.py; empty where an older version told it.
    """

    master: str
    saltenv: str
    commit: str
    since: float
    until: float | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    """The checks of `saltenv` were run while it served `commit`. time: their end, in seconds since 1970; begun: of the
    first of them, which is long before where an apply ran them batch by batch.

    complete: on all its minions. reason: in one line, what was counted or why it failed.
    """

    saltenv: str
    commit: str
    passed: bool
    complete: bool
    time: float
    reason: str
    begun: float


def verification_of(event: Event) -> Verification | None:
    """The verification that an event tells of; None when it lacks something."""
    commit, saltenv = event.commit_of("commit"), event.text("saltenv")
    passed = event.details.get("passed")
    if not commit or not saltenv or not isinstance(passed, bool):
        return None
    try:
        begun = min(from_iso(event.text("begun")), event.time)
    except ValueError:
        begun = event.time
    return Verification(
        saltenv=saltenv,
        commit=commit,
        passed=passed,
        complete=event.details.get("complete") is True,
        time=event.time,
        reason=asking.shortened(event.text("reason")),
        begun=begun,
    )


@dataclass(frozen=True, slots=True)
class Claim:
    """What the journal says of one lab: nothing that was judged yet, since whoever may push can write it.

    id: of its event, empty for one that a master gave by `lab_auto`. number: which lab. minions: ids, none where it is
    for trying only. since, until: seconds since 1970; infinity: as long as the branch is there. empty_at: the head of
    the branch then, where it had nothing new yet: at that commit it does not count as merged. asked_by, claimed_by: see
    base/asked_by.py.
    """

    id: str
    number: int
    branch: str
    minions: tuple[str, ...]
    since: float
    until: float
    by: str
    empty_at: str = ""
    asked_by: str = ""
    claimed_by: str = ""

    @property
    def is_auto(self) -> bool:
        """Whether no person has claimed it."""
        return not self.id

    @property
    def who(self) -> str:
        """Who made it, for people."""
        return asking.shown(self.by, self.asked_by, self.claimed_by)

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "id": self.id or None,
            "lab": self.number,
            "branch": self.branch,
            "minions": list(self.minions),
            "since": None if self.is_auto else iso(self.since),
            "until": None if math.isinf(self.until) else iso(self.until),
            "by": self.by,
            "asked_by": self.asked_by or None,
            "claimed_by": self.claimed_by or None,
            "empty_at": self.empty_at or None,
        }


CLAIM: Final = "claim"
EXTEND: Final = "extend"
RELEASE: Final = "release"
"""What an event of a lab does."""
_MOST_MINIONS = 100
_LONGEST_NAME = 255


def claim_of(event: Event) -> Claim | None:
    """The claim that an event makes; None when it lacks something, or is larger than any verb makes it."""
    number, branch, minions = lab_of(event), event.text("branch"), event.details.get("minions", [])
    until = until_of(event)
    if number is None or until is None:
        return None
    if not (_is_name(branch) and _is_name(event.id)):
        return None
    if not isinstance(minions, list) or len(minions) > _MOST_MINIONS:
        return None
    if not all(isinstance(m, str) and _is_name(m) for m in minions):
        return None
    return Claim(
        id=event.id,
        number=number,
        branch=branch,
        minions=tuple(dict.fromkeys(minions)),
        since=event.time,
        until=until,
        by=event.by,
        empty_at=event.commit_of("empty_at") or "",
        **asking.named_in(event.details),
    )


def lab_of(event: Event) -> int | None:
    """The number of the lab that an event is about."""
    number = event.details.get("lab")
    return number if type(number) is int and 1 <= number <= MOST else None


def until_of(event: Event) -> float | None:
    """When a claim ends, in seconds since 1970."""
    try:
        return from_iso(event.text("until"))
    except (ValueError, OverflowError):
        return None


def claim_from_dict(data: Mapping[str, Any]) -> Claim:
    """What Claim.as_dict() gave, of a claim that stands in the journal. Raises ValueError."""
    try:
        details = {key: data[key] for key in ("lab", "branch", "minions", "until", "empty_at")}
        asked = {key: data[key] for key in ("asked_by", "claimed_by") if data.get(key)}
        event = Event(LAB, data["id"], from_iso(data["since"]), data["by"], {**details, **asked})
        found = claim_of(event)
    except (KeyError, TypeError, AttributeError, OverflowError) as err:
        raise ValueError(f"no claim: {data!r}") from err
    if found is None:
        raise ValueError(f"no claim: {data!r}")
    return found


def _is_name(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_NAME and text.isprintable()
