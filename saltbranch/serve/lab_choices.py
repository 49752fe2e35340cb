"""What the labs are to be, by the claims of the journal. Loaded where `labs:` is set and something has changed."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

from saltbranch.base.text import one_line
from saltbranch.config.labs import LONGEST, PILLAR_OF_BRANCH
from saltbranch.labs import judge, lent, look
from saltbranch.repository.decision import LabRow
from saltbranch.serve import lab_minions, lab_rules

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from saltbranch.labs.judge import Rules
    from saltbranch.labs.lab import Claim, Lab
    from saltbranch.repository.decision import Choices
    from saltbranch.serve.decide import Facts

_CLOCKS = 300  # seconds by which clocks may differ, as in labs/judge.py


def choose(facts: Facts, claims: Iterable[Claim], last: Choices, found: Choices) -> None:
    """Judge `claims`, and keep in `found` what follows. Raises GitError, SaltbranchError."""
    claims = list(claims)
    rules, pillars = lab_rules.read(facts.root, facts.labs, facts.lab_rules)
    heads = facts.refs.branches
    merged = look.merged_in(facts.git, rules, heads, look.candidates(rules, claims, heads))
    auto = look.given_here(facts.root).autos
    judged = judge.judge(claims, rules, heads, facts.now, merged=merged, auto=auto)
    wanted = {lab.name: _wanted(facts.root, lab, rules, pillars) for lab in judged if lab.branch}
    found.labs = json.dumps({name: asdict(want) for name, want in wanted.items()})
    found.lent = lent.dumps(lent.settled(wanted)).strip()
    _add_rows(facts, claims, judged, found)
    if _is_same_journal(last, found):
        return
    known = {(row.name, row.branch) for row in last.lab_rows}
    for lab in judged:
        if lab.claim and lab.refused and (lab.name, lab.claim.branch) not in known:
            found.news.append(
                one_line(f"{lab.name}: {lab.claim.branch} does not get it here: {lab.refused}")
            )


def _is_same_journal(last: Choices, found: Choices) -> bool:
    return last.journal == found.journal


def _add_rows(facts: Facts, claims: list[Claim], judged: list[Lab], found: Choices) -> None:
    heads = facts.refs.branches
    counting = {lab.number: lab for lab in judged if lab.branch}
    for lab in counting.values():
        found.lab_rows.append(LabRow(lab.name, lab.branch, heads.get(lab.branch, ""), "1"))
    ends = [] if found.until is None else [found.until]
    for claim in claims:
        own = counting.get(claim.number)
        if own is None or own.claim is not claim:
            name = f"lab{claim.number}"
            found.lab_rows.append(LabRow(name, claim.branch, heads.get(claim.branch, ""), "0"))
        at = (claim.until, claim.until - LONGEST - _CLOCKS)
        ends += [moment for moment in at if facts.now < moment < math.inf]
    found.until = min(ends, default=None)


def _wanted(root: str, lab: Lab, rules: Rules, pillars: Mapping[str, str]) -> lent.Wanted:
    pinned = lab_minions.pinned(root, lab.claim.id) if lab.claim and lab.lent else {}
    source = lab.name if rules.pillar == PILLAR_OF_BRANCH else lab.saltenv
    return lent.Wanted(
        claim=lab.claim.id if lab.claim else "",
        branch=lab.branch,
        saltenv=lab.saltenv,
        pillar=pillars[source],
        minions=tuple(sorted(set(lab.lent) - pinned.keys())),
        is_open=rules.is_open and not lab.lent,
    )
