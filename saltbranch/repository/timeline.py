"""What the verbs that look back begin with: all promotions, the histories of the branches, what a word stands for."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace

from saltbranch.base import tickets
from saltbranch.base.errors import RefusedError, UsageError
from saltbranch.config.model import Saltenv
from saltbranch.config.roots import STATES
from saltbranch.history import commits, trailers
from saltbranch.history.graph import Graph, Line
from saltbranch.history.presence import COMMIT, PATH, TICKET
from saltbranch.history.reverts import Fate, Links
from saltbranch.history.trailers import Told
from saltbranch.journal import events
from saltbranch.journal.events import Event
from saltbranch.journal.facts import Hold, Promotion
from saltbranch.repository import composition, revision
from saltbranch.repository.revision import Meaning
from saltbranch.repository.served_commit import Wanted
from saltbranch.repository.workplace import Workplace


class Past:
    """The histories of all saltenvs' branches, and of the commits `more`."""

    def __init__(self, work: Workplace, more: Iterable[str] = ()) -> None:
        self.work = work
        self.heads = trailers.persistent_heads(work.config, work.refs.heads)
        self.starts = list(dict.fromkeys([*self.heads, *more]))
        self.graph = commits.read_graph(work.git, self.starts) if self.starts else Graph(())
        self.told = trailers.read(work.git, self.heads) if self.heads else []
        self._links: Links | None = None
        self._promotions: list[Promotion] | None = None
        self._ranks: dict[str, int] = {}
        self._wanted: dict[str, Wanted] = {}

    @property
    def links(self) -> Links:
        """What the messages in these histories say of cherry-picks and reverts."""
        if self._links is None:
            self._links = commits.read_links(self.work.git, self.graph, self.starts)
        return self._links

    def line(self, saltenv: Saltenv) -> Line | None:
        """The history of the saltenv's branch; None where the remote has no such branch."""
        head = self.work.refs.heads.get(saltenv.branch)
        if head is None:
            return None
        found = trailers.detours(self.told, self.graph, self.work.config, saltenv)
        return self.graph.line(head, found)

    def promotions(self) -> list[Promotion]:
        """All, of the journal and of trailers, the oldest first."""
        if self._promotions is None:
            told = trailers.all_promotions(
                self.told, self.graph, self.work.config, self.work.refs.heads
            )
            self._promotions = trailers.merge(
                self.work.state.promotions, told, self.graph.number, self.work.now
            )
        return self._promotions

    def rank(self, id_: str) -> int:
        """The place of a promotion among all, the oldest first."""
        if not self._ranks:
            self._ranks = {p.id: n for n, p in enumerate(self.promotions())}
        return self._ranks[id_]

    def wanted(self, saltenv: Saltenv) -> Wanted:
        """What `saltenv` is to serve."""
        if saltenv.name not in self._wanted:
            self._wanted[saltenv.name] = self.work.wanted(saltenv)
        return self._wanted[saltenv.name]

    def through(self, saltenv: Saltenv, commit: str) -> Promotion | None:
        """The first promotion, along the branch, that brought `commit`."""
        line = self.line(saltenv)
        if line is None:
            return None
        mine = [p for p in self.promotions() if p.saltenv == saltenv.name and p.new in line]
        for promotion in sorted(mine, key=lambda p: line.position(p.new)):
            if line.has(promotion.new, commit) and not line.has(promotion.old, commit):
                return promotion
        return None

    def fate(self, family: Iterable[str]) -> Fate:
        """What became of the change that `family` are the commits of."""
        return Fate(self.graph, self.links, frozenset(family))


def promotions(work: Workplace) -> list[Promotion]:
    """All promotions, each once; the histories are read only where trailers tell of one that the journal lacks."""
    heads = trailers.persistent_heads(work.config, work.refs.heads)
    told: list[Told] = trailers.read(work.git, heads) if heads else []
    known = work.state.made.keys() >= {t.id for t in told}
    return work.state.promotions if known else Past(work).promotions()


def unrecorded(work: Workplace) -> list[Event]:
    """Events that the journal lacks: pushes by hand, and promotions that only merge commits tell of.

    The latter are all where there is no journal, else pull requests. A rollback's hold ends with the promotion that
    came after it, by whatever road it came.
    """
    found = [e for e in work.state.events if e.kind == events.PUSH and not e.commit]
    for promotion in _promotions_by_trailers(work):
        found.insert(_place(work, promotion, found), promotion)
    return found


def _place(work: Workplace, promotion: Event, found: list[Event]) -> int:
    """Where a promotion stands among pushes by hand: before what came on top of it."""
    new, branch = promotion.commit_of("new"), promotion.text("branch")
    for number, event in enumerate(found):
        if event.kind != events.PUSH:
            continue  # those of trailers have their order
        old = event.commit_of("old") if event.text("branch") == branch else None
        if new and old and work.git.commit_or_none(old) and work.git.is_ancestor(new, old):
            return number
    return len(found)


def _promotions_by_trailers(work: Workplace) -> list[Event]:
    heads = trailers.persistent_heads(work.config, work.refs.heads)
    known = [p.new for p in work.state.made.values()]
    told = trailers.read(work.git, [*heads, *(f"^{c}" for c in known)]) if heads else []
    if work.state.made.keys() >= {t.id for t in told}:
        return []
    return [_lifting(work, e) for e in trailers.as_events(_only_told(work))]


def _only_told(work: Workplace) -> list[Promotion]:
    return [p for p in Past(work).promotions() if p.via == trailers.VIA]


