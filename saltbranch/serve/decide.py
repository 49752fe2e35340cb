"""Find out what each saltenv is to serve: from the journal's holds, the tags, the branches, in this order.

Loaded by a sync only when something of that changed. Whatever cannot be believed (a rewritten
journal, a moved or deleted tag) leaves in force what was believed before. A branch that is promoted to counts
as far as it was promoted, where pushes by hand are refused (repository/direct_pushes.py).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from saltbranch.base.errors import GitError
from saltbranch.base.text import one_line
from saltbranch.git.mirror import JOURNAL_REF, Mirror, Refs
from saltbranch.git.program import Git
from saltbranch.journal import (
    accepted as journal_accepted,
)
from saltbranch.journal import (
    events,
    pending_holds,
    tips,
)
from saltbranch.journal import (
    facts as journal_facts,
)
from saltbranch.journal import (
    state as journal_state,
)
from saltbranch.journal import (
    store as journal,
)
from saltbranch.journal.events import Event
from saltbranch.journal.facts import Hold
from saltbranch.journal.state import State
from saltbranch.journal.tips import Push
from saltbranch.repository import decision, direct_pushes, served_commit, unrecorded
from saltbranch.repository.decision import FAILED, HELD_BACK, KEPT, NEW, Choice, Choices
from saltbranch.repository.direct_pushes import Watched
from saltbranch.repository.prepared import Served, ServedSaltenv
from saltbranch.repository.tags import tags_on
from saltbranch.repository.unrecorded import Lacking
from saltbranch.serve import followed_tags


@dataclass(frozen=True, slots=True)
class Facts:
    """What one choosing works on.

    refs: of the mirror. served: what was recorded, by folder name. now: seconds since 1970. production: the branch
    that the model stands on, where it has one. unread: full refs of the remote that could not be read. last: what was
    found before, whatever it followed from. labs, lab_rules: as in `Prepared`.
    """

    root: str
    mirror: Mirror
    refs: Refs
    saltenvs: Sequence[ServedSaltenv]
    served: Mapping[str, Served]
    now: float
    production: str | None = None
    unread: Collection[str] = ()
    last: Choices | None = None
    labs: str = ""
    lab_rules: str = ""

    @property
    def git(self) -> Git:
        """The mirror's git."""
        return self.mirror.git

    def is_unread(self, saltenv: ServedSaltenv) -> bool:
        """Whether the branch could not be read: nothing is said of what it was before."""
        return f"refs/heads/{saltenv.branch}" in self.unread

    def record(self, saltenv: ServedSaltenv) -> Served | None:
        """What was recorded of it."""
        return self.served.get(saltenv.dirname)


def choose(facts: Facts) -> Choices:
    """What each saltenv is to serve. Nothing is kept of it. Raises GitError, SaltbranchError."""
    root, git, refs = facts.root, facts.git, facts.refs
    found = Choices()
    last = facts.last
    before = last or Choices()
    head, found.problem = journal_accepted.believed_by_sync(root, git, refs, before.journal)
    state = _holds(root, git, head, before, found)
    lacking = _lacking(facts, head, state, last, found)
    found.bases = unrecorded.dumps(lacking.begins)
    if _is_sure(facts, found):
        known = {event.id for event in pushes_of(before)}
        told = lacking.events
        found.unrecorded = json.dumps([event.as_dict() for event in told]) if told else ""
        found.news = [_news_of(event) for event in told if event.id not in known]
    _choose_each(facts, state, before, found)
    if facts.labs:
        from saltbranch.serve import lab_choices

        lab_choices.choose(facts, state.labs.values(), before, found)
    return found


