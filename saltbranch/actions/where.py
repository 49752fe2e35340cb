"""where: in which saltenvs a commit, a ticket or the last change of a path is, since when, and how it came."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from saltbranch.actions.shared.caller import Opener
from saltbranch.base import tickets
from saltbranch.base.errors import GitError
from saltbranch.config.model import Saltenv
from saltbranch.history import commits, trailers
from saltbranch.history.applied import OnMinions, Told, on_minions, told_of
from saltbranch.history.commits import CommitTold
from saltbranch.history.pins import Pinned
from saltbranch.history.presence import (
    ABSENT,
    BY_ANCESTRY,
    BY_PATCH,
    BY_PICK,
    COMPLETE,
    NO_BRANCH,
    PARTLY,
    PATH,
    REVERTED,
    THERE,
    TICKET,
    Arrival,
    How,
    InLab,
    Kind,
    OnMaster,
    PathPresence,
    PathWhereabouts,
    Presence,
    State,
    TicketPresence,
    TicketState,
    TicketWhereabouts,
    Whereabouts,
)
from saltbranch.history.reverts import Fate, Turn
from saltbranch.journal import events
from saltbranch.labs.look import look
from saltbranch.repository.formulas import formulas_of
from saltbranch.repository.timeline import Past, Reading, read_word
from saltbranch.repository.workplace import Workplace

# A ticket that more merges name is looked at in those only.
_MOST_MERGES = 100
_MOST_APPLIES = 1000


def tell(
    opener: Opener, word: str, *, only: Kind | None = None, fetch: bool = True
) -> tuple[Workplace, Whereabouts | TicketWhereabouts | PathWhereabouts]:
    """`where` in what `opener` opens, the remote read unless `fetch` is False. Raises SaltbranchError."""
    work = opener.open(fetch=fetch)
    return work, where(work, word, only=only)


def where(
    work: Workplace, word: str, *, only: Kind | None = None
) -> Whereabouts | TicketWhereabouts | PathWhereabouts:
    """Where `word` is. only: take it for a commit, ticket or path. Raises UsageError, GitError."""
    found = read_word(work, word, only=only)
    if found.kind == TICKET:
        return _where_ticket(work, found.value)
    if found.kind == PATH:
        return _where_path(work, found.value)
    return _where_commit(work, found)


def _served_commits(work: Workplace) -> list[str]:
    """What the saltenvs are to serve and what masters said that they serve, as far as it is here."""
    found: list[str | None] = [work.wanted(s).commit for s in work.config.saltenvs]
    found += [
        r.commit for s in work.config.saltenvs for r in work.state.residences if r.saltenv == s.name
    ]
    for told in _applies(work):
        found += [told.commit, told.back_to]
    return present(work, [c for c in found if c])


def _applies(work: Workplace) -> list[Told]:
    """The ends of the newest applies that the journal has, the oldest first."""
    found = [e for e in work.state.events if e.kind == events.APPLY][-_MOST_APPLIES:]
    return [told for told in map(told_of, found) if told]


def present(work: Workplace, names: Iterable[str]) -> list[str]:
    """Those of the hashes `names` that are commits here. Raises GitError."""
    given = "".join(f"{name}\n" for name in dict.fromkeys(names))
    form = "--batch-check=%(objectname) %(objecttype)"
    rows = work.git.out("cat-file", form, stdin=given.encode()).splitlines() if given else []
    return [row.split()[0] for row in rows if row.endswith(" commit")]


def _where_commit(work: Workplace, reading: Reading) -> Whereabouts:
    commit = reading.value
    past = Past(work, [commit, *_served_commits(work)])
    family = past.links.family([commit])
    family |= past.links.family(commits.same_patch(work.git, commit, past.starts))
    fate = past.fate(family)
    rows = tuple(_presence(past, fate, commit, s) for s in work.config.saltenvs)
    if any(p.state == ABSENT for p in rows):
        alike = commits.look_alikes(work.git, commit, past.starts)
        rows = tuple(_with_resembling(past, p, alike) for p in rows)
    about = commits.told(work.git, work.pattern, [commit])[commit]
    return Whereabouts(about, reading.said, rows, _labs_with(work, family))


def _labs_with(work: Workplace, names: Iterable[str]) -> tuple[InLab, ...]:
    """The labs whose branches brought any of the commits `names`, and are not merged yet. Raises GitError."""
    if not work.state.labs and not work.config.lab_auto:
        return ()
    here, found, seen = present(work, names), [], look(work)
    heads = work.refs.branches
    for lab in seen.labs:
        head, end = heads.get(lab.branch), heads.get(seen.rules.end_of(lab.branch))
        own = [c for c in here if head and work.git.is_ancestor(c, head)]
        if lab.claim and own and not all(end and work.git.is_ancestor(c, end) for c in own):
            until = None if lab.claim.is_auto else lab.claim.until
            found.append(InLab(lab.name, lab.branch, lab.lent, until))
    return tuple(found)


def _presence(past: Past, fate: Fate, commit: str, saltenv: Saltenv) -> Presence:
    line = past.line(saltenv)
    if line is None:
        return Presence(saltenv.name, saltenv.branch, NO_BRANCH)
    turns = fate.turns(line)
    state: State = ABSENT if not turns else THERE if turns[-1].there else REVERTED
    wanted = past.wanted(saltenv)
    return Presence(
        saltenv.name,
        saltenv.branch,
        state,
        how=_how(past, turns, commit),
        turns=tuple((t.there, _arrival(past, saltenv, t.commit, t.by)) for t in turns),
        served=_is_there(past, fate, wanted.commit),
        wanted=wanted,
        masters=tuple(_masters(past, fate, saltenv)),
        minions=_on_minions(past, [fate], saltenv),
    )


def _on_minions(past: Past, fates: Sequence[Fate], saltenv: Saltenv) -> tuple[OnMinions, ...]:
    """On how many minions all of it runs. A commit that is not here is taken for one without it."""

    def is_there(commit: str) -> bool:
        return all(_is_there(past, fate, commit) for fate in fates)

    return on_minions(_applies(past.work), saltenv.name, is_there)


def _with_resembling(past: Past, row: Presence, alike: Sequence[str]) -> Presence:
    """A cherry-pick that conflicted has another patch; only a person can say whether it is the same change."""
    line = past.line(past.work.config.saltenv(row.saltenv))
    if row.state != ABSENT or line is None:
        return row
    return replace(row, resembles=next((c for c in alike if c in line), None))


def _how(past: Past, turns: Sequence[Turn], commit: str) -> How | None:
    if not turns:
        return None
    if turns[0].commit == commit:
        return BY_ANCESTRY
    return BY_PICK if turns[0].commit in past.links.family([commit]) else BY_PATCH


def _arrival(past: Past, saltenv: Saltenv, commit: str, by: str) -> Arrival:
    promotion = past.through(saltenv, by) or past.through(saltenv, commit)
    time = promotion.time if promotion else past.graph.times[by]
    push, accepted = ("", "") if promotion else _by_hand(past, saltenv, by)
    return Arrival(
        commit=commit, by=by, time=time, promotion=promotion, push=push, accepted=accepted
    )


def _by_hand(past: Past, saltenv: Saltenv, by: str) -> tuple[str, str]:
    """The push by hand that brought the commit `by` of the saltenv's line, and who accepted it why."""
    line, state = past.line(saltenv), past.work.state
    mine = [p for p in state.pushes.values() if p.saltenv == saltenv.name]
    for push in mine if line else ():
        if line and line.has(push.new, by) and not line.has(push.old, by):
            for event in state.events:
                if event.kind == events.ACCEPT and event.text("push") == push.id:
                    return push.id, f"{event.by}: {event.text('reason')}"
            return push.id, ""
    return "", ""


