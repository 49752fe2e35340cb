"""Which claims of labs count on this machine: by its file and the model, whatever the journal says. Pure.

Whoever may push can write claims, so each machine judges all of them anew. Of two that exclude one another the one
that stands first in the journal counts.
"""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from saltbranch.base.durations import shown_duration
from saltbranch.config.labs import LONGEST, PILLAR_OF_SALTENV
from saltbranch.config.minions import Matcher, Nodegroups, claimed_by
from saltbranch.config.model import Config, Saltenv
from saltbranch.labs.lab import Claim, Lab

BY_AUTO = "lab_auto"
"""Who has a lab that was given by the machine's `lab_auto:`."""
_SLACK = 300  # seconds by which clocks may differ
# Of Salt's ids those that mean the same as a glob, in a list and in every file that is written.
_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}")


@dataclass(frozen=True, slots=True)
class Rules:
    """By what a machine judges.

    count: its labs. ends: what the names of branches begin with that may have one, and the branch that such a branch
    is merged into in the end. groups: saltenv to its minions, of the whole model. here: the saltenvs that this machine
    serves; lends: those of them that lend minions. first: whose pillar a lab without minions has. served: branches of
    saltenvs. auto: the glob of `lab_auto`, empty for none. longest: seconds. pillar: `lab_pillar`. is_open: `lab_open`.
    """

    count: int
    ends: Mapping[str, str]
    groups: Mapping[str, tuple[Matcher, ...]]
    here: frozenset[str]
    lends: frozenset[str]
    first: str
    served: frozenset[str] = frozenset()
    auto: str = ""
    longest: float = LONGEST
    pillar: str = PILLAR_OF_SALTENV
    is_open: bool = False
    nodegroups: Nodegroups = field(default_factory=dict)

    @property
    def prefixes(self) -> tuple[str, ...]:
        """What the name of a branch that may have a lab begins with."""
        return tuple(self.ends)

    def end_of(self, branch: str) -> str:
        """The branch that `branch` is merged into in the end; empty where it may have no lab."""
        return next((end for prefix, end in self.ends.items() if branch.startswith(prefix)), "")


def rules_of(
    config: Config, nodegroups: Nodegroups | None = None, *, count: int | None = None
) -> Rules:
    """By what this machine judges claims. nodegroups: the master's option of that name.

    count: how many labs there are, where the file of this machine does not say it.
    """
    first = first_of(config)
    last = _last_of(config, first)
    flow = config.flow
    return Rules(
        count=config.labs if count is None else count,
        ends={flow.feature: first.branch, flow.hotfix: last.branch, flow.release: last.branch},
        groups=config.groups,
        here=frozenset(s.name for s in config.saltenvs),
        lends=frozenset(s.name for s in config.saltenvs if s.lend),
        first=first.name,
        served=frozenset(s.branch for s in (*config.saltenvs, *config.elsewhere)),
        auto=config.lab_auto or "",
        pillar=config.lab_pillar,
        is_open=config.lab_open,
        nodegroups=nodegroups or {},
    )


def first_of(config: Config) -> Saltenv:
    """The saltenv that features end in, as far as this machine serves it."""
    firsts = [s for s in config.saltenvs if s.promote_from is None]
    above = {s.promote_from for s in config.saltenvs}
    return next((s for s in firsts if s.name in above), (firsts or [*config.saltenvs])[0])


def _last_of(config: Config, first: Saltenv) -> Saltenv:
    before = {s.promote_from for s in config.saltenvs}
    ends = [s for s in config.saltenvs if s.promote_from and s.name not in before]
    own = [s for s in ends if s.branch == config.model_branch]
    return (own or ends or [first])[0]


def judge(
    claims: Sequence[Claim],
    rules: Rules,
    branches: Collection[str],
    now: float,
    *,
    merged: Mapping[str, str] | None = None,
    auto: Mapping[int, str] | None = None,
) -> list[Lab]:
    """One Lab for each number from 1 to rules.count, in this order.

    claims: the open ones, in the order of the journal (State.labs.values()). branches: those of the remote. now:
    seconds since 1970. merged: of branches whose head is in the history of where they end, the head. auto: what was
    given by `lab_auto` before, number to branch: it is kept where possible.
    """
    gone_in = merged or {}
    found = {number: Lab(number) for number in range(1, rules.count + 1)}
    lent: dict[str, Lab] = {}
    having: dict[str, Lab] = {}
    for claim in claims:
        if claim.number not in found or found[claim.number].claim:
            continue
        if freed := why_over(claim, branches, now, merged=gone_in):
            found[claim.number] = Lab(claim.number, freed=freed)
            continue
        saltenv, refused = _judged(claim, rules, now, lent, having)
        if refused:
            found[claim.number] = Lab(claim.number, claim, refused=refused)
            continue
        lab = Lab(claim.number, claim, saltenv=saltenv, lent=claim.minions)
        found[claim.number] = having[claim.branch] = lab
        lent |= dict.fromkeys(claim.minions, lab)
    if rules.auto:
        _give_out(found, rules, set(branches) - {*having, *gone_in}, auto or {})
    return list(found.values())