def _choose_each(facts: Facts, state: State, last: Choices, found: Choices) -> None:
    git = facts.git
    for saltenv in facts.saltenvs:
        name, accepted = saltenv.name, last.accepted.get(saltenv.name)
        hold = state.hold(name, facts.now)
        lost = facts.is_unread(saltenv)
        if accepted and (hold or lost):
            found.accepted[name] = accepted
        if lost and not hold:
            if (record := facts.record(saltenv)) is not None:
                found.by_saltenv[name] = _as_served(record, accepted)
            continue
        upto = None if hold else _upto(facts, saltenv, state)
        head = upto or facts.refs.branches.get(saltenv.branch)
        tags = None
        if saltenv.follow and head and not hold:
            tags = tags_on(git, head, "refs/tags/")
        wanted = served_commit.wanted(head, saltenv.follow, tags or {}, hold)
        if wanted.hold:
            found.by_saltenv[name] = _held(git, wanted.hold)
            ends = [t for t in (found.until, wanted.hold.until) if t is not None]
            found.until = min(ends, default=None)
        elif saltenv.follow:
            record = facts.record(saltenv)
            known = accepted if record and accepted and record.commit == accepted[1] else None
            found.by_saltenv[name] = followed_tags.choose(
                git, wanted, saltenv, known=known, tags=tags, found=found
            )
        elif upto:
            found.by_saltenv[name] = Choice(decision.BY_BRANCH, upto)
        if upto:
            push = _open_push(git, saltenv, state, found)
            _hold_back(found.by_saltenv[name], saltenv, push)


def _as_served(record: Served, accepted: tuple[str, str] | None) -> Choice:
    """The choice where nobody knows what the branch holds now."""
    if accepted and accepted[1] == record.commit:
        return Choice(decision.BY_TAG, record.commit, tag=accepted[0])
    return Choice(decision.BY_BRANCH, record.commit)


def _lacking(
    facts: Facts, head: str, state: State, last: Choices | None, found: Choices
) -> Lacking:
    """What the journal should tell of the branches and does not; `state` gets what follows from it."""
    git, refs = facts.git, facts.refs
    saltenvs = [Watched(s.name, s.branch, s.pushes) for s in facts.saltenvs if s.pushes]
    production = facts.production
    begins = unrecorded.begins_of(facts.saltenvs, facts.served, last)
    tip = state.tips.get(production or "") or begins.kept.get(production or "")
    if tip and tip.promoted != refs.branches.get(production or ""):
        from saltbranch.repository import (
            push_rules,  # reads the model, which only a push by hand may have changed
        )

        mine = {s.branch for s in facts.saltenvs}
        judged = push_rules.judged(
            git, saltenvs, production, tip, refs.branches.get(production or "")
        )
        found.loosened = len(judged) > len(saltenvs)
        saltenvs = [s for s in judged if s.branch in mine]
    look = unrecorded.Look(git, refs.branches, facts.unread, begins, facts.now)
    return look.judge(
        state, saltenvs, lambda: journal.read(git, head or None), believed=_is_sure(facts, found)
    )


def _is_sure(facts: Facts, found: Choices) -> bool:
    """Whether the journal is known and believed, so that something may be said to be missing there."""
    return JOURNAL_REF not in facts.unread and not found.problem


def _news_of(event: Event) -> str:
    push = tips.push_of(event)
    return one_line(f"{push.saltenv}: {push.told()}") if push else ""


def pushes_of(found: Choices) -> list[Event]:
    """The events that the journal lacked."""
    try:
        parsed = [events.from_dict(item) for item in json.loads(found.unrecorded or "[]")]
    except (ValueError, TypeError, RecursionError):
        return []
    return [event for event in parsed if event]


def _upto(facts: Facts, saltenv: ServedSaltenv, state: State) -> str | None:
    """The commit up to which the branch of `saltenv` counts; None for all of it."""
    head, record = facts.refs.branches.get(saltenv.branch), facts.record(saltenv)
    tip = state.tips.get(saltenv.branch)
    if head is None or tip is None or not (saltenv.pushes or tip.is_refused):
        return None
    # What a hold chose is not what was let through.
    seen = record.commit if record and record.why != decision.BY_HOLD else None
    upto = direct_pushes.served_head(facts.git, tip, head, seen, policy=saltenv.pushes)
    return None if upto == head else upto


