"""Find what was pushed by hand to the branch of a saltenv that is promoted to, and which commit is served then.

It is found from the branch and the journal alone, so every machine comes to the same answer; whoever writes to the
journal next records it, and the journal's compare-and-swap sees to it that it stands there once. It is a guard against
mistakes: who may push can also write what looks like a promotion (see `direct_pushes` in README.md).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from saltbranch import commits, events, journal, trailers
from saltbranch.events import Event, Promotion, State
from saltbranch.git import Git
from saltbranch.repository.tips import ALLOW, REFUSE, STRICTNESS, Tip

_NAMED = 20  # commits and committers that an event names
_READ = 500  # commits whose committers are looked at
_LONGEST = 200  # characters of a committer
_TRAILERS = "%(trailers:only=true,unfold=true)"


@dataclass(frozen=True, slots=True)
class Watched:
    """A saltenv that is promoted to; `policy`: one of tips.POLICIES."""

    name: str
    branch: str
    policy: str


def stricter(one: str, other: str) -> str:
    """The one that lets less through; an unknown one lets everything."""
    return max(one, other, key=lambda p: STRICTNESS.index(p) if p in STRICTNESS else -1)


class Finder:
    """``Finder(git, read, now).look(saltenv, tip, head)``. Raises GitError.

    read: the whole journal, asked for only where a promotion is missing from its branch. seen: commits that are known
    to have been served.
    """

    def __init__(
        self,
        git: Git,
        read: Callable[[], Sequence[Event]],
        now: float,
        *,
        seen: Collection[str] = (),
    ) -> None:
        self.git = git
        self.read = read
        self.now = now
        self.seen = seen

    def look(self, saltenv: Watched, tip: Tip, head: str) -> tuple[Tip, Event | None]:
        """The tip of a branch whose head is `head`, and the event that the journal lacks."""
        if head == tip.head:
            return tip, None
        if not self._contains(head, tip.head):
            return self._rewritten(saltenv, tip, head)
        if saltenv.policy == ALLOW and not tip.is_refused:
            return Tip(head, head, tip.event), None
        begin = self._explained(saltenv, tip, head)
        if begin.head == head:
            return begin, None
        good = begin.good if saltenv.policy == REFUSE or begin.is_refused else head
        return self._told(saltenv, begin, head, good)

    def _contains(self, head: str, commit: str) -> bool:
        return self.git.commit_or_none(commit) is not None and self.git.is_ancestor(commit, head)

    def _explained(self, saltenv: Watched, tip: Tip, head: str) -> Tip:
        """How far the first parents of `head` are promotions and back-merges that only their merges tell of.

        That is a pull request that the server merged, and what versions wrote that did not record back-merges.
        """
        args = ("log", "-z", "--first-parent", "--format=%H%n%P%n" + _TRAILERS, "--stdin")
        text = self.git.out(*args, config=commits.CONFIG, stdin=f"{head}\n^{tip.head}\n".encode())
        rows = [row.split("\n", 2) for row in text.split("\0") if row]
        arrivals: Collection[str] | None = None
        for commit, parents, told in rows:
            if " " not in parents:
                continue
            said = told.lower()
            if "back-merge-of: " in said or "promotion-kind: back-merge" in said:
                good = tip.good if tip.is_refused else commit
                return Tip(commit, good, tip.event, tip.push)
            if arrivals is None:
                arrivals = self._arrivals(saltenv, tip, head)
            if commit in arrivals:
                return Tip(commit, commit, tip.event)
        return tip

    def _arrivals(self, saltenv: Watched, tip: Tip, head: str) -> Collection[str]:
        told = trailers.read(self.git, [head, f"^{tip.head}"])
        if not told:
            return ()
        graph = commits.read_graph(self.git, [head])
        found = trailers.promotions(told, graph, graph.line(head, {}), saltenv)
        return {promotion.new for promotion in found}

    def _rewritten(self, saltenv: Watched, tip: Tip, head: str) -> tuple[Tip, Event | None]:
        """The branch lacks what the journal says that it has."""
        inside = set(self.git.out("rev-list", "--end-of-options", head).split())
        told = self.read()
        state, goods, holds = _replayed(told, saltenv)
        lost = [p for p in state.promotions_to(saltenv.name) if p.new not in inside]
        if saltenv.policy == ALLOW and not lost:
            return Tip(head, head, tip.event), None
        last = next((good for good in reversed(goods) if good in inside), tip.good)
        good = head if head in goods or saltenv.policy != REFUSE else last
        served = {*self.seen, *(r.commit for r in state.residences if r.saltenv == saltenv.name)}
        more = {
            "lost": [p.id for p in lost][-_NAMED:],
            "seen": any(p.new in served for p in lost),
            "restores_hold": _hold_before(told, saltenv, lost, holds),
        }
        return self._told(saltenv, tip, head, good, more)

    def _told(
        self,
        saltenv: Watched,
        tip: Tip,
        head: str,
        good: str,
        more: Mapping[str, object] | None = None,
    ) -> tuple[Tip, Event]:
        number, named, committers = self._commits(tip.head, head)
        words = (saltenv.name, tip.head, head, tip.event)
        name = "push-" + hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]
        details: dict[str, object] = {
            "saltenv": saltenv.name,
            "branch": saltenv.branch,
            "old": tip.head,
            "new": head,
            "good": good,
            "policy": saltenv.policy,
            "number": number,
            "commits": named,
            "committers": committers,
        }
        details |= {key: value for key, value in (more or {}).items() if value}
        event = Event(events.PUSH, name, self.now, journal.who(self.git), details)
        return Tip(head, good, name, name), event

    def _commits(self, old: str, new: str) -> tuple[int, list[str], list[str]]:
        here = self.git.commit_or_none(old)
        among = f"{new}\n" + (f"^{old}\n" if here else "")
        number = int(self.git.out("rev-list", "--count", "--stdin", stdin=among.encode()))
        form = ("log", "-z", f"--max-count={_READ}", "--format=%H%n%cn <%ce>", "--stdin")
        text = self.git.out(*form, config=commits.CONFIG, stdin=among.encode())
        rows = [row.split("\n", 1) for row in text.split("\0") if row]
        people = dict.fromkeys(person[:_LONGEST] for _, person in rows)
        return number, [commit for commit, _ in rows[:_NAMED]], list(people)[:_NAMED]


def _replayed(
    told: Sequence[Event], saltenv: Watched
) -> tuple[State, list[str], dict[str, object | None]]:
    """What follows from the journal, the good commits of the branch in their order, and the hold before each event."""
    state = State()
    goods: list[str] = []
    holds: dict[str, object | None] = {}
    for event in told:
        hold = state.holds.get(saltenv.name)
        if event.text("saltenv") == saltenv.name:
            holds[event.id] = hold.as_dict() if hold else None
        events.replay([event], state)
        tip = state.tips.get(saltenv.branch)
        if tip and (not goods or goods[-1] != tip.good):
            goods.append(tip.good)
    return state, goods, holds


def _hold_before(
    told: Sequence[Event],
    saltenv: Watched,
    lost: Sequence[Promotion],
    holds: Mapping[str, object | None],
) -> object | None:
    """The hold that the first of `lost` lifted or moved; none where somebody has held or let go since."""
    if not lost:
        return None
    mine = [e for e in told if e.text("saltenv") == saltenv.name]
    numbers = [n for n, e in enumerate(mine) if e.id == lost[0].id]
    since = mine[numbers[0] :] if numbers else []
    if any(e.kind in (events.HOLD, events.ROLLBACK, events.UNHOLD) for e in since):
        return None
    changed = any(
        e.details.get("lifts_hold") is True or e.commit_of("hold_moves_to") for e in since
    )
    return holds.get(lost[0].id) if changed else None


def unrecorded(
    git: Git,
    state: State,
    saltenvs: Sequence[Watched],
    heads: Mapping[str, str],
    now: float,
) -> list[Event]:
    """What the journal, from which `state` follows, should tell of the branches and does not. Raises GitError."""
    finder = Finder(git, lambda: state.events, now)
    found = []
    for saltenv in saltenvs:
        tip, head = state.tips.get(saltenv.branch), heads.get(saltenv.branch)
        if tip and tip.head and head:
            found.append(finder.look(saltenv, tip, head)[1])
    return [event for event in found if event]


def served_head(git: Git, tip: Tip | None, head: str, served: str | None = None) -> str:
    """Up to where the branch with the head `head` is served. Raises GitError.

    served: what is served now, which is never left for something older where that was not refused.
    """
    if tip is None or not tip.is_refused or tip.head != head:
        return head
    known = served is not None and served != tip.good and git.commit_or_none(served)
    if known and git.is_ancestor(tip.good, known) and git.is_ancestor(known, head):
        return known
    return tip.good
