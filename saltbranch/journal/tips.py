"""What the journal knows of the branch of a saltenv: up to where it was promoted, and what was pushed by hand.

Pure. A branch that is promoted to moves by what saltbranch pushes together with an event that says so: promotions,
releases, hotfixes, back-merges. What is on it beside that was pushed by hand: past the gates, that is. The journal
gets an event of its own for that, `push`, from whoever notices first (repository/direct_pushes.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from saltbranch.journal.events import Event

PROMOTION: Final = "promotion"
PUSH: Final = "push"
ACCEPT: Final = "accept"
BACKMERGE: Final = "backmerge"
_NAMED = 5  # commits and people that a line names
_MANY = 20  # commits and people of several pushes together
_KEPT = 200  # open pushes of a branch; the first and the latest ones


@dataclass(frozen=True, slots=True)
class Tip:
    """A branch as the journal has it.

    head: where the last event about it left it. good: the last commit that was promoted, accepted, or not refused;
    where it is not the head, what lies between is refused. Both are empty where the journal does not say. event: the
    id of that last event. pushes: the ids of those by hand that nobody has accepted and no promotion has taken up yet,
    the oldest first. since: the commit before them; empty where there are none.
    """

    head: str
    good: str
    event: str = ""
    pushes: tuple[str, ...] = ()
    since: str = ""

    @property
    def is_refused(self) -> bool:
        """Whether the head is not to be served."""
        return self.head != self.good

    @property
    def promoted(self) -> str:
        """The last commit that was promoted or accepted, as far as the journal says."""
        return self.since or self.good

    def as_list(self) -> list[str]:
        """Plain data."""
        return [self.head, self.good, self.event, self.since, *self.pushes]


def tip_from_list(data: object) -> Tip:
    """What Tip.as_list() gave. Raises ValueError."""
    if not isinstance(data, list) or len(data) < 4 or not all(isinstance(w, str) for w in data):
        raise ValueError(f"not a tip: {data!r}")
    head, good, event, since, *pushes = data
    return Tip(head, good, event, tuple(pushes), since)


@dataclass(frozen=True, slots=True)
class Push:
    """A branch that moved from `old` to `new` without saltbranch.

    commits: those that came, `number` of them, the newest first and not all. committers: as git has them. lost:
    promotions that the journal has and the branch has not. seen: a master has served one of these. good: as in Tip.
    since: the commit that was promoted or accepted before it and other open ones. put_right: it took back such pushes,
    so that the branch is again as it was promoted; restored: the promotions that count again.
    """

    id: str
    time: float
    saltenv: str
    branch: str
    old: str
    new: str
    good: str
    number: int
    commits: tuple[str, ...]
    committers: tuple[str, ...]
    lost: tuple[str, ...]
    seen: bool
    since: str = ""
    put_right: bool = False
    restored: tuple[str, ...] = ()

    @property
    def is_refused(self) -> bool:
        """Whether it is not to be served."""
        return self.new != self.good

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "id": self.id,
            "saltenv": self.saltenv,
            "branch": self.branch,
            "old": self.old,
            "new": self.new,
            "number": self.number,
            "commits": list(self.commits),
            "committers": list(self.committers),
            "lost": list(self.lost),
            "refused": self.is_refused,
        }

    def told(self) -> str:
        """What happened, in one line."""
        if self.put_right:
            return f"branch {self.branch!r} was put right by hand: it is at {self.new[:12]} again, as promoted"
        said = []
        if self.number:
            many = f"{self.number} commit{'' if self.number == 1 else 's'}"
            who = f" by {_some(self.committers, len(self.committers))}" if self.committers else ""
            named = _some([c[:12] for c in self.commits], self.number)
            said.append(f"{many} pushed to {self.branch!r} by hand{who}, not promoted ({named})")
        if self.lost:
            ids = _some(self.lost, len(self.lost))
            what = f"branch {self.branch!r} is at {self.new[:12]} and does not contain what promotion {ids} brought:"
            how = "it was moved back" if self.seen else "the server or someone else moved it back"
            said.append(f"{what} {how}")
        elif not self.number:
            said.append(f"branch {self.branch!r} was moved back by hand to {self.new[:12]}")
        return "; ".join(said)


@dataclass(frozen=True, slots=True)
class Moved:
    """What a saltenv serves went from `before` to `new` by the push by hand `id`, or because that was accepted."""

    id: str
    saltenv: str
    before: str
    new: str


def _some(names: Iterable[str], number: int) -> str:
    listed = list(names)[:_NAMED]
    more = number - len(listed)
    return ", ".join(listed) + (f" and {more} more" if more > 0 else "")


def push_of(event: Event) -> Push | None:
    """The push that an event tells of; None when it lacks something."""
    old, new, good = (event.commit_of(k) for k in ("old", "new", "good"))
    saltenv, branch = event.text("saltenv"), event.text("branch")
    if not (old and new and good and saltenv and branch):
        return None
    number = event.details.get("number")
    return Push(
        id=event.id,
        time=event.time,
        saltenv=saltenv,
        branch=branch,
        old=old,
        new=new,
        good=good,
        number=number if isinstance(number, int) and number >= 0 else 0,
        commits=_texts(event, "commits"),
        committers=_texts(event, "committers"),
        lost=_texts(event, "lost"),
        seen=event.details.get("seen") is True,
        since=event.commit_of("since") or "",
        put_right=event.details.get("put_right") is True,
        restored=_texts(event, "restored"),
    )


def together(pushes: Sequence[Push], tip: Tip) -> Push:
    """Several pushes to the branch of `tip`, the oldest first, as one: what came by hand since the last promotion."""
    first, last = pushes[0], pushes[-1]
    commits = dict.fromkeys(c for push in reversed(pushes) for c in push.commits)
    people = dict.fromkeys(name for push in reversed(pushes) for name in push.committers)
    return replace(
        last,
        old=first.old,
        good=tip.good if tip.is_refused else last.new,
        number=sum(push.number for push in pushes),
        commits=tuple(commits)[:_MANY],
        committers=tuple(people)[:_MANY],
        lost=tuple(dict.fromkeys(name for push in pushes for name in push.lost)),
        seen=any(push.seen for push in pushes),
    )


def _texts(event: Event, key: str) -> tuple[str, ...]:
    value = event.details.get(key)
    return tuple(t for t in value if isinstance(t, str)) if isinstance(value, list) else ()


def moved_by(event: Event) -> Moved | None:
    """The step that a rollback goes back, where the event is one beside promotions."""
    saltenv = event.text("saltenv")
    if event.kind == ACCEPT:
        before, new = event.commit_of("from_commit"), event.commit_of("commit")
        name = event.text("push") or event.id
    else:
        push = push_of(event)
        if push is None or push.is_refused or push.lost or push.put_right or not push.number:
            return None
        before, new, name = push.old, push.new, push.id
    return Moved(name, saltenv, before, new) if saltenv and before and new else None


def follow(tips: dict[str, Tip], event: Event) -> None:
    """Bring `tips`, by branch, on by one event of the journal."""
    branch = event.text("branch")
    if event.kind == PROMOTION:
        _promoted(tips, branch, event)
    elif event.kind == BACKMERGE:
        _merged(tips, event.details, event.commit_of("new"), event.id)
    elif event.kind == PUSH:
        push = push_of(event)
        if push:
            tips[branch] = _pushed(tips.get(branch), push)
    elif event.kind == ACCEPT and branch and (commit := event.commit_of("commit")):
        tips[branch] = _accepted(tips.get(branch), commit, event)


def follow_one(tip: Tip, event: Event) -> Tip:
    """The tip after a push by hand to its branch."""
    push = push_of(event)
    return _pushed(tip, push) if push else tip


def _pushed(tip: Tip | None, push: Push) -> Tip:
    if push.put_right:
        return Tip(push.new, push.good, push.id)
    before = tip.promoted if tip else ""
    since = push.since or before or push.old
    # One that begins elsewhere comes after what only a merge tells of, which took up those before it.
    earlier = tip.pushes if tip and since == before else ()
    if len(earlier) >= _KEPT:
        earlier = (earlier[0], *earlier[2 - _KEPT :])
    return Tip(push.new, push.good, push.id, (*earlier, push.id), since)


def _accepted(tip: Tip | None, commit: str, event: Event) -> Tip:
    if tip is None or not tip.head or tip.head == commit:
        return Tip(commit, commit, event.id)
    # Accepted was what was looked at, not what came after it.
    name = event.text("push")
    number = tip.pushes.index(name) + 1 if name in tip.pushes else max(len(tip.pushes) - 1, 0)
    good = commit if tip.is_refused else tip.good
    return Tip(tip.head, good, event.id, tip.pushes[number:], commit)


def _promoted(tips: dict[str, Tip], branch: str, event: Event) -> None:
    old, new, tip = event.commit_of("old"), event.commit_of("new"), tips.get(branch)
    if not (old and new and branch):
        return
    # One that was found by its merge commit later may stand behind newer ones.
    is_late = event.details.get("rebuilt") is True and tip is not None and tip.head != old
    if new != old and not is_late:
        tips[branch] = Tip(new, new, event.id)
    rows = event.details.get("merges")
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, Mapping):
            _merged(tips, row, new, event.id)


def _merged(tips: dict[str, Tip], row: Mapping[str, Any], source: str | None, event: str) -> None:
    """A back-merge into a branch. source: what a fast-forward makes of it; `new` tells of a merge.

    It begins nothing on a branch that nothing is promoted to (`promoted_to`): what is pushed there is no business of
    ours, also when the branch is put into the chain later. Older versions did not say which it was.
    """
    branch, new, watched = row.get("branch"), row.get("new"), row.get("promoted_to")
    if row.get("kind") == "fast-forward":
        new = source
    if not isinstance(branch, str):
        return
    tip = tips.get(branch)
    if watched is False or (tip is None and watched is not True):
        tips.pop(branch, None)
    elif not isinstance(new, str) or len(new) != 40 or new.strip("0123456789abcdef"):
        tips[branch] = Tip("", "", event)  # written by a version that did not say it
    elif tip is None or not tip.head or row.get("kind") == "fast-forward":
        tips[branch] = Tip(new, new, event)
    else:
        good = tip.good if tip.is_refused else new
        tips[branch] = Tip(new, good, event, tip.pushes, tip.since)
