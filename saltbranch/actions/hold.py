"""hold, unhold, rollback: which commit a saltenv serves, whatever its branch says. No branch is touched."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace

from saltbranch import asking, events, journal, prepared
from saltbranch.actions import gatekeeping, past
from saltbranch.actions.follow import WAIT, Followed, Notify, follow
from saltbranch.actions.promote import named
from saltbranch.actions.steps import Step, steps
from saltbranch.config.check import build_config
from saltbranch.config.model import Saltenv
from saltbranch.durations import iso
from saltbranch.errors import RefusedError, UsageError
from saltbranch.events import ACCEPT, HOLD, ROLLBACK, UNHOLD, Event, Promotion
from saltbranch.locate import FILE_NAME
from saltbranch.repository import model, model_file
from saltbranch.repository.push_answer import PushRefused
from saltbranch.repository.remote import RefUpdate
from saltbranch.repository.workplace import Say, Workplace
from saltbranch.serve import refused


@dataclass(frozen=True, slots=True)
class HoldPlan:
    """What a verb would record. serves, will_serve: commits before and after, None where nothing is served."""

    verb: str
    saltenv: str
    event: Event
    serves: str | None
    will_serve: str | None
    reason: str
    until: float | None
    promotion: str = ""
    note: str = ""

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        rest = asdict(self)
        del rest["event"]
        until = iso(self.until) if self.until is not None else None
        told = asking.told(self.event.by, self.event.details)
        return {"version": 1, **rest, "until": until, "id": self.event.id, **told}


def plan_hold(
    work: Workplace, saltenv: str, *, at: str | None, reason: str, until: float | None
) -> HoldPlan:
    """Hold `saltenv` at a commit, tag or promotion; without `at` at what it serves now (a freeze).

    until: seconds since 1970. Raises UsageError, RefusedError.
    """
    found = named(work, saltenv)
    commit = _commit(work, found, at) if at else _served_now(work, found)
    if commit is None:
        raise RefusedError(
            f"{saltenv} serves nothing that it could be held at", hint="name a commit with --at"
        )
    return _plan(work, f"hold {saltenv}", found, HOLD, commit, _asked(reason, "hold"), until)


def plan_rollback(work: Workplace, saltenv: str, *, to: str | None, reason: str) -> HoldPlan:
    """Hold `saltenv` at what it served before its last promotion, or at what the promotion `to` brought.

    What was pushed by hand and served counts as a promotion does. Raises UsageError, RefusedError.
    """
    found = named(work, saltenv)
    if to:
        promotion = _promotion(work, found, to)
        commit = promotion.new
        step = promotion.id
    else:
        commit, step = _last(work, found)
    return _plan(
        work,
        f"rollback {saltenv}",
        found,
        ROLLBACK,
        commit,
        _asked(reason, "rollback"),
        None,
        step,
    )


def plan_unhold(work: Workplace, saltenv: str, *, reason: str) -> HoldPlan:
    """Let `saltenv` follow its branch or tags again. Raises UsageError, RefusedError."""
    found = named(work, saltenv)
    hold = work.hold(found)
    if hold is None:
        raise RefusedError(f"{saltenv} is not held", hint="saltbranch status shows holds")
    after, reason = _without_hold(work, found), asking.reason(reason)
    event = _event(work, UNHOLD, {"saltenv": found.name, "reason": reason, "held": hold.commit})
    return HoldPlan(f"unhold {saltenv}", saltenv, event, hold.commit, after, reason, None)


def plan_accept(work: Workplace, saltenv: str, *, reason: str) -> HoldPlan:
    """Let what was pushed to the branch of `saltenv` by hand count as if it had been promoted.

    Raises UsageError, RefusedError.
    """
    found = named(work, saltenv)
    serves, head = work.wanted(found).commit, work.head(found)
    push, tip = work.state.open_push(found.branch), work.state.tips.get(found.branch)
    if work.repo.problem:
        raise work.repo.problem
    if push is None or tip is None or tip.head != head:
        raise RefusedError(
            f"nothing was pushed to {found.branch} by hand since the last promotion to {saltenv}",
            hint=_where_known(work, found),
        )
    work.state.tips[found.branch] = replace(tip, good=head)
    try:
        after = work.wanted(found).commit
    finally:
        work.state.tips[found.branch] = tip
    details = {
        "saltenv": found.name,
        "branch": found.branch,
        "commit": head,
        "from_commit": serves,
        "reason": _asked(reason, "accept"),
        "push": push.id,
    }
    event = _event(work, ACCEPT, details)
    verb = f"accept {saltenv}"
    note = "; ".join(filter(None, (push.told(), _model_of(work, found, head))))
    return HoldPlan(verb, found.name, event, serves, after, reason.strip(), None, push.id, note)


def _where_known(work: Workplace, saltenv: Saltenv) -> str:
    if saltenv.branch in work.unknown:
        return (
            f"the journal does not say up to where {saltenv.branch!r} was promoted, and it is seen here for the first"
            " time: accept it where it was said, on a master or in another clone"
        )
    return f"saltbranch history {saltenv.name} shows what came to it"


def _without_hold(work: Workplace, saltenv: Saltenv) -> str | None:
    kept = work.state.holds.pop(saltenv.name)
    try:
        return work.wanted(saltenv).commit
    finally:
        work.state.holds[saltenv.name] = kept


def _asked(reason: str, verb: str) -> str:
    if not reason.strip():
        raise UsageError(f"{verb} wants --reason TEXT", hint="everybody who looks will ask why")
    return asking.reason(reason)


def _plan(
    work: Workplace,
    verb: str,
    saltenv: Saltenv,
    kind: str,
    commit: str,
    reason: str,
    until: float | None,
    promotion: str = "",
) -> HoldPlan:
    serves = _served(work, saltenv)
    details = {
        "saltenv": saltenv.name,
        "branch": saltenv.branch,
        "commit": commit,
        "from_commit": serves,
        "reason": reason,
        "until": iso(until) if until is not None else None,
        "promotion": promotion or None,
    }
    event = _event(work, kind, details)
    clock = work.state.clock_problem(work.now) if until is not None else ""
    note = "; ".join(filter(None, (_about_model(work, saltenv, commit), clock)))
    return HoldPlan(verb, saltenv.name, event, serves, commit, reason, until, promotion, note)


def _served(work: Workplace, saltenv: Saltenv) -> str | None:
    """What the saltenv serves: what it is to serve or, where this machine refused that, what it still has."""
    wanted = work.wanted(saltenv).commit
    if wanted not in _refused_here(work, saltenv):
        return wanted
    record = prepared.load_served(work.config.root).get(saltenv.dirname)
    return record.commit if record else None


def _served_now(work: Workplace, saltenv: Saltenv) -> str | None:
    """What a freeze holds: what is really served, where what was pushed by hand is refused, too.

    What a master served before that was refused it goes on serving. So a master looks at what it serves, and others
    at what masters told. Raises RefusedError where that is not known.
    """
    wanted, tip = work.wanted(saltenv), work.state.tips.get(saltenv.branch)
    head = work.refs.heads.get(saltenv.branch)
    if wanted.hold or not saltenv.promote_from or tip is None or tip.head != head:
        return _served(work, saltenv)
    if not tip.is_refused:
        return _served(work, saltenv)
    told = _told_served(work, saltenv)
    if len(told) == 1:
        return told.pop()
    known = f"{saltenv.branch} was pushed to by hand, which is refused"
    if told:
        known += f", and masters serve {', '.join(sorted(c[:12] for c in told))}"
    else:
        known += ", and no master has told the journal what it serves since (record_syncs)"
    raise RefusedError(
        f"what {saltenv.name} serves is not known here: {known}",
        hint=f"name it: --at {(wanted.commit or tip.good)[:12]} is the last that was promoted or accepted;"
        " saltbranch status on a master says what it serves",
    )


def _told_served(work: Workplace, saltenv: Saltenv) -> set[str]:
    """The commits that this master serves, or that masters told."""
    if work.serves:
        record = prepared.load_served(work.config.root).get(saltenv.dirname)
        return {record.commit} if record else set()
    return {r.commit for r in work.state.serving(saltenv.name).values()}


def _model_of(work: Workplace, saltenv: Saltenv, commit: str) -> str:
    """What is to be said of the model that comes into force when `commit` is accepted."""
    source = work.config.source
    if source.branch != saltenv.branch or model_file.file_of(work.git, commit) == source.blob:
        return ""
    facts = gatekeeping.model_facts(work, source.commit or commit, commit)
    goes_on = f"that of {source.shown()} goes on counting"
    if facts.removed:
        return f"it takes {FILE_NAME} away: {goes_on}"
    if facts.problem:
        return f"{FILE_NAME} of it is not valid, so {goes_on}: {facts.problem}"
    new = model_file.read_at(work.git, commit, source.branch)
    built = build_config(work.place.machine, work.config_path, new, origin=work.config.remote)
    changed = ", ".join(model.differences(built, work.config)[:20])
    what = f": {changed} {'is' if ',' not in changed else 'are'} not as before" if changed else ""
    return f"{FILE_NAME} changes, and comes into force with it{what}"


def _about_model(work: Workplace, saltenv: Saltenv, commit: str) -> str:
    """What is held is the states and the pillar; gates and minions go on as the branch has them."""
    source = work.config.source
    if source.branch != saltenv.branch or work.git.blob_or_none(commit, FILE_NAME) == source.blob:
        return ""
    return (
        f"{FILE_NAME} is another one there, but gates, hooks and minions stay those of {source.shown()}: a hold or"
        " rollback does not take the model back"
    )


def _event(work: Workplace, kind: str, details: Mapping[str, object]) -> Event:
    told = {**details, **work.asked.details()}
    return Event(kind, journal.new_id(work.now), work.now, journal.who(work.git), told)


def _commit(work: Workplace, saltenv: Saltenv, at: str) -> str:
    """What `at` names, which must be of the saltenv's history. Raises UsageError, RefusedError."""
    commit = past.commit_of(work, at, option="--at").commit
    promotions = _promotions(work, saltenv)
    head = work.head(saltenv)
    known = [p.new for p in promotions] + [p.served_before for p in promotions]
    if not work.git.is_ancestor(commit, head) and commit not in known:
        raise RefusedError(
            f"{commit[:12]} was never on {saltenv.branch}, so {saltenv.name} cannot have been proven with it",
            hint=f"promote it to {saltenv.name}, or name one of: {work.repo.log_command(saltenv.branch)}",
        )
    return commit