def _lifting(work: Workplace, event: Event) -> Event:
    hold = work.state.holds.get(event.text("saltenv"))
    lifts = hold is not None and hold.kind == events.ROLLBACK and _is_after(work, event, hold)
    return replace(event, details={**event.details, "lifts_hold": True}) if lifts else event


def _is_after(work: Workplace, event: Event, hold: Hold) -> bool:
    """Whether a promotion came after a hold: what was served then lacks it. Clocks decide where that is not known."""
    new, served = event.commit_of("new"), hold.from_commit
    if new and served and work.git.commit_or_none(served):
        return not work.git.is_ancestor(new, served)
    return hold.since < event.time


@dataclass(frozen=True, slots=True)
class Reading:
    """One thing that a word may stand for. value: hash, ticket or path. said: for people, `tag v1.2.0`."""

    kind: str
    value: str
    said: str


class _Names:
    """The names that the remote has, and the journal."""

    def __init__(self, work: Workplace) -> None:
        self.work = work
        self.git = work.git
        self.remote = work.repo.remote
        self.tags = work.refs.tag_commits()

    def saltenv(self, name: str) -> str | None:
        branches = (s.branch for s in self.work.config.saltenvs if s.name == name)
        return next((self.work.refs.heads.get(branch) for branch in branches), None)

    def branch(self, name: str, *, fetched: bool = False) -> str | None:  # noqa: ARG002
        return self.work.refs.heads.get(name)

    def tag(self, name: str) -> str | None:
        return self.tags.get(name)

    def promotions(self, beginning: str) -> list[Promotion]:
        made = self.work.state.made
        if beginning in made:
            return [made[beginning]]
        if not revision.is_beginning(beginning) and not trailers.is_id(beginning):
            return []
        found = [p for p in promotions(self.work) if p.id.startswith(beginning)]
        return [p for p in found if p.id == beginning] or found

    def head(self) -> str | None:
        clone = self.work.place.clone
        return clone.reading.commit_or_none("HEAD") if clone else None


def commit_of(work: Workplace, word: str, *, option: str = "") -> Meaning:
    """The commit that `word` names (repository/revision.py) by what the remote has. Raises UsageError.

    option: how messages introduce it, `--at`.
    """
    return revision.find(_Names(work), word, option=option)


def read_word(work: Workplace, word: str, *, only: str | None = None) -> Reading:
    """What `word` stands for. only: commit, ticket or path. Raises UsageError where it is nothing, or several."""
    found = [r for r in readings(work, word) if only in (None, r.kind)]
    values = {(r.kind, r.value) for r in found}
    if len(values) == 1:
        return found[0]
    if not found:
        what = {COMMIT: revision.WAYS, TICKET: "a ticket", PATH: "a path"}
        wanted = what[only] if only else f"{what[COMMIT]}, and not {what[TICKET]} or {what[PATH]}"
        hint = "saltbranch history lists promotions; a hash needs 4 digits or more"
        if only != COMMIT:
            hint = "paths are those of the repository, as its branches have them now"
        raise UsageError(f"{word!r} is not {wanted} known here", hint=hint)
    said = "; ".join(r.said for r in found)
    kinds = [f"--{k}" for k in (COMMIT, TICKET, PATH) if k in {r.kind for r in found}]
    hint = " or ".join(kinds) if len(kinds) > 1 else "write tags/NAME, heads/NAME or the full hash"
    raise UsageError(f"{word!r} can be several things: {said}", hint=f"choose: {hint}")


def readings(work: Workplace, word: str) -> list[Reading]:
    """Everything that `word` may stand for."""
    named = revision.meanings(_Names(work), word)
    found = [Reading(COMMIT, meaning.commit, meaning.said) for meaning in named]
    if tickets.find(word, work.pattern) == (word.upper(),):
        found.append(Reading(TICKET, word.upper(), f"the ticket {word.upper()}"))
    path = _path(work, word)
    if path:
        found.append(Reading(PATH, path, f"the path {path}"))
    return found


def _path(work: Workplace, word: str) -> str | None:
    """`word` as a path inside the repository; None where no saltenv's branch has it now."""
    heads = trailers.persistent_heads(work.config, work.refs.heads)
    for path in _spellings(work, word):
        if any(commits.object_at(work.git, head, path) for head in heads):
            return path
    return None


def _of_roots(work: Workplace, name: str) -> list[str]:
    """Where the states file `name` may be; a glob is looked up in the heads of the branches."""
    roots = work.config.roots
    found = roots.paths_of(STATES, name)
    if not any(root.is_glob for root in roots.states):
        return found
    for head in trailers.persistent_heads(work.config, work.refs.heads):
        listed = work.git.out("ls-tree", "-r", "-z", "--name-only", "--full-tree", head).split("\0")
        try:
            path = composition.names(roots, STATES, composition.InCommit(filter(None, listed))).get(
                name
            )
        except RefusedError:
            continue  # that head cannot be served
        found += [path] if path else []
    return found


def _spellings(work: Workplace, word: str) -> list[str]:
    """From the root of the repository, as Salt writes it, and from the folder one stands in."""
    found = [word]
    if word.startswith("salt://"):
        found += _of_roots(work, word[7:])
    if clone := work.repo.clone:
        found.append(os.path.relpath(os.path.join(os.getcwd(), word), clone))
    inside = (os.path.normpath(w) for w in found if w and "\0" not in w)
    return list(dict.fromkeys(p for p in inside if not p.startswith(("/", "..")) and p != "."))
