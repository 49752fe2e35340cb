"""lab: a spare saltenv for a branch that is not merged yet, claimed, extended and given back by the journal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from saltbranch.actions.shared.lab_plan import LabPlan, Labs
from saltbranch.actions.shared.pinned_minions import pinned
from saltbranch.base import asked_by
from saltbranch.base.durations import iso, parse_duration, shown_duration
from saltbranch.base.errors import RefusedError, UsageError
from saltbranch.base.text import many, nearest
from saltbranch.config.labs import LONGEST, MOST, USUAL, name_of, number_of
from saltbranch.journal.events import LAB, Event
from saltbranch.journal.facts import CLAIM, EXTEND, RELEASE
from saltbranch.labs.judge import free_number, judge, why_over
from saltbranch.labs.lab import Claim
from saltbranch.labs.look import Seen, look, merged_in
from saltbranch.promote.hold_plan import event_of
from saltbranch.repository.workplace import Workplace

_SHORTEST = 60  # seconds


def listed(work: Workplace) -> Labs:
    """The labs; in a clone by what masters told, and only those in use where none did. Raises GitError, SaltError."""
    seen = look(work)
    labs = seen.labs if seen.count is not None else [lab for lab in seen.labs if lab.claim]
    most = len(seen.labs)
    beyond = [c for c in seen.claims if c.number > most and not _over(work, seen, c)]
    return Labs(tuple(labs), seen.count, tuple(beyond))


def seconds_of(text: str | None, option: str = "--for") -> float:
    """How long a branch is to have a lab. Raises UsageError."""
    if text is None:
        return USUAL
    seconds = parse_duration(text, option)
    if not _SHORTEST <= seconds <= LONGEST:
        raise UsageError(
            f"{option}: {text} is not from a minute to {shown_duration(LONGEST)}",
            hint="for example 8h or 3d",
        )
    return seconds


def number_of_lab(word: str | None, option: str) -> int | None:
    """The number of a lab such as `lab2`. Raises UsageError."""
    number = None if word is None else number_of(word)
    if word is not None and number is None:
        raise UsageError(f"{option}: {word!r} is not a lab", hint=f"for example {option} lab2")
    return number


def plan_claim(
    work: Workplace,
    branch: str,
    *,
    minions: Sequence[str] = (),
    seconds: float = USUAL,
    number: int | None = None,
) -> LabPlan:
    """Give `branch` a lab, and with it `minions`, for so many seconds. number: that lab, the lowest free one otherwise.

    Nothing is recorded where it has one with these minions. Raises UsageError, RefusedError.
    """
    seen = look(work)
    name = _branch(work, seen, branch)
    wanted = tuple(dict.fromkeys(minions))
    verb = f"lab claim {name}"
    if held := next((c for c in _open(work, seen) if c.branch == name), None):
        return _as_it_is(seen, held, verb, wanted, number)
    notes: list[str] = []
    autos = [lab.number for lab in seen.labs if lab.branch == name]  # given by lab_auto: it stays
    if number is None:
        number = autos[0] if autos else _free(work, seen, notes)
    else:
        number = _asked_for(work, seen, number, notes)
    # Of a branch that was just made everything is merged.
    empty_at = merged_in(work.git, seen.rules, work.refs.branches, [name]).get(name)
    details = {
        "action": CLAIM,
        "lab": number,
        "branch": name,
        "minions": list(wanted),
        "until": iso(work.now + seconds),
        "empty_at": empty_at,
    }
    event = event_of(work, LAB, details)
    before = next((c for c in seen.claims if c.number == number), None)
    claim = Claim(
        id=event.id,
        number=number,
        branch=name,
        minions=wanted,
        since=work.now,
        until=float(int(work.now + seconds)),
        by=event.by,
        empty_at=empty_at or "",
        **asked_by.named_in(event.details),
    )
    saltenv = _accepted(work, seen, claim, notes)
    _refuse_pinned(work, wanted, notes)
    events = (_release(work, before), event) if before and work.now < before.until else (event,)
    return LabPlan(verb, CLAIM, claim, saltenv, events=events, notes=tuple(notes))


def _as_it_is(
    seen: Seen, held: Claim, verb: str, minions: tuple[str, ...], number: int | None
) -> LabPlan:
    """The plan where the branch has a lab. Raises RefusedError where that is not the one that was asked for."""
    lab = seen.lab(held.number)
    said = _taken(held)
    if lab and lab.refused:
        raise RefusedError(
            f"{said}, which does not count: {lab.refused}",
            hint=f"saltbranch lab release {held.branch}, then claim it anew",
        )
    if (minions and set(minions) != set(held.minions)) or number not in (None, held.number):
        of = f" with {', '.join(held.minions)}" if held.minions else " without minions"
        raise RefusedError(
            f"{said}{of}",
            hint=f"saltbranch lab release {held.branch} first, or keep it: saltbranch lab extend {held.branch}",
        )
    if lab is None and number is None:
        raise RefusedError(
            f"{said}, but there {'is' if seen.count == 1 else 'are'} only {many(seen.count or 0, 'lab')}",
            hint=f"saltbranch lab release {held.branch}, then claim it anew",
        )
    saltenv = lab.saltenv if lab else ""
    return LabPlan(verb, CLAIM, held, saltenv, events=(), notes=(said,))


def _taken(claim: Claim) -> str:
    by = f" by {claim.who}" if claim.who else ""
    until = f"until {iso(claim.until)}" if not claim.is_auto else "while it is there"
    return f"{claim.branch} has {name_of(claim.number)}{by}, {until}"


def _open(work: Workplace, seen: Seen) -> list[Claim]:
    return [c for c in seen.claims if not _over(work, seen, c)]


def _over(work: Workplace, seen: Seen, claim: Claim) -> str:
    return why_over(claim, work.refs.branches, work.now, merged=seen.merged)


def _free(work: Workplace, seen: Seen, notes: list[str]) -> int:
    """The lowest lab that is free. Raises RefusedError that says who has them."""
    if seen.count == 0:
        raise _no_labs(work)
    number = free_number(seen.labs)
    if number is None:
        having = "; ".join(
            f"{_taken(lab.claim)}{f', which does not count: {lab.refused}' if lab.refused else ''}"
            for lab in seen.labs
            if lab.claim
        )
        raise RefusedError(
            f"no lab is free: {having}",
            hint="ask one of them, wait, or give one back: saltbranch lab release BRANCH",
        )
    _note_count(seen, notes)
    return number


def _note_count(seen: Seen, notes: list[str]) -> None:
    if seen.count is None:
        notes.append(
            "masters decide how many labs there are (labs: in their files), and none has recorded it here"
            " (record_syncs): saltbranch status on a master says whether it serves this one"
        )


def _no_labs(work: Workplace) -> RefusedError:
    if work.serves:
        return RefusedError(
            f"this master has no labs: there is no labs: in {work.config_path}",
            hint="for example labs: 4, then saltbranch sync, and restart the master once",
        )
    return RefusedError(
        "no master has labs", hint="labs: 4 in the file of a master gives it some, with record_syncs: true"
    )  # fmt: skip


def _asked_for(work: Workplace, seen: Seen, number: int, notes: list[str]) -> int:
    """`number`, where it is free. Raises UsageError, RefusedError."""
    if not 1 <= number <= MOST:
        raise UsageError(f"there is no lab {number}", hint=f"they are numbered from 1 to {MOST}")
    lab = seen.lab(number)
    if lab is None and work.serves:
        raise UsageError(
            f"there is no {name_of(number)}: labs: in {work.config_path} is {work.config.labs}",
            hint="saltbranch lab list",
        )
    held = next((c for c in _open(work, seen) if c.number == number), None)
    if held:
        raise RefusedError(
            f"{name_of(number)} is not free: {_taken(held)}", hint="saltbranch lab list"
        )
    if lab is None:
        told = many(seen.count or 0, "lab")
        notes.append(f"some master told that it has {told}: it will not serve this one")
    _note_count(seen, notes)
    return number


def _accepted(work: Workplace, seen: Seen, claim: Claim, notes: list[str]) -> str:
    """The saltenv that the lab belongs to. Raises RefusedError where the claim would not count."""
    others = [c for c in _open(work, seen) if c.number != claim.number]
    rules = replace(seen.rules, count=max(seen.rules.count, claim.number), auto="")
    labs = judge(
        [*others, claim], rules, work.refs.branches, work.now, merged=seen.merged
    )  # fmt: skip
    lab = labs[claim.number - 1]
    if not lab.refused:
        return lab.saltenv
    if not seen.knows_groups and lab.refused.endswith(" is of no saltenv"):
        notes.append(
            f"the masters will say whether it counts, by their nodegroups; here {lab.refused}"
        )
        return ""
    raise RefusedError(
        f"{claim.branch} cannot have a lab so: {lab.refused}", hint=_help(lab.refused)
    )


def _refuse_pinned(work: Workplace, minions: Sequence[str], notes: list[str]) -> None:
    """Raises RefusedError for minions that would get nothing from a lab."""
    found, said = pinned(work, minions)
    notes += said
    if found:
        told = "; ".join(f"{minion} has {option}" for minion, option in found.items())
        raise RefusedError(
            f"the configuration of minions keeps them in their saltenv, so a lab would leave them without any: {told}",
            hint="take the option away on the minion and restart it, or lend another one",
        )


def _help(refused: str) -> str:
    if "lends no minions" in refused:
        return (
            "lend: true of the saltenv in the model lets its minions be lent; it has to be promoted"
        )
    if "is lent to" in refused:
        return "saltbranch lab list"
    return "saltbranch explain ID says which saltenv a minion is of"


def plan_extend(work: Workplace, word: str, *, seconds: float = USUAL) -> LabPlan:
    """Let a branch keep its lab for so many seconds from now. word: the branch, or the lab.

    Raises UsageError, RefusedError.
    """
    seen = look(work)
    claim, name = _named(work, seen, word)
    if claim is None:
        raise RefusedError(
            f"{name} has no lab" if number_of(name) is None else f"nobody has {name}",
            hint=f"saltbranch lab claim {name if number_of(name) is None else 'BRANCH'}",
        )
    verb, until = f"lab extend {claim.branch}", float(int(work.now + seconds))
    if until - claim.since > LONGEST:
        raise RefusedError(
            f"{_taken(claim)}; with {shown_duration(seconds)} more it would have it for more than"
            f" {shown_duration(LONGEST)}",
            hint="release it and claim one anew, or merge the branch",
        )
    lab = seen.lab(claim.number)
    saltenv, notes = lab.saltenv if lab else "", [lab.refused] if lab and lab.refused else []
    if until <= claim.until:
        return LabPlan(verb, EXTEND, claim, saltenv, events=(), notes=(*notes, _taken(claim)))
    details = {
        "action": EXTEND,
        "lab": claim.number,
        "branch": claim.branch,
        "claim": claim.id,
        "until": iso(until),
    }
    event = event_of(work, LAB, details)
    extended = replace(claim, until=until)
    return LabPlan(verb, EXTEND, extended, saltenv, events=(event,), notes=tuple(notes))


def plan_release(work: Workplace, word: str) -> LabPlan:
    """Give a lab back, and its minions. word: the branch, or the lab. Raises UsageError, RefusedError."""
    seen = look(work)
    claim, name = _named(work, seen, word)
    if claim is None:
        said = f"nobody has {name}" if number_of(name) else f"{name} has no lab"
        return LabPlan(f"lab release {name}", RELEASE, None, "", events=(), notes=(said,))
    lab = seen.lab(claim.number)
    back = (f"{', '.join(lab.lent)}: back to {lab.saltenv}",) if lab and lab.lent else ()
    verb = f"lab release {claim.branch}"
    saltenv, events = lab.saltenv if lab else "", (_release(work, claim),)
    return LabPlan(verb, RELEASE, claim, saltenv, events=events, notes=back)


def _release(work: Workplace, claim: Claim) -> Event:
    details: Mapping[str, object] = {
        "action": RELEASE,
        "lab": claim.number,
        "branch": claim.branch,
        "claim": claim.id,
    }
    return event_of(work, LAB, details)


def _named(work: Workplace, seen: Seen, word: str) -> tuple[Claim | None, str]:
    """The open claim that `word` means, a branch or a lab; and what it is called. Raises UsageError, RefusedError."""
    claims = _open(work, seen)
    if (number := number_of(word)) and word not in work.refs.branches:
        auto = seen.lab(number)
        if auto and auto.claim and auto.claim.is_auto:
            raise RefusedError(
                f"{word} was given to {auto.claim.branch} by lab_auto of this master",
                hint="it is free for whoever claims it",
            )
        return next((c for c in claims if c.number == number), None), word
    name = _branch(work, seen, word, known=[c.branch for c in claims])
    return next((c for c in claims if c.branch == name), None), name


def _branch(work: Workplace, seen: Seen, word: str, *, known: Iterable[str] = ()) -> str:
    """The branch of the remote that `word` means, with or without its prefix. Raises UsageError, RefusedError."""
    names = {*work.refs.branches, *known}
    found = [b for b in (word, *(f"{p}{word}" for p in seen.rules.prefixes)) if b in names]
    if len(found) > 1 and found[0] != word:
        raise UsageError(f"{word!r} is {' and '.join(found)}", hint="name it with its prefix")
    if found:
        return found[0]
    here = work.git.commit_or_none(f"refs/heads/{word}") if work.repo.clone else None
    if here:
        raise RefusedError(
            f"the remote has no branch {word}, and a lab shows what the remote has",
            hint=f"push it: saltbranch {word.split('/')[0]} publish",
        )
    raise UsageError(
        f"the remote has no branch {word!r}",
        hint=nearest(word, sorted(names)) or "saltbranch feature list",
    )
