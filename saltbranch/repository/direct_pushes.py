"""Find what was pushed by hand to the branch of a saltenv that is promoted to, and which commit is served then.

It is found from the branch and the journal alone, so every machine comes to the same answer; whoever writes to the
journal next records it, and the journal's compare-and-swap sees to it that it stands there once. It is a guard against
mistakes: who may push can also write what looks like a promotion (see `direct_pushes` in docs/reference/hold.md).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from saltbranch.config.direct_pushes import ALLOW, REFUSE, STRICTNESS
from saltbranch.git import identity
from saltbranch.git.program import Git
from saltbranch.history import commits, trailers
from saltbranch.journal import events, tips
from saltbranch.journal import state as journal_state
from saltbranch.journal.events import Event
from saltbranch.journal.facts import Promotion
from saltbranch.journal.state import State
from saltbranch.journal.tips import Tip

_NAMED = 20  # commits and committers that an event names
_READ = 500  # commits whose committers are looked at
_LONGEST = 200  # characters of a committer
_TRAILERS = "%(trailers:only=true,unfold=true)"


@dataclass(frozen=True, slots=True)
class Watched:
    """A saltenv that is promoted to; `policy`: one of direct_pushes.POLICIES."""

    name: str
    branch: str
    policy: str


def stricter(one: str, other: str) -> str:
    """The one that lets less through; an unknown one lets everything."""
    return max(one, other, key=lambda p: STRICTNESS.index(p) if p in STRICTNESS else -1)


class Finder:
    """``Finder(git, read, now).look(saltenv, tip, head)``. Raises GitError.

    read: the whole journal, asked for only where the branch lacks something. seen: commits that are known to have
    been served.
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

    def look(self, saltenv: Watched, tip: Tip, head: str) -> tuple[Tip, list[Event]]:
        """The tip of a branch whose head is `head`, and the events that the journal lacks, the oldest first."""
        found: list[Event] = []
        if head != tip.head and self._is_put_right(tip, head):
            tip, event = self._put_right(saltenv, tip)
            found.append(event)
        if head == tip.head:
            return tip, found
        if not self._contains(head, tip.head):
            tip, events_ = self._rewritten(saltenv, tip, head)
        else:
            tip, events_ = self._grown(saltenv, tip, head)
        return tip, found + events_

    def _contains(self, head: str, commit: str) -> bool:
        return self.git.commit_or_none(commit) is not None and self.git.is_ancestor(commit, head)

    def _is_put_right(self, tip: Tip, head: str) -> bool:
        """Whether what was pushed by hand is gone again, and what was promoted before it is there."""
        if not tip.pushes or not self._contains(head, tip.promoted):
            return False
        return not self._contains(head, tip.head) or not self._contains(tip.head, tip.promoted)

    def _put_right(self, saltenv: Watched, tip: Tip) -> tuple[Tip, Event]:
        state = journal_state.replay(self.read())
        open_ones = [state.pushes[name] for name in tip.pushes if name in state.pushes]
        hold = state.holds.get(saltenv.name)
        more = {
            "put_right": True,
            "restored": sorted({name for push in open_ones for name in push.lost}),
            "lifts_hold": hold is not None and hold.event in tip.pushes,
        }
        old, new = tip.head, tip.promoted
        name, event = self._event(saltenv, tip, new, good=new, more=more, known=(old, new))
        return Tip(tip.promoted, tip.promoted, name), event

    def _grown(self, saltenv: Watched, tip: Tip, head: str) -> tuple[Tip, list[Event]]:
        """The branch contains what the journal says, and more.

        Merges among the first parents may tell what they are: a pull request of a promotion that the server merged, or
        a back-merge of a version that did not record them. What is below them came by hand all the same.
        """
        found: list[Event] = []
        for commit, below, is_promotion in self._explained(saltenv, tip, head):
            if below != tip.head and self._contains(below, tip.head):
                tip, told = self._by_hand(saltenv, tip, below)
                found += told
            if is_promotion:
                tip = Tip(commit, commit, tip.event)
            else:
                good = tip.good if tip.is_refused else commit
                tip = Tip(commit, good, tip.event, tip.pushes, tip.since)
        if tip.head != head:
            tip, told = self._by_hand(saltenv, tip, head)
            found += told
        return tip, found

    def _by_hand(self, saltenv: Watched, tip: Tip, head: str) -> tuple[Tip, list[Event]]:
        if saltenv.policy == ALLOW and not tip.is_refused:
            return Tip(head, head, tip.event), []
        good = tip.good if saltenv.policy == REFUSE or tip.is_refused else head
        return self._told(saltenv, tip, head, good)

    def _explained(self, saltenv: Watched, tip: Tip, head: str) -> Iterator[tuple[str, str, bool]]:
        """Merges that say what they are, the oldest first: commit, first parent, and whether it is a promotion."""
        args = (
            "log",
            "-z",
            "--first-parent",
            "--reverse",
            "--format=%H%n%P%n" + _TRAILERS,
            "--stdin",
        )
        text = self.git.out(*args, stdin=f"{head}\n^{tip.head}\n".encode())
        rows = [row.split("\n", 2) for row in text.split("\0") if row]
        arrivals: Collection[str] | None = None
        for commit, parents, told in rows:
            if " " not in parents:
                continue
            said, below = told.lower(), parents.partition(" ")[0]
            if "back-merge-of: " in said or "promotion-kind: back-merge" in said:
                yield commit, below, False
                continue
            if arrivals is None:
                arrivals = self._arrivals(saltenv, tip, head)
            if commit in arrivals:
                yield commit, below, True

    def _arrivals(self, saltenv: Watched, tip: Tip, head: str) -> Collection[str]:
        told = trailers.read(self.git, [head, f"^{tip.head}"])
        if not told:
            return ()
        graph = commits.read_graph(self.git, [head])
        found = trailers.promotions(told, graph, graph.line(head, {}), saltenv)
        return {promotion.new for promotion in found}

    def _rewritten(self, saltenv: Watched, tip: Tip, head: str) -> tuple[Tip, list[Event]]:
        """The branch lacks what the journal says that it has."""
        inside = set(self.git.out("rev-list", "--end-of-options", head).split())
        told = self.read()
        state, goods, holds = _replayed(told, saltenv)
        mine = [p for p in state.promotions if saltenv.branch in (p.branch, "")]
        lost = [p for p in mine if p.new not in inside]
        if saltenv.policy == ALLOW and not lost:
            return Tip(head, head, tip.event), []
        served = {*self.seen, *(r.commit for r in state.residences if r.saltenv == saltenv.name)}
        seen = any(p.new in served for p in lost)
        # The server took a promotion and put the branch back: it never was.
        undone = not seen and len(lost) == 1 and (lost[0].id, lost[0].old) == (tip.event, head)
        good = head
        if saltenv.policy == REFUSE or tip.is_refused:
            never = lost[0].new if undone else ""
            known = (c for c in reversed((*goods, tip.good)) if c != never)
            good = next((c for c in known if self.git.commit_or_none(c)), head)
        more = {
            "lost": [p.id for p in lost][-_NAMED:],
            "seen": seen,
            "undone": undone,
            "restores_hold": _hold_before(told, saltenv, lost, holds),
        }
        return self._told(saltenv, tip, head, good, more=more, known=goods)

    def _told(
        self,
        saltenv: Watched,
        tip: Tip,
        head: str,
        good: str,
        *,
        more: Mapping[str, object] | None = None,
        known: Sequence[str] = (),
    ) -> tuple[Tip, list[Event]]:
        said = {"since": tip.promoted, **(more or {})}
        name, event = self._event(
            saltenv, tip, head, good=good, more=said, known=(tip.head, *known)
        )
        after = tips.follow_one(tip, event)
        return after, [event]

    def _event(
        self,
        saltenv: Watched,
        tip: Tip,
        head: str,
        *,
        good: str,
        more: Mapping[str, object],
        known: Sequence[str],
    ) -> tuple[str, Event]:
        """A push from `tip` to `head`. known: commits whose history did not come with it."""
        number, named, committers = self._commits(head, known)
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
        details |= {key: value for key, value in more.items() if value}
        return name, Event(events.PUSH, name, self.now, identity.who(self.git), details)

    def _commits(self, new: str, known: Sequence[str]) -> tuple[int, list[str], list[str]]:
        among = "".join([f"{new}\n", *(f"^{c}\n" for c in dict.fromkeys(known))]).encode()
        count = ("rev-list", "--ignore-missing", "--count", "--stdin")
        number = int(self.git.out(*count, stdin=among))
        form = "--format=%H%n%cn <%ce>"
        args = ("log", "-z", "--ignore-missing", f"--max-count={_READ}", form, "--stdin")
        text = self.git.out(*args, stdin=among) if number else ""
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
        journal_state.replay([event], state)
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


def served_head(
    git: Git, tip: Tip | None, head: str, served: str | None = None, *, policy: str = ""
) -> str:
    """Up to where the branch with the head `head` is served. Raises GitError.

    served: what is served now, which is never left for something older because of a push by hand that is refused; not
    even where whoever recorded it did not know that it was served.
    """
    if tip is None or tip.head != head or not (tip.is_refused or tip.pushes):
        return head
    known = served if served and served != tip.good and git.commit_or_none(served) else None
    if not tip.is_refused:
        back = known and policy == REFUSE and known != head and git.is_ancestor(head, known)
        return known if known and back else head
    if known and git.is_ancestor(tip.good, known) and git.is_ancestor(known, head):
        return known
    return tip.good
