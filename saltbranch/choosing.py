"""Find out what each saltenv is to serve: from the journal's holds, the tags, the branches, in this order.

Loaded by a sync only when something of that changed. Whatever cannot be believed (a rewritten
journal, a moved or deleted tag) leaves in force what was believed before. A branch that is promoted to counts
as far as it was promoted, where pushes by hand are refused (repository/pushes.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence

from saltbranch import choices, events, journal, pendingholds, serving, versions
from saltbranch.choices import FAILED, HELD_BACK, KEPT, MISSING, NEW, REFUSED, Choice, Choices
from saltbranch.errors import GitError
from saltbranch.events import Event, Hold, State
from saltbranch.git import Git, quoted
from saltbranch.history import printable
from saltbranch.journal import NoJournalError
from saltbranch.mirror import KEPT_REF, Mirror, Refs
from saltbranch.prepared import Served, ServedSaltenv
from saltbranch.repository import pushes, tips
from saltbranch.repository.pushes import Finder, Watched
from saltbranch.repository.tips import Push, Tip

_LONGEST = 1000  # characters of a reason or a name, written by strangers


def choose(
    root: str,
    mirror: Mirror,
    refs: Refs,
    saltenvs: Sequence[ServedSaltenv],
    served: Mapping[str, Served],
    *,
    now: float,
    write: bool,
    journal_read: bool = True,
    confirm: Callable[[], Refs] | None = None,
) -> Choices:
    """What each of `saltenvs` is to serve at `now` (seconds since 1970).

    served: what was recorded, by folder name. write: accept the fetched journal and keep the result for the syncs
    that follow. journal_read: the journal of the remote could be read. confirm: reads the remote once more; asked
    before a branch is said to have moved by hand, since a fetch does not see branch and journal at one moment.
    Raises GitError, SaltbranchError.
    """
    git = mirror.git
    found = Choices()
    last = choices.load(root, None, now) or Choices()
    head, found.problem = _accept_journal(root, git, refs, last.journal, write=write)
    state = _holds(root, git, head, last, found)
    sure = journal_read and not found.problem
    lacking = _lacking(git, head, refs, saltenvs, served, state, last, found, now)
    if sure and found.news and confirm is not None:
        seen = confirm()
        again = choices.sources(root, seen, saltenvs)
        if again != choices.sources(root, refs, saltenvs):
            return choose(
                root,
                mirror,
                seen,
                saltenvs,
                served,
                now=now,
                write=write,
                journal_read=journal_read,
            )
    if sure:
        found.unrecorded = json.dumps([event.as_dict() for event in lacking]) if lacking else ""
        events.replay(lacking, state)
    else:
        found.news = []
    _choose_each(git, refs, saltenvs, served, state, last, found, now)
    if write:
        expected = choices.sources(root, refs, saltenvs, journal_read=journal_read)
        choices.save(root, found, expected)
    return found


def _choose_each(
    git: Git,
    refs: Refs,
    saltenvs: Sequence[ServedSaltenv],
    served: Mapping[str, Served],
    state: State,
    last: Choices,
    found: Choices,
    now: float,
) -> None:
    for saltenv in saltenvs:
        hold = state.hold(saltenv.name, now)
        upto = None if hold else _upto(git, refs, saltenv, state, served)
        if hold:
            found.by_saltenv[saltenv.name] = _held(git, hold)
            ends = [t for t in (found.until, hold.until) if t is not None]
            found.until = min(ends, default=None)
        elif saltenv.follow:
            record = served.get(saltenv.dirname)
            accepted = last.accepted.get(saltenv.name)
            known = accepted if record and accepted and record.commit == accepted[1] else None
            found.by_saltenv[saltenv.name] = _followed(git, refs, saltenv, known, found, upto)
        elif upto:
            found.by_saltenv[saltenv.name] = Choice(choices.BY_BRANCH, upto)
        if upto:
            push = state.open_push(saltenv.branch) or _open_push(git, saltenv, found)
            _hold_back(found.by_saltenv[saltenv.name], saltenv, push)
        if hold and saltenv.name in last.accepted:
            found.accepted[saltenv.name] = last.accepted[saltenv.name]


def _lacking(
    git: Git,
    head: str,
    refs: Refs,
    saltenvs: Sequence[ServedSaltenv],
    served: Mapping[str, Served],
    state: State,
    last: Choices,
    found: Choices,
    now: float,
) -> list[Event]:
    """What the journal should tell of the branches and does not; `state` gets the tips that follow from it.

    Where the journal knows nothing of a branch, what was served when it was first looked at is the beginning.
    """
    known = {event.id for event in pushes_of(last)}
    bases = _tips(last.bases)
    lacking = []
    for saltenv in saltenvs:
        branch, new = saltenv.branch, refs.branches.get(saltenv.branch)
        if not saltenv.pushes or new is None:
            continue
        # The very push that is judged may loosen the rule.
        policy = pushes.stricter(saltenv.pushes, last.policies.get(saltenv.name, ""))
        record = served.get(saltenv.dirname)
        tip = state.tips.get(branch)
        is_base = tip is None or not tip.head
        if tip is None or not tip.head:
            tip = _base(git, bases.get(branch), tip, record, new)
        seen = [record.commit] if record else []
        finder = Finder(git, lambda: journal.read(git, head or None), now, seen=seen)
        after, event = finder.look(Watched(saltenv.name, branch, policy), tip, new)
        state.tips[branch] = after
        found.policies[saltenv.name] = policy if event and after.is_refused else saltenv.pushes
        if event:
            lacking.append(event)
            if event.id not in known:
                found.news.append(_news_of(event))
        if is_base:
            bases[branch] = tip if event else after
    found.bases = _dumped({s.branch: bases[s.branch] for s in saltenvs if s.branch in bases})
    return lacking


def _base(git: Git, last: Tip | None, tip: Tip | None, record: Served | None, head: str) -> Tip:
    """What a branch begins with of which the journal does not say where it is. last: with what it began before."""
    event = tip.event if tip else ""
    if last and last.event == event:
        return last
    if tip:
        return Tip(head, head, event)
    by_branch = record is not None and record.why == choices.BY_BRANCH
    if record and by_branch and git.commit_or_none(record.commit):
        return Tip(record.commit, record.commit)
    return Tip(head, head)


def _news_of(event: Event) -> str:
    push = tips.push_of(event)
    return _clean(f"{push.saltenv}: {push.told()}") if push else ""


def pushes_of(found: Choices) -> list[Event]:
    """The events that the journal lacked."""
    try:
        parsed = [events.from_dict(item) for item in json.loads(found.unrecorded or "[]")]
    except (ValueError, TypeError, RecursionError):
        return []
    return [event for event in parsed if event]


def _tips(text: str) -> dict[str, Tip]:
    try:
        return {branch: tips.tip_from_list(data) for branch, data in json.loads(text).items()}
    except (ValueError, AttributeError, RecursionError):
        return {}


def _dumped(known: Mapping[str, Tip]) -> str:
    return json.dumps({branch: tip.as_list() for branch, tip in known.items()})


def _upto(
    git: Git,
    refs: Refs,
    saltenv: ServedSaltenv,
    state: State,
    served: Mapping[str, Served],
) -> str | None:
    """The commit up to which the branch of `saltenv` counts; None for all of it."""
    head, record = refs.branches.get(saltenv.branch), served.get(saltenv.dirname)
    if head is None or not saltenv.pushes:
        return None
    tip = state.tips.get(saltenv.branch)
    # What a hold chose is not what was let through.
    seen = record.commit if record and record.why != choices.BY_HOLD else None
    upto = pushes.served_head(git, tip, head, seen)
    return None if upto == head else upto


def _open_push(git: Git, saltenv: ServedSaltenv, found: Choices) -> Push | None:
    """The push as the journal tells of it, of which only the commits are kept."""
    from saltbranch import journalcache  # not for a sync in which nothing is refused

    state = journalcache.state(git, found.journal or None, write=False)
    return state.open_push(saltenv.branch)


def _hold_back(choice: Choice, saltenv: ServedSaltenv, push: Push | None) -> None:
    """Say in `choice` that the head of the branch is refused, where nothing worse is said."""
    if choice.level not in (choices.FINE, NEW, KEPT):
        return
    what = push.told() if push else f"branch {saltenv.branch!r} was pushed to by hand"
    choice.level = HELD_BACK
    name = saltenv.name
    choice.message = _clean(
        f"{what}; refused by direct_pushes (saltbranch accept {name} --reason TEXT, or promote to {name})"
    )


def open_pushes(
    root: str, git: Git, refs: Refs, saltenvs: Sequence[ServedSaltenv], found: Choices
) -> dict[str, Push]:
    """Saltenv to what was pushed to its branch by hand since the last promotion. Raises GitError, SaltbranchError."""
    state = events.replay(pushes_of(found), state_of(root, git, refs))
    judged = [s for s in saltenvs if s.pushes]
    return {s.name: push for s in judged if (push := state.open_push(s.branch))}


def was_held(root: str, git: Git, saltenv: str, commit: str) -> bool:
    """Whether the journal, or a pending hold, ever held `saltenv` at `commit`. Raises GitError."""
    told = journal.read(git, git.commit_or_none(KEPT_REF)) + pendingholds.load(root)
    return any(
        event.text("saltenv") == saltenv
        and commit
        in (
            event.commit_of("hold_moves_to"),
            event.commit_of("commit") if event.kind in (events.HOLD, events.ROLLBACK) else None,
        )
        for event in told
    )


def state_of(root: str, git: Git, refs: Refs) -> State:
    """All that follows from the accepted journal and the pending holds. Raises GitError, SaltbranchError."""
    head, _ = _accept_journal(root, git, refs, "", write=False)
    from saltbranch import journalcache  # not for a sync, which reads on from what it kept itself

    state = journalcache.state(git, head or None)
    pending = pendingholds.load(root)
    return events.replay(_news(pending, state.events), state) if pending else state


def _accept_journal(root: str, git: Git, refs: Refs, last: str, *, write: bool) -> tuple[str, str]:
    """The head of the journal to believe, and what is wrong with the fetched one.

    last: the head that was believed before, for a mirror that was rebuilt since.
    """
    kept = refs.kept or last
    if kept != refs.journal or refs.in_the_way:
        try:
            journal.check_chain(git, kept or None, refs.journal or None, refs.in_the_way)
        except GitError as err:
            files_of = quoted(choices.path(root)), quoted(git.directory)
            how = "rm {}; git --git-dir={} update-ref -d {}".format(*files_of, KEPT_REF)
            accept = (
                "" if isinstance(err, NoJournalError) else f"; to accept what the remote has: {how}"
            )
            holds = "; the holds that stood in the last good one stay in force" if kept else ""
            return kept, _clean(f"{err.message}{holds} ({err.hint}{accept})")
    if write and refs.kept != refs.journal:
        git.out("update-ref", KEPT_REF, refs.journal)
        refs.kept = refs.journal
    return refs.journal, ""


def _holds(root: str, git: Git, head: str, last: Choices, found: Choices) -> State:
    """The holds; those of the journal alone are kept in `found`, so that it need not be read whole each time."""
    start, since = _start(git, head, last)
    told = journal.read(git, head or None, since=since) if since != head else []
    state = events.replay(told, start)
    found.journal = head
    found.holds = json.dumps([hold.as_dict() for hold in state.holds.values()])
    found.tips = _dumped(state.tips)
    pending = pendingholds.load(root)
    if pending:
        told = journal.read(git, head) if head and git.commit_or_none(head) else []
        state = events.replay(_news(pending, told), state)
    return state


def _start(git: Git, head: str, last: Choices) -> tuple[State | None, str | None]:
    """What followed from the journal up to a commit of it, so that only what came after has to be read."""
    try:
        if not last.journal or not (last.journal == head or git.is_ancestor(last.journal, head)):
            return None, None
        kept = [events.hold_from_dict(item) for item in json.loads(last.holds)]
        known = {b: tips.tip_from_list(data) for b, data in json.loads(last.tips).items()}
    except (GitError, ValueError, AttributeError, TypeError):
        return None, None
    return State(holds={hold.saltenv: hold for hold in kept}, tips=known), last.journal


def _news(pending: Sequence[events.Event], told: Sequence[events.Event]) -> list[events.Event]:
    """Those of `pending` that the journal does not have."""
    known = {event.id for event in told}
    return [event for event in pending if event.id not in known]


def _held(git: Git, hold: Hold) -> Choice:
    reason = _clean(hold.reason) or "no reason was given"
    if git.commit_or_none(hold.commit):
        return Choice(choices.BY_HOLD, hold.commit, held=reason)
    message = (
        f"it is held at {hold.commit[:12]} ({reason}), which is in no branch and not in the journal"
    )
    return Choice(choices.BY_HOLD, hold.commit, held=reason, level=FAILED, message=message)


def _followed(
    git: Git,
    refs: Refs,
    saltenv: ServedSaltenv,
    known: tuple[str, str] | None,
    found: Choices,
    upto: str | None,
) -> Choice:
    """The choice for a saltenv that follows tags. known: the tag that it serves, and the tag's commit then.

    upto: the commit up to which the branch counts, None for all of it.
    """
    head = upto or refs.branches.get(saltenv.branch)
    if head is None:
        if known:
            found.accepted[saltenv.name] = known
        return Choice(choices.BY_NOTHING)
    tags = _tags_on(git, head)
    wanted = serving.wanted(head, saltenv.follow, tags, None)
    if known and (lost := _lost(git, saltenv, known, tags, wanted)):
        found.accepted[saltenv.name] = known
        return lost
    if wanted.commit is None:
        what = f"no tag on branch {saltenv.branch!r} matches {saltenv.follow}"
        return Choice(choices.BY_NOTHING, level=MISSING, message=_clean(what))
    commit = wanted.commit
    found.accepted[saltenv.name] = (wanted.tag, commit)
    moved = known and known[0] == wanted.tag and known[1] != commit
    message = f"tag {wanted.tag} was moved from {known[1][:12]}" if known and moved else ""
    return Choice(
        choices.BY_TAG, commit, tag=wanted.tag, level=NEW if moved else "", message=_clean(message)
    )


def _lost(
    git: Git,
    saltenv: ServedSaltenv,
    known: tuple[str, str],
    tags: Mapping[str, str],
    wanted: serving.Wanted,
) -> Choice | None:
    """The choice where the tag that is served is not where it was and nothing higher takes its place.

    None where all is well, or where the change is to be followed: the branch of an unprotected saltenv moved it.
    """
    tag, commit = known
    if tags.get(tag) == commit or not re.search(saltenv.follow or "", tag):
        return None
    if wanted.tag and wanted.tag != tag and versions.highest([tag, wanted.tag]) == wanted.tag:
        return None
    if wanted.tag == tag and not saltenv.protected:
        return None
    now_at = git.commit_or_none(f"refs/tags/{tag}")
    if now_at is None:
        what = f"tag {tag}, which {saltenv.name} serves, was deleted"
    elif now_at == commit:
        what = (
            f"tag {tag}, which {saltenv.name} serves, is not on branch {saltenv.branch!r} any more"
        )
    else:
        what = f"tag {tag}, which {saltenv.name} serves, was moved to {now_at[:12]}"
    if wanted.tag == tag:
        what += f", and {saltenv.name} is protected"
    hint = f"push it back (git push --force REMOTE {quoted(f'{commit}:refs/tags/{tag}')}), or push a higher version"
    if wanted.tag and wanted.tag != tag:
        hint += f"; to go back to {wanted.tag}: saltbranch hold {saltenv.name} --at {wanted.tag}"
    level = REFUSED if saltenv.protected else KEPT
    at = now_at if now_at and level == REFUSED else commit
    message = _clean(f"{what} ({hint})")
    return Choice(choices.BY_TAG, at, tag=tag, level=level, message=message)


def _tags_on(git: Git, head: str) -> dict[str, str]:
    """The tags that `head` contains: name to commit."""
    form = "%(objectname) %(*objectname) %(*objecttype) %(refname:lstrip=2)"
    found = {}
    for line in git.out("for-each-ref", f"--format={form}", f"--merged={head}", "refs/tags").split(
        "\n"
    ):
        oid, _, rest = line.partition(" ")
        peeled, _, rest = rest.partition(" ")
        kind, _, name = rest.partition(" ")
        if kind == "tag":  # a tag of a tag
            peeled = git.commit_or_none(f"refs/tags/{name}") or oid
        if name:
            found[name] = peeled or oid
    return found


def _clean(text: str) -> str:
    """`text` on one line, without what would steer a terminal."""
    short = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    return printable(" ".join(short.split()))