def why_over(
    claim: Claim, branches: Collection[str], now: float, *, merged: Mapping[str, str]
) -> str:
    """Why a lab is free again though nobody has released it; empty where it is not. Arguments as of `judge`."""
    if now >= claim.until:
        return f"the time of {claim.branch} is over"
    if claim.branch not in branches:
        return f"the remote has no branch {claim.branch}"
    if claim.branch in merged and merged[claim.branch] != claim.empty_at:
        return f"{claim.branch} is merged"
    return ""


def _judged(
    claim: Claim, rules: Rules, now: float, lent: Mapping[str, Lab], having: Mapping[str, Lab]
) -> tuple[str, str]:
    """The saltenv that `claim` belongs to, or why it does not count here."""
    if why := branch_problem(claim.branch, rules):
        return "", why
    if claim.branch in having:
        return "", f"{claim.branch} has {having[claim.branch].name}"
    if max(claim.until - claim.since, claim.until - now - _SLACK) > rules.longest:
        return "", f"it is for more than {shown_duration(rules.longest)}"
    if taken := [m for m in claim.minions if m in lent]:
        return "", f"{taken[0]} is lent to {lent[taken[0]].name}"
    return saltenv_of(claim.minions, rules)


def branch_problem(branch: str, rules: Rules) -> str:
    """Why `branch` may have no lab, whoever asks; empty where it may."""
    if branch in rules.served:
        return f"{branch} is the branch of a saltenv"
    if not rules.end_of(branch):
        return f"{branch} does not begin with {', '.join(rules.prefixes)}"
    return ""


def saltenv_of(minions: Sequence[str], rules: Rules) -> tuple[str, str]:
    """The saltenv that lends all of `minions`, the first one for none; or why they cannot be lent."""
    homes: dict[str, str] = {}
    for minion in minions:
        if not _ID.fullmatch(minion):
            return "", f"{minion!r} is not a minion id of letters, digits, '.', '_' and '-'"
        groups = [name for name, _ in claimed_by(minion, rules.groups, rules.nodegroups)]
        if len(groups) != 1:
            of = f"of {' and '.join(groups)}" if groups else "of no saltenv"
            return "", f"{minion} is {of}"
        homes[minion] = groups[0]
    found = list(dict.fromkeys(homes.values()))
    if not found:
        return rules.first, ""
    if len(found) > 1:
        one, other = (next(m for m, s in homes.items() if s == name) for name in found[:2])
        return "", f"{one} is of {found[0]} and {other} of {found[1]}: a lab has the pillar of one"
    if found[0] not in rules.here:
        return "", f"this machine does not serve {found[0]}"
    if found[0] not in rules.lends:
        return "", f"{found[0]} lends no minions (lend: in the model)"
    return found[0], ""


def _give_out(
    found: dict[int, Lab], rules: Rules, branches: Collection[str], kept: Mapping[int, str]
) -> None:
    """Give free labs to branches that `lab_auto` means, for trying; what has one keeps it."""
    wanting = [branch for branch in sorted(branches) if is_meant(branch, rules)]
    free = [number for number, lab in found.items() if lab.claim is None]
    stay = {n: kept[n] for n in sorted(free) if kept.get(n) in wanting}
    given = {branch: number for number, branch in reversed(stay.items())}
    left = [n for n in free if n not in given.values()]
    # Whose lab a claim has taken comes before those that never had one.
    moved = [kept[n] for n in sorted(kept) if kept[n] in wanting]
    for branch in dict.fromkeys([*moved, *wanting]):
        if branch not in given and left:
            given[branch] = left.pop(0)
    for branch, number in given.items():
        claim = Claim("", number, branch, (), since=0, until=math.inf, by=BY_AUTO)
        found[number] = Lab(number, claim, saltenv=rules.first, freed=found[number].freed)


def is_meant(branch: str, rules: Rules) -> bool:
    """Whether `branch` gets a lab by `lab_auto`, where there is a free one."""
    return bool(rules.auto) and (
        fnmatch.fnmatchcase(branch, rules.auto) and not branch_problem(branch, rules)
    )


def given_out(labs: Sequence[Lab]) -> dict[int, str]:
    """What `lab_auto` has given, for the next `judge`: number to branch."""
    return {lab.number: lab.claim.branch for lab in labs if lab.claim and lab.claim.is_auto}


def free_number(labs: Sequence[Lab]) -> int | None:
    """The lowest lab that nobody has; else the lowest that was only given by `lab_auto`; None where there is none."""
    free = [lab.number for lab in labs if lab.claim is None]
    autos = [lab.number for lab in labs if lab.claim and lab.claim.is_auto]
    return next(iter([*free, *autos]), None)
