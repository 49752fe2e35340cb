"""What the journal should tell of the branches that are promoted to, and does not: one answer for all verbs.

A sync, a clone and a master that promotes ask here. A branch that could not be read is judged by nobody: what it was
when it was read last is older than the journal may be.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from saltbranch.base import files
from saltbranch.git.program import Git
from saltbranch.journal import state as journal_state
from saltbranch.journal.events import Event
from saltbranch.journal.state import State
from saltbranch.journal.tips import Tip, tip_from_list
from saltbranch.repository import decision
from saltbranch.repository.decision import Choices
from saltbranch.repository.direct_pushes import Finder, Watched
from saltbranch.repository.prepared import Served, ServedSaltenv


@dataclass(frozen=True, slots=True)
class Begins:
    """With what the branches begin of which the journal does not say up to where they were promoted.

    kept: branch to what it began with here before. served: branch to the commit that this machine serves of it;
    by_branch: those that it serves because the branch says so. is_new: nothing is kept here; otherwise a branch that
    is not in `kept` has just come into the chain of promotions, and what was pushed to it before is nobody's business.
    """

    kept: Mapping[str, Tip] = field(default_factory=dict)
    served: Mapping[str, str] = field(default_factory=dict)
    by_branch: Collection[str] = ()
    is_new: bool = True


@dataclass(slots=True)
class Lacking:
    """events: those that the journal lacks, the oldest first. begins: to be kept for the next time.

    unknown: branches that are seen here for the first time, and of which nobody says up to where they were promoted.
    """

    events: list[Event] = field(default_factory=list)
    begins: dict[str, Tip] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)


class Look:
    """``Look(git, heads, unread, begins, now).judge(state, saltenvs, read)``.

    heads: branch to commit, of the remote. unread: full refs that could not be read. now: seconds since 1970.
    """

    def __init__(
        self,
        git: Git,
        heads: Mapping[str, str],
        unread: Collection[str],
        begins: Begins,
        now: float,
    ) -> None:
        self.git = git
        self.heads = heads
        self.unread = unread
        self.begins = begins
        self.now = now

    def judge(
        self,
        state: State,
        saltenvs: Sequence[Watched],
        read: Callable[[], Sequence[Event]],
        *,
        believed: bool = True,
    ) -> Lacking:
        """Compare the branches of `saltenvs` with `state`, which follows from the journal, and bring that on.

        read: the whole journal. believed: whether what is missing there may be said to be missing; otherwise `state`
        gets the tips alone. Raises GitError.
        """
        found = Lacking()
        for saltenv in saltenvs:
            branch, head = saltenv.branch, self.heads.get(saltenv.branch)
            if head is None or f"refs/heads/{branch}" in self.unread:
                if kept := self.begins.kept.get(branch):
                    found.begins[branch] = kept
                continue
            tip = state.tips.get(branch)
            if tip is None or not tip.head:
                tip = state.tips[branch] = self._begin(saltenv, tip, head, state, found)
            seen = [self.begins.served[branch]] if branch in self.begins.served else []
            finder = Finder(self.git, read, self.now, seen=seen)
            after, told = finder.look(saltenv, tip, head)
            if believed:
                journal_state.replay(told, state)
                found.events += told
            state.tips[branch] = after
            if branch in found.begins and not told:
                found.begins[branch] = after
        return found

    def _begin(
        self, saltenv: Watched, tip: Tip | None, head: str, state: State, found: Lacking
    ) -> Tip:
        """What a branch begins with of which the journal does not say where it is.

        What it began with here before; else what this machine serves; else what a master told that it serves by the
        branch; else its head.
        """
        event = tip.event if tip else ""
        kept = self.begins.kept.get(saltenv.branch)
        if kept is None or kept.event != event:
            commit = None if tip else self._told(saltenv, head, state)
            kept = Tip(commit or head, commit or head, event)
            if commit is None:
                found.unknown.add(saltenv.branch)
        found.begins[saltenv.branch] = kept
        return kept

    def _told(self, saltenv: Watched, head: str, state: State) -> str | None:
        if not self.begins.is_new:
            return None
        served = self.begins.served.get(saltenv.branch, "")
        if saltenv.branch in self.begins.by_branch and self.git.commit_or_none(served):
            return served
        for row in reversed(state.residences):
            if (row.saltenv, row.why) == (saltenv.name, "branch"):
                known = self.git.commit_or_none(row.commit)
                return known if known and self.git.is_ancestor(known, head) else None
        return None


def loads(text: str) -> dict[str, Tip]:
    """What `dumps` gave; nothing where it is torn."""
    try:
        return {branch: tip_from_list(data) for branch, data in json.loads(text).items()}
    except (ValueError, AttributeError, RecursionError):
        return {}


def dumps(known: Mapping[str, Tip]) -> str:
    """Tips by branch as text on one line."""
    return json.dumps({branch: tip.as_list() for branch, tip in known.items()})


def path(git: Git) -> str:
    """The file of a clone that remembers with what the branches began."""
    return f"{git.directory}/saltbranch-begins"


def load(git: Git) -> dict[str, Tip]:
    """What a clone remembers."""
    try:
        data = files.read_or_none(path(git)) or b""
    except OSError:
        return {}
    return loads(data.decode("utf-8", "surrogateescape"))


def save(git: Git, begins: Mapping[str, Tip]) -> None:
    """Remember it; where that cannot be done the next look begins anew."""
    try:
        if begins:
            files.write_atomic(path(git), dumps(begins), durable=False)
        else:
            files.unlink(path(git))
    except OSError:
        pass


def begins_of(
    saltenvs: Sequence[ServedSaltenv], served: Mapping[str, Served], last: Choices | None
) -> Begins:
    """With what the branches begin on this machine. served: by folder name. last: what was chosen before."""
    records = {s.branch: record for s in saltenvs if (record := served.get(s.dirname))}
    commits = {branch: record.commit for branch, record in records.items()}
    by_branch = [b for b, record in records.items() if record.why == decision.BY_BRANCH]
    kept = loads(last.bases) if last else {}
    return Begins(kept, commits, by_branch, is_new=last is None)