def _is_there(past: Past, fate: Fate, commit: str | None) -> bool | None:
    """Whether the commit has the change; None for one that is not here."""
    return fate.is_there(commit) if commit and commit in past.graph.parents else None


def _masters(past: Past, fate: Fate, saltenv: Saltenv) -> Iterable[OnMaster]:
    rows = [r for r in past.work.state.residences if r.saltenv == saltenv.name]
    for master, now in sorted(past.work.state.serving(saltenv.name).items()):
        since = None
        for row in (r for r in rows if r.master == master):
            if not _is_there(past, fate, row.commit):
                since = None
            elif since is None:
                since = row.since
        yield OnMaster(master, now.commit, _is_there(past, fate, now.commit), since)


# Tickets


def _where_ticket(work: Workplace, ticket: str) -> TicketWhereabouts:
    found = _of_ticket(work, ticket)
    past = Past(work, [*found, *_served_commits(work)])
    families = _families(past, found)
    fates = [(family[0], past.fate(past.links.family(family))) for family in families]
    rows = tuple(_ticket_presence(past, fates, found, s) for s in work.config.saltenvs)
    changes = tuple(found[c] for c, _ in fates)
    return TicketWhereabouts(ticket, changes, rows, _labs_with(work, found))


def _of_ticket(work: Workplace, ticket: str) -> dict[str, CommitTold]:
    """The commits that name `ticket`, and those without a ticket that came by a branch that names it."""
    heads = list(dict.fromkeys(work.refs.branches.values()))
    options = ("--topo-order", "--fixed-strings", "--regexp-ignore-case", f"--grep={ticket}")
    naming = commits.log(work.git, work.pattern, *options, revisions=heads) if heads else {}
    merges = [c for c in naming.values() if c.line.merge and _merges_ticket(work, c, ticket)]
    found = {k: c for k, c in naming.items() if not c.line.merge and ticket in c.line.tickets}
    ranges = [[*c.line.parents[1:], f"^{c.line.parents[0]}"] for c in merges[:_MOST_MERGES]]
    persistent = [f"^{h}" for h in trailers.persistent_heads(work.config, work.refs.branches)]
    for branch, head in work.refs.branches.items():
        if ticket in tickets.find(branch, work.pattern) and not work.config.of_branch(branch):
            ranges.append([head, *persistent])
    for revisions in ranges:
        brought = commits.log(work.git, work.pattern, "--no-merges", revisions=revisions)
        found.update({k: c for k, c in brought.items() if not c.line.tickets})
    return found


