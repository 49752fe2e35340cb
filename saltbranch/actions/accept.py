"""accept: what was pushed to the branch of a saltenv by hand counts as if it had been promoted."""

from __future__ import annotations

from dataclasses import replace

from saltbranch.base.errors import RefusedError
from saltbranch.config.check import build_config
from saltbranch.config.locate import FILE_NAME
from saltbranch.config.model import Saltenv
from saltbranch.journal.events import ACCEPT
from saltbranch.promote import ask_gates
from saltbranch.promote.hold_plan import HoldPlan, asked_reason, event_of
from saltbranch.promote.promotion import named
from saltbranch.repository import model, model_file
from saltbranch.repository.workplace import Workplace


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
        "reason": asked_reason(reason, "accept"),
        "push": push.id,
    }
    event = event_of(work, ACCEPT, details)
    verb = f"accept {saltenv}"
    note = "; ".join(filter(None, (push.told(), _model_of(work, found, head))))
    return HoldPlan(
        verb=verb,
        saltenv=found.name,
        event=event,
        serves=serves,
        will_serve=after,
        reason=reason.strip(),
        until=None,
        promotion=push.id,
        note=note,
    )


def _where_known(work: Workplace, saltenv: Saltenv) -> str:
    if saltenv.branch in work.unknown:
        return (
            f"the journal does not say up to where {saltenv.branch!r} was promoted, and it is seen here for the first"
            " time: accept it where it was reported, on a master or in another clone"
        )
    return f"saltbranch history {saltenv.name} shows what came to it"


def _model_of(work: Workplace, saltenv: Saltenv, commit: str) -> str:
    """What is to be said of the model that comes into force when `commit` is accepted."""
    source = work.config.source
    if source.branch != saltenv.branch or model_file.file_of(work.git, commit) == source.blob:
        return ""
    facts = ask_gates.model_facts(work, source.commit or commit, commit)
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