def _open_push(git: Git, saltenv: ServedSaltenv, state: State, found: Choices) -> Push | None:
    """All that was pushed by hand since the last promotion; of the journal only the ids are kept."""
    tip = state.tips.get(saltenv.branch)
    if not tip or any(name not in state.pushes for name in tip.pushes):
        from saltbranch.journal import (
            cache as journal_cache,  # not for a sync in which nothing is refused
        )

        told = journal_cache.state(git, found.journal or None, write=False)
        state.pushes = {**told.pushes, **state.pushes}
    return state.open_push(saltenv.branch)


def _hold_back(choice: Choice, saltenv: ServedSaltenv, push: Push | None) -> None:
    """Say in `choice` that the head of the branch is refused, where nothing worse is said."""
    if choice.level not in (decision.FINE, NEW, KEPT):
        return
    what = push.told() if push else f"branch {saltenv.branch!r} was pushed to by hand"
    choice.level = HELD_BACK
    name = saltenv.name
    choice.message = one_line(
        f"{what}; refused by direct_pushes (saltbranch accept {name} --reason TEXT, or promote to {name})"
    )


def open_pushes(facts: Facts, found: Choices) -> dict[str, Push]:
    """Saltenv to what was pushed to its branch by hand since the last promotion. Raises GitError, SaltbranchError."""
    state = journal_accepted.state_of(facts.root, facts.git, facts.refs)
    state.tips |= {b: t for b, t in unrecorded.loads(found.bases).items() if b not in state.tips}
    journal_state.replay(pushes_of(found), state)
    return {s.name: push for s in facts.saltenvs if (push := state.open_push(s.branch))}


def _holds(root: str, git: Git, head: str, last: Choices, found: Choices) -> State:
    """The holds; those of the journal alone are kept in `found`, so that it need not be read whole each time."""
    start, since = _start(git, head, last)
    told = journal.read(git, head or None, since=since) if since != head else []
    state = journal_state.replay(told, start)
    found.journal = head
    found.holds = json.dumps(
        [
            h.as_dict() | {"below": h.below}
            for h in (*state.holds.values(), *state.held_all.values())
        ]
    )
    found.tips = unrecorded.dumps(state.tips)
    if state.labs:
        found.claims = json.dumps([claim.as_dict() for claim in state.labs.values()])
    pending = pending_holds.load(root)
    if pending:
        told = journal.read(git, head) if head and git.commit_or_none(head) else []
        state = journal_state.replay(journal_accepted.not_told(pending, told), state)
    return state


def _start(git: Git, head: str, last: Choices) -> tuple[State | None, str | None]:
    """What followed from the journal up to a commit of it, so that only what came after has to be read."""
    try:
        if not last.journal or not (last.journal == head or git.is_ancestor(last.journal, head)):
            return None, None
        kept = [journal_facts.hold_from_dict(item) for item in json.loads(last.holds)]
        known = {b: tips.tip_from_list(data) for b, data in json.loads(last.tips).items()}
        claims = [journal_facts.claim_from_dict(item) for item in json.loads(last.claims)]
    except (GitError, ValueError, AttributeError, TypeError):
        return None, None
    holds = {hold.saltenv: hold for hold in kept if not hold.all}
    held_all = {hold.saltenv: hold for hold in kept if hold.all}
    labs = {c.number: c for c in claims}
    return State(holds=holds, held_all=held_all, tips=known, labs=labs), last.journal


def _held(git: Git, hold: Hold) -> Choice:
    reason = one_line(hold.reason) or "no reason was given"
    if git.commit_or_none(hold.commit):
        return Choice(decision.BY_HOLD, hold.commit, held=reason)
    message = (
        f"it is held at {hold.commit[:12]} ({reason}), which is in no branch and not in the journal"
    )
    return Choice(decision.BY_HOLD, hold.commit, held=reason, level=FAILED, message=message)