def _merges_ticket(work: Workplace, merge: CommitTold, ticket: str) -> bool:
    return ticket in tickets.find(tickets.merged_branch(merge.line.subject), work.pattern)


def _families(past: Past, found: dict[str, CommitTold]) -> list[list[str]]:
    """The commits `found` by change, the oldest first; reverts of one another are not changes of their own."""
    keys = commits.patch_keys(past.work.git, found)
    families: list[list[str]] = []
    for commit in sorted(found, key=lambda c: (found[c].time, c)):
        if any(r in found for r in _reverted(past, commit)):
            continue
        kin = past.links.family([commit])
        same = (
            f
            for f in families
            if f[0] in kin or (keys.get(f[0]) and keys.get(f[0]) == keys.get(commit))
        )
        family = next(same, None)
        if family is None:
            families.append([commit])
        else:
            family.append(commit)
    return families


def _reverted(past: Past, commit: str) -> Iterable[str]:
    """What `commit` reverts, and what that was picked from or to."""
    for target in past.links.reverts.get(commit, ()):
        yield from past.links.family([target])


def _ticket_presence(
    past: Past,
    fates: Sequence[tuple[str, Fate]],
    found: dict[str, CommitTold],
    saltenv: Saltenv,
) -> TicketPresence:
    rows = [(c, fate, _presence(past, fate, c, saltenv)) for c, fate in fates]
    there = [p for _, _, p in rows if p.state == THERE]
    arrivals = [p.last for p in there if p.last]
    through = {a.promotion.id: a.promotion for a in arrivals if a.promotion}
    state: TicketState = (
        COMPLETE if rows and len(there) == len(rows) else PARTLY if there else ABSENT
    )
    if rows and rows[0][2].state == NO_BRANCH:
        state = NO_BRANCH
    masters = [{m.master for m in p.masters if m.there} for _, _, p in rows]
    return TicketPresence(
        saltenv.name,
        saltenv.branch,
        state,
        there=len(there),
        served=sum(p.served is True for _, _, p in rows),
        since=max((a.time for a in arrivals), default=None),
        promotions=tuple(sorted(through.values(), key=lambda p: past.rank(p.id))),
        missing=tuple(found[c] for c, _, p in rows if p.state == ABSENT),
        reverted=tuple(found[c] for c, _, p in rows if p.state == REVERTED),
        masters=tuple(sorted(set.intersection(*masters))) if masters else (),
        minions=_on_minions(past, [fate for _, fate in fates], saltenv) if fates else (),
    )


# Paths


def _where_path(work: Workplace, path: str) -> PathWhereabouts:
    past = Past(work)
    rows = tuple(_path_presence(past, path, s) for s in work.config.saltenvs)
    return PathWhereabouts(path, rows)


def _path_presence(past: Past, path: str, saltenv: Saltenv) -> PathPresence:
    work, line = past.work, past.line(saltenv)
    head = work.refs.branches.get(saltenv.branch)
    if head is None or line is None:
        return PathPresence(
            saltenv=saltenv.name,
            branch=saltenv.branch,
            content=None,
            served=None,
            last=None,
            arrival=None,
        )
    last = commits.last_change(work.git, head, path)
    wanted = past.wanted(saltenv).commit
    try:
        served = commits.object_at(work.git, wanted, path) if wanted else None
    except GitError:  # a hold may name a commit that is not here
        served = None
    content = commits.object_at(work.git, head, path)
    return PathPresence(
        saltenv=saltenv.name,
        branch=saltenv.branch,
        content=content,
        served=served,
        last=commits.told(work.git, work.pattern, [last])[last] if last else None,
        arrival=_arrival(past, saltenv, last, line.brought_by(last)) if last else None,
        pin=_pin(work, head, path, content),
    )


def _pin(work: Workplace, head: str, path: str, content: str | None) -> Pinned | None:
    """What the commit of a formula is called; None for all that is not one."""
    formulas = formulas_of(work)
    pin = formulas.pins(head).get(path.rstrip("/")) if content else None
    return formulas.look(pin) if pin else None
