"""Bring minions that come up for the first time to where their ids belong.

An event says that a minion started, and any minion can say that of any other (`event.send` with the tag
``salt/minion/ID/start``), so it is only a reason to look: what counts is the id under which the master has accepted a
key, and what that minion itself answers, which the master keeps under the id that was proven. Whoever lies can have
nothing done to another minion but what is due to it anyway, once.

    started -> asked (modules, pillar) -> applying (its first highstate, where that is wanted) -> known

The job of a highstate is written down before it is published, under an id that was made for it, so whoever goes on
after a kill can see in the master's job cache whether it was. One process does this at a time; events that come
meanwhile leave word in a file and are done with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from saltbranch.base.errors import LockedError
from saltbranch.base.text import printable
from saltbranch.new_minions import events, known
from saltbranch.new_minions.known import APPLYING, ASKED, KNOWN, STARTED, UNPLACED, Entry, Known

_PAUSE = 0.5  # seconds between two looks; what comes up meanwhile shares a job
_PATIENCE = 30.0  # seconds in which something has to happen
_LONGEST = 600.0  # seconds that one call goes on
_AGAIN = 60.0  # seconds after which a minion that did not answer is asked again
_MOST_DOUBLED = 4  # how often the pause between two questions to a minion that starts again and again is doubled
_REFUSAL = 5.0  # seconds in which a minion says that it cannot begin a highstate
_BUSY = 10.0  # seconds until a minion that applied other states is asked again

# What a minion leaves of every highstate (salt/state.py, call_highstate), whichever master it was from.
_HAD = (
    """{"had": {{ salt['file.file_exists'](opts['cachedir'] ~ '/highstate.cache.p') | json }} }"""
)
_FIRST = ("saltutil.sync_all", "saltutil.refresh_pillar", "slsutil.renderer")


class Master(Protocol):
    """The running salt-master, as far as it is needed here. What fails raises SaltError."""

    def accepted(self) -> Sequence[str]:
        """The ids whose keys it has accepted."""

    def key_of(self, minion: str) -> str | None:
        """The digest of an accepted key."""

    def publish(
        self, minions: Sequence[str], calls: Sequence[tuple[str, Mapping[str, Any]]], jid: str = ""
    ) -> str:
        """Publish functions with keyword arguments for `minions`; the id of the job, `jid` where it is given."""

    def returns(self, jid: str) -> Mapping[str, Any]:
        """What minions returned of a job, by the id that each proved."""

    def is_published(self, jid: str) -> bool:
        """Whether the job cache has the job."""

    def new_jid(self) -> str:
        """An id for a job."""

    def fire(self, tag: str, data: Mapping[str, Any]) -> None:
        """Put an event on the bus."""


@dataclass(frozen=True, slots=True)
class Home:
    """Where an id belongs. saltenvs: those that claim it. commit: what the one that this master serves has.

    problem: why it is nowhere here. wants_highstate: `first_highstate` of the saltenv.
    """

    saltenvs: tuple[str, ...]
    branch: str = ""
    commit: str = ""
    problem: str = ""
    wants_highstate: bool = False


@dataclass(slots=True)
class Outcome:
    """What a call did. begun: all that were accepted before count as known from now on.

    left: minions that have not answered. coalesced: another process does it.
    """

    placed: list[events.NewMinion] = field(default_factory=list)
    unplaced: list[events.UnplacedMinion] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    begun: int | None = None
    coalesced: bool = False

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "version": 1,
            "placed": list(self.placed),
            "unplaced": list(self.unplaced),
            "left": self.left,
            "begun": self.begun,
            "coalesced": self.coalesced,
        }


def place(root: str, master: Master, home_of: Callable[[str], Home], configuration: str) -> Outcome:
    """Bring on whoever is new; another process that does so already is left to it.

    home_of: where an id belongs. configuration: stands for what that was judged by.
    Raises SaltError, OSError.
    """
    outcome = Outcome()
    while True:
        try:
            with known.lock(root):
                _Placing(root, master, home_of, configuration, outcome).run()
        except LockedError:
            outcome.coalesced = True
            return outcome
        # Word that came after the last look, from one who found the lock held.
        if not known.has_started(root):
            return outcome


class _Placing:
    """One process's work. The lock is held."""

    def __init__(
        self,
        root: str,
        master: Master,
        home_of: Callable[[str], Home],
        configuration: str,
        outcome: Outcome,
    ) -> None:
        self.root = root
        self.master = master
        self.home_of = home_of
        self.configuration = configuration
        self.outcome = outcome
        self.changed = False
        self.known = Known()

    def run(self) -> None:
        """Go on until all that is new is known, or does not answer."""
        found = known.load(self.root)
        if found is None:
            self._begin()
            return
        self.known = found
        begun = moved = time.monotonic()
        self._resume()
        while True:
            if self._take() | self._step():
                moved = time.monotonic()
            self._save()
            now = time.monotonic()
            busy = [name for name, entry in self.known.under_way() if not self._rests(entry)]
            if not busy or now - moved > _PATIENCE or now - begun > _LONGEST:
                break
            time.sleep(_PAUSE)
        self.outcome.left = sorted(name for name, _ in self.known.under_way())

    def _begin(self) -> None:
        """Nothing is recorded, so nobody can be told to be new."""
        fresh = known.begin(self.master.accepted(), self.master.key_of)
        known.save(self.root, fresh)
        known.forget_started(self.root, known.started(self.root))
        self.outcome.begun = len(fresh.minions)

    def _save(self) -> None:
        if self.changed:
            known.save(self.root, self.known)
            self.changed = False

    def _take(self) -> bool:
        """Look at who is said to have started; whether anybody is."""
        taken = known.started(self.root)
        for minion in taken:
            key = self.master.key_of(minion)
            entry = self.known.minions.get(minion)
            if key is None:
                continue
            if entry and entry.key == key and entry.stage in (STARTED, ASKED):
                # It may not have got its job. Seconds: 1, 2, 4 ..., since this may be somebody else's word.
                pause, now = 2.0 ** min(entry.starts, _MOST_DOUBLED), time.time()
                due = entry.at + pause if entry.stage == ASKED else min(entry.at, now + pause)
                entry.starts += 1
                self._later(entry, max(0.0, due - now), entry.jid)  # it may answer all the same
            elif self._is_due(entry, key):
                self.known.minions.pop(minion, None)  # to its end: the oldest come first
                self.known.minions[minion] = Entry(key)
                self.changed = True
        if taken:
            known.forget_gone(self.known, self.master.accepted())
            self._save()
        if known.has_started(self.root):
            known.forget_started(self.root, taken)
        return bool(taken)

    def _is_due(self, entry: Entry | None, key: str) -> bool:
        """Whether a start begins something."""
        if entry is None or entry.key != key:
            return True
        return entry.stage == UNPLACED and entry.seen != self.configuration

    def _rests(self, entry: Entry) -> bool:
        """Whether nothing is to be done for it for a while."""
        return entry.stage == STARTED and self._wait(entry) > _PATIENCE

    def _wait(self, entry: Entry) -> float:
        """Seconds until a minion that has started may be asked: `at` is when that is."""
        return entry.at - time.time() if entry.at - time.time() <= _AGAIN else 0.0

    def _resume(self) -> None:
        """Go on with what a killed process left."""
        for name, entry in self.known.under_way():
            if self.master.key_of(name) != entry.key:
                del self.known.minions[name]  # its key was taken from it
                self.changed = True
            elif entry.stage == APPLYING and not self.master.is_published(entry.jid):
                self._resume_highstate(name, entry)

    def _resume_highstate(self, name: str, entry: Entry) -> None:
        """Publish what was not, where the configuration, which may be new, still wants it."""
        home = self.home_of(name)
        if home.problem:
            self._tell_unplaced(name, entry, home)
        elif not home.wants_highstate:
            self._tell(name, entry, home, None)
        else:
            self.master.publish([name], [("state.highstate", {})], entry.jid)
            entry.at = time.time()
            self.changed = True

    def _step(self) -> bool:
        """Bring everybody on by as much as is possible now; whether that was anything."""
        before = [(n, e.stage, e.jid) for n, e in self.known.under_way()]
        self._ask()
        jids = {e.jid for _, e in self.known.under_way() if e.jid}
        returns = {jid: self.master.returns(jid) for jid in jids}
        for name, entry in self.known.under_way():
            answer = returns.get(entry.jid, {})
            if entry.stage == ASKED or (entry.stage == STARTED and name in answer):
                self._hear(name, entry, answer)
            elif entry.stage == APPLYING:
                self._applied(name, entry, answer)
        return before != [(n, e.stage, e.jid) for n, e in self.known.under_way()]

    def _ask(self) -> None:
        """Let those that started sync their modules and refresh their pillar, those of a saltenv by one job."""
        together: dict[str, list[str]] = {}
        for name, entry in self.known.under_way():
            if entry.stage != STARTED or self._wait(entry) > 0:
                continue
            home = self.home_of(name)
            if home.problem:
                self._tell_unplaced(name, entry, home)
            else:
                together.setdefault(home.saltenvs[0], []).append(name)
        for saltenv, names in together.items():
            jid = self.master.publish(
                names,
                list(
                    zip(
                        _FIRST,
                        (
                            {"saltenv": saltenv},
                            {"wait": True},
                            {"string": _HAD, "default_renderer": "jinja|json"},
                        ),
                        strict=True,
                    )
                ),
            )
            for name in names:
                entry = self.known.minions[name]
                entry.stage, entry.jid, entry.at, self.changed = ASKED, jid, time.time(), True

    def _tell_unplaced(self, name: str, entry: Entry, home: Home) -> None:
        data: events.UnplacedMinion = {
            "minion": name,
            "saltenvs": list(home.saltenvs),
            "reason": home.problem,
        }
        self.master.fire(events.UNPLACED, data)
        self.outcome.unplaced.append(data)
        entry.stage, entry.jid, entry.seen, self.changed = UNPLACED, "", self.configuration, True

    def _hear(self, name: str, entry: Entry, answers: Mapping[str, Any]) -> None:
        """Take what a minion made of its first job."""
        if name not in answers:
            if time.time() - entry.at > _AGAIN or entry.at > time.time():
                self._later(entry, _AGAIN)
            return
        answer = _by_function(answers[name])
        home = self.home_of(name)
        if home.problem:
            self._tell_unplaced(name, entry, home)
            return
        problem = _problem(answer)
        said = answer.get("slsutil.renderer")
        had = said.get("had") if isinstance(said, Mapping) else None
        entry.had = had is True
        if problem or entry.had or not home.wants_highstate:
            self._tell(name, entry, home, problem)
            return
        if had is not False:
            problem = "it does not say whether it has had a highstate, so none is applied"
            self._tell(name, entry, home, problem)
            return
        entry.stage, entry.jid, entry.at = APPLYING, self.master.new_jid(), time.time()
        self.changed = True
        self._save()  # before it is published: whoever is killed now must not do it twice
        self.master.publish([name], [("state.highstate", {})], entry.jid)

    def _applied(self, name: str, entry: Entry, answers: Mapping[str, Any]) -> None:
        """Tell of a highstate once it has begun."""
        if name in answers and _is_busy(answers[name]):
            # With other states, or with a highstate that somebody else began.
            self._later(entry, _BUSY)
        elif name in answers or not 0 <= time.time() - entry.at < _REFUSAL:
            self._tell(name, entry, self.home_of(name), None, highstate=entry.jid)

    def _later(self, entry: Entry, seconds: float, jid: str = "") -> None:
        """Ask it then. jid: an earlier question that counts until then."""
        entry.stage, entry.jid, entry.at = STARTED, jid, time.time() + seconds
        self.changed = True

    def _tell(
        self, name: str, entry: Entry, home: Home, problem: str | None, highstate: str | None = None
    ) -> None:
        """Tell of a minion that is where it belongs; told before it is recorded, so rather twice than never."""
        data: events.NewMinion = {
            "minion": name,
            "saltenv": home.saltenvs[0] if home.saltenvs else "",
            "branch": home.branch,
            "commit": home.commit,
            "highstate": highstate,
            "had_highstate": entry.had,
            "problem": problem,
        }
        self.master.fire(events.new_tag(data["saltenv"]), data)
        self.outcome.placed.append(data)
        entry.stage, entry.jid, entry.at, self.changed = KNOWN, highstate or "", 0.0, True


def _by_function(answer: object) -> Mapping[str, Any]:
    """What each function of the first job returned; a minion may put them in order instead (`multifunc_ordered`)."""
    if isinstance(answer, list) and len(answer) == len(_FIRST):
        return dict(zip(_FIRST, answer, strict=True))
    return answer if isinstance(answer, Mapping) else {"saltutil.sync_all": answer}


def _problem(answer: Mapping[str, Any]) -> str | None:
    """What went wrong with modules or pillar."""
    modules, pillar = (answer.get(name) for name in _FIRST[:2])
    if not isinstance(modules, Mapping):
        return f"its modules are not synced: {printable(str(modules))[:200]}"
    if pillar is not True:
        return f"its pillar is not refreshed: {printable(str(pillar))[:200]}"
    return None


def _is_busy(answer: object) -> bool:
    """Whether a minion refused to begin since it applies states already (salt/modules/state.py, _check_queue)."""
    return isinstance(answer, list) and any("is running as PID" in str(line) for line in answer)
