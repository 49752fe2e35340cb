"""What the journal records of a promotion, a back-merge, a tag, a gate passed over and a debt."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from saltbranch.base import asked_by
from saltbranch.git.merge import CONFLICT
from saltbranch.journal import store as journal
from saltbranch.journal.events import BACKMERGE, DEBT, OVERRIDE, PROMOTION, TAG, Event, Kind
from saltbranch.promote.plan import BACK_MERGE, RECORDED, Plan
from saltbranch.repository.push import RefUpdate
from saltbranch.repository.workplace import Workplace


@dataclass(slots=True)
class Prepared:
    """The objects of one attempt."""

    id: str
    new: str
    updates: list[RefUpdate] = field(default_factory=list)


def events(work: Workplace, plan: Plan, found: Prepared, by: str) -> list[Event]:
    """What the journal is to record of `plan`. by: as git knows the person."""
    made: list[tuple[Kind, str, dict[str, Any]]] = []
    target = plan.target
    if plan.kind == BACK_MERGE and target.moves:
        made.append((BACKMERGE, found.id, _back_merged(work, plan, found)))
    if plan.kind in RECORDED and (target.moves or plan.hold_moves_to):
        made.append((PROMOTION, found.id, _promotion(work, plan, found)))
    about = {"saltenv": plan.saltenv, "promotion": found.id}
    if plan.tag:
        commit = target.source if plan.tag_source else found.new
        made.append((TAG, "" if made else found.id, {"tag": plan.tag, "commit": commit, **about}))
    made += [
        (
            OVERRIDE,
            "",
            {
                "gate": g.name,
                "reason": g.overridden,
                "verdict": g.verdict,
                "said": asked_by.shortened(g.reason),
                **about,
            },
        )
        for g in plan.gates
        if g.overridden is not None
    ]
    made += [
        (
            DEBT,
            "",
            {
                "branch": d.branch,
                "commit": found.new,
                "origin": d.origin,
                "files": list(d.files)[:200],
                **about,
            },
        )
        for d in plan.debts
    ]
    return [
        Event(kind, id_ or journal.new_id(work.now), work.now, by, {**what, **work.asked.details()})
        for kind, id_, what in made
    ]


def _back_merged(work: Workplace, plan: Plan, found: Prepared) -> dict[str, Any]:
    target = plan.target
    return {
        "saltenv": plan.saltenv,
        "branch": target.branch,
        "source": target.source_name,
        "kind": target.kind,
        "source_commit": target.source,
        "old": target.old,
        "new": found.new,
        "promoted_to": _is_promoted_to(work, target.branch),
    }


def _promotion(work: Workplace, plan: Plan, found: Prepared) -> dict[str, Any]:
    target = plan.target
    moved = {u.ref: u.new for u in found.updates}
    return {
        "kind": plan.kind,
        "saltenv": plan.saltenv,
        "branch": target.branch,
        "source": plan.source,
        "source_commit": target.source,
        "old": target.old,
        "new": found.new,
        "served_before": plan.served_before,
        "tag": plan.tag,
        "tickets": list(plan.changes.tickets)[:200],
        "digest": plan.digest,
        "diff_digest": plan.diff_digest,
        "lifts_hold": plan.lifts_hold,
        "hold_moves_to": plan.hold_moves_to,
        "merges": [
            {
                "branch": s.branch,
                "old": s.old,
                "kind": s.kind,
                "new": moved.get(f"refs/heads/{s.branch}"),
                "promoted_to": _is_promoted_to(work, s.branch),
            }
            for s in plan.steps[1:]
            if s.role == BACK_MERGE and s.kind != CONFLICT
        ],
    }


def _is_promoted_to(work: Workplace, branch: str) -> bool:
    saltenv = work.config.of_branch(branch)
    return saltenv is not None and saltenv.promote_from is not None