def _promotion(work: Workplace, saltenv: Saltenv, name: str) -> Promotion:
    known = [p for p in _promotions(work, saltenv) if p.id == name or p.id.startswith(name)]
    found = known[0] if name and len({p.id for p in known}) == 1 else None
    if found is None or found.saltenv != saltenv.name:
        raise UsageError(
            f"--to {name}: there is no such promotion to {saltenv.name}",
            hint=f"saltbranch history {saltenv.name} lists them",
        )
    return found


def _promotions(work: Workplace, saltenv: Saltenv) -> list[Promotion]:
    """All to `saltenv`, also those that only merge commits tell of, the oldest first."""
    return [p for p in past.promotions(work) if p.saltenv == saltenv.name]


def _last(work: Workplace, saltenv: Saltenv) -> tuple[str, str]:
    """What was served before the last step whose result the saltenv serves, and the id of that step.

    A step is a promotion, or a push by hand that is served; after a rollback it is an earlier one. What this machine
    refused is passed over: it was on the branch, and no minion has had it.
    """
    serves = work.wanted(saltenv).commit
    never = _refused_here(work, saltenv)
    for step in reversed(steps(work, saltenv)):
        if step.before is None or step.before == serves or step.before in never:
            continue
        if serves is None or _contains(work, serves, step):
            return step.before, step.id
    if work.repo.problem:
        raise work.repo.problem
    raise RefusedError(
        f"the journal knows no promotion of what {saltenv.name} serves now",
        hint=f"name the commit: saltbranch hold {saltenv.name} --at COMMIT --reason TEXT",
    )


def _refused_here(work: Workplace, saltenv: Saltenv) -> frozenset[str]:
    """What a sync of this machine refused to serve. That a master merely passed it over says nothing of a commit."""
    if not work.place.is_machines:
        return frozenset()
    with contextlib.suppress(OSError):
        return refused.load(work.config.root, saltenv.name)
    return frozenset()


def _contains(work: Workplace, serves: str, step: Step) -> bool:
    """Whether what is served has come by `step`; of a hotfix on top of a hold only its source is served."""
    named = [step.new, step.source] if step.source else [step.new]
    return any(work.git.commit_or_none(c) and work.git.is_ancestor(c, serves) for c in named)


def refuse_unrecordable(work: Workplace) -> None:
    """Refuse what cannot be recorded, since what the remote has as journal is not one. Raises RefusedError."""
    if found := work.repo.problem:
        here = "; --local does it at once on this master" if work.serves else ""
        raise RefusedError(found.message, hint=f"{found.hint}{here}")


def record(
    work: Workplace, replan: Callable[[], HoldPlan], plan: HoldPlan, say: Say | None = None
) -> HoldPlan:
    """Append the event of `plan` to the journal; the plan that was applied.

    When somebody else wrote meanwhile it is planned anew, and goes on if it says the same.
    Raises RefusedError, RemoteError.
    """
    refuse_unrecordable(work)
    journal.check_person(work.git)
    for _ in range(8):
        new_events = [*past.unrecorded(work), plan.event]
        head, _written = journal.append(work.git, work.refs.journal, new_events)
        try:
            work.repo.push([RefUpdate(journal.REF, work.refs.journal, head)], say)
            return plan
        except PushRefused as err:
            if err.kind != "race":
                raise
            work.refresh(say)
            new = replan()
            if (new.will_serve, new.serves) != (plan.will_serve, plan.serves):
                raise RefusedError(
                    f"somebody else was faster: {plan.saltenv} serves {(new.serves or 'nothing')[:12]} now",
                    hint=f"look again: saltbranch {plan.verb} --plan",
                ) from err
            plan = new
    raise RefusedError(
        "others wrote to the journal all the time; nothing was changed", hint="run it again"
    )


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a verb recorded, and the sync that followed on this machine."""

    plan: HoldPlan
    followed: Followed

    @property
    def exit_code(self) -> int:
        """That of the sync: what is recorded is recorded."""
        return self.followed.exit_code

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        sync = self.followed.sync
        problems = [self.problem] if self.problem else []
        synced = sync.as_dict() if sync else None
        return {**self.plan.as_dict(), "problems": problems, "sync": synced}

    @property
    def problem(self) -> str:
        """What went wrong afterwards."""
        found = self.followed.problem
        return f"recorded, but not synced: {found}" if found else ""


def carry_out(
    work: Workplace,
    replan: Callable[[], HoldPlan],
    plan: HoldPlan,
    *,
    say: Say | None = None,
    notify: Notify | None = None,
) -> Recorded:
    """Record `plan`, then sync this machine's saltenvs, where it has any. Raises what record raises."""
    return Recorded(record(work, replan, plan, say), follow(work, notify))


def carry_out_locally(work: Workplace, plan: HoldPlan, notify: Notify | None) -> Recorded:
    """Record and serve `plan` on this master alone; the next sync that reaches the remote publishes it.

    work: of `workplace.open_mirror`. Raises what localhold.hold_locally raises.
    """
    from saltbranch.actions.localhold import hold_locally

    synced = hold_locally(work.config_path, plan.event, wait=WAIT, notify=notify)
    return Recorded(plan, Followed(synced))


def held(work: Workplace) -> dict[str, events.Hold]:
    """Saltenv to the hold that counts now."""
    return {s.name: h for s in work.config.saltenvs if (h := work.hold(s))}
