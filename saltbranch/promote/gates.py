"""What the gates say: conditions that a promotion must meet, each a function of values.

Each answers pass, fail or cannot-tell, with the reason. What is configured is in config/gates.py;
promote/ask_gates.py gathers the facts.
"""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from saltbranch.base import tickets
from saltbranch.base.durations import iso, shown_duration
from saltbranch.base.errors import UsageError
from saltbranch.base.text import many, some
from saltbranch.base.tickets import Group
from saltbranch.config.gates import DiffGate, SoakGate
from saltbranch.journal.facts import Debt, Hold, Residence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from saltbranch.check.finding import Finding
    from saltbranch.preview.fleet_diff import FleetDiff

SHORTEST_DIGEST = 6
SLACK = 86400  # seconds by which clocks may differ before it is plain that one is wrong


class Verdict(str, enum.Enum):
    """What a gate says, as it stands in JSON and in the journal."""

    PASS = "pass"
    FAIL = "fail"
    CANNOT_TELL = "cannot-tell"

    def __str__(self) -> str:
        return self.value


PASS, FAIL, CANNOT_TELL = Verdict.PASS, Verdict.FAIL, Verdict.CANNOT_TELL


@dataclass(frozen=True, slots=True)
class GateResult:
    """What a gate says. passes_at: seconds since 1970, where it knows. overridden: the reason of the person.

    opens_after: when one that may close again is open next, from a moment on; None where that is not known.
    """

    name: str
    verdict: Verdict
    reason: str
    passes_at: float | None = None
    overridden: str | None = None
    opens_after: Callable[[float], float | None] | None = field(
        default=None, compare=False, repr=False
    )

    @property
    def is_open(self) -> bool:
        """Whether the promotion may go on."""
        return self.verdict == PASS or self.overridden is not None

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return {
            "gate": self.name,
            "verdict": self.verdict.value,
            "reason": self.reason,
            "passes_at": iso(self.passes_at) if self.passes_at is not None else None,
            "overridden": self.overridden,
        }


def override(results: Iterable[GateResult], overrides: dict[str, str]) -> tuple[GateResult, ...]:
    """`results` with those that `overrides` (gate to reason) passes over marked so, where they are closed."""
    return tuple(
        replace(r, overridden=overrides[r.name]) if r.name in overrides and r.verdict != PASS else r
        for r in results
    )


def passes_at(results: Sequence[GateResult]) -> float | None:
    """When all that can pass by itself will have passed, in seconds since 1970; None where that is not enough."""
    times = [r.passes_at for r in results if not r.is_open]
    known = [t for t in times if t is not None]
    moment = max(known) if times and len(known) == len(times) else None
    for result in results:  # a window that is open now may be closed again by then
        if moment is not None and result.opens_after and result.overridden is None:
            moment = result.opens_after(moment)
    return moment


# The rules, each a function of values


def hold_gate(
    target: Hold | None,
    source: Hold | None,
    *,
    beyond_source: bool,
    brings_news: bool,
    hotfix: bool,
    of_all: Hold | None = None,
) -> GateResult:
    """Whether a hold stands in the way.

    of_all: a part of the hold of all saltenvs, which only a hotfix passes.

    beyond_source: the promoted commit is beyond what the held source serves. brings_news: the promotion brings
    something that the target's branch lacks. hotfix: it goes on top of what is served, below a hold.
    """
    if of_all and not hotfix:
        reason = f"all saltenvs are held by {of_all.who} ({of_all.reason})"
        return GateResult("hold", FAIL, reason, of_all.until)
    if source and beyond_source:
        return GateResult(
            "hold",
            FAIL,
            f"{source.saltenv} is held at {source.commit[:12]} ({source.reason}), and what you promote is beyond that",
            source.until,
        )
    if target is None:
        return GateResult("hold", PASS, "nothing is held")
    if hotfix:
        reason = f"{target.saltenv} is held at {target.commit[:12]}; the hold moves to the hotfix"
        return GateResult("hold", PASS, reason)
    if target.kind == "rollback" and brings_news:
        return GateResult(
            "hold",
            PASS,
            f"{target.saltenv} was rolled back to {target.commit[:12]}; this lifts the hold",
        )
    return GateResult(
        "hold",
        FAIL,
        f"{target.saltenv} is held at {target.commit[:12]} by {target.who} ({target.reason})",
        target.until,
    )


def debts_gate(debts: Sequence[Debt], names: Sequence[str]) -> GateResult:
    """Whether the branches `names`, which the promotion moves between, lack a hotfix."""
    open_debts = [d for d in debts if d.branch in names]
    if not open_debts:
        return GateResult("debts", PASS, "no hotfix is missing")
    what = "; ".join(
        f"{d.branch} lacks {d.commit[:12]} of {d.origin or 'a hotfix'}" for d in open_debts
    )
    pay = "; ".join(dict.fromkeys(f"saltbranch backmerge {d.branch}" for d in open_debts))
    return GateResult("debts", FAIL, f"{what}: {pay}")


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The saltbranch.yaml that a merge makes.

    changed: it is another one than the branch has. removed: the branch has one, the merge has not. problem: what is
    wrong with it. broken: why the newest model of production does not count now.
    """

    changed: bool
    removed: bool = False
    problem: str = ""
    broken: str = ""


def model_gate(facts: ModelFacts) -> GateResult | None:
    """Whether the merged model can be used; None where there is nothing to be said of it."""
    if facts.removed:
        return GateResult(
            "model", FAIL, "the merge takes saltbranch.yaml away, and with it all gates"
        )
    if facts.problem:
        return GateResult(
            "model", FAIL, f"saltbranch.yaml of the merge is not valid: {facts.problem}"
        )
    if facts.broken and not facts.changed:
        reason = f"{facts.broken}; until that is repaired, only what brings a valid saltbranch.yaml can be promoted"
        return GateResult("model", FAIL, reason)
    if facts.broken:
        return GateResult("model", PASS, "it brings a valid saltbranch.yaml")
    return (
        GateResult("model", PASS, "saltbranch.yaml changes, and is valid")
        if facts.changed
        else None
    )


def ticket_gate(groups: Iterable[Group], pattern: re.Pattern[str]) -> GateResult:
    """Whether every commit, merges aside, names a ticket, or came by a branch that does."""
    bare = [
        c for g in groups if not tickets.find(g.name, pattern) for c in g.commits if not c.tickets
    ]
    if not bare:
        return GateResult("ticket", PASS, "every commit names a ticket")
    first = "; ".join(f"{c.commit[:12]} {c.subject}" for c in bare[:3])
    more = f" and {len(bare) - 3} more" if len(bare) > 3 else ""
    return GateResult("ticket", FAIL, f"no ticket is named by {first}{more}")


def identical_gate(merged_tree: str, served_tree: str, source: str) -> GateResult:
    """Whether the merged tree, owned paths aside, is the one that the source saltenv serves."""
    if merged_tree == served_tree:
        return GateResult("identical", PASS, f"the same tree as {source} serves")
    reason = f"the merged tree {merged_tree[:12]} is not the one that {source} serves ({served_tree[:12]})"
    return GateResult("identical", FAIL, reason)


def soak_gate(
    gate: SoakGate,
    source: str,
    residences: Iterable[Residence],
    contains: Callable[[str], bool],
    *,
    now: float,
    made: float = 0,
) -> GateResult:
    """Whether `source` has served the commit for as long as `gate` asks, on the master that has served it longest.

    residences: of all masters and commits of `source`. contains: whether a served commit contains the
    promoted one, so a newer commit does not start the clock anew; one that lacks it (a rollback) does. made: when the
    promoted commit was, in seconds since 1970: a master whose clock is far behind cannot have served it before.
    """
    rows = [r for r in residences if r.saltenv == source]
    if not rows:
        reason = f"no master has recorded what it serves as {source} (record_syncs: true in its saltbranch.yaml)"
        return GateResult("soak", CANNOT_TELL, reason)
    known = functools.cache(contains)
    by_master: dict[str, list[Residence]] = {}
    for row in rows:
        by_master.setdefault(row.master, []).append(row)
    starts = [s for mine in by_master.values() if (s := _start(mine, known, now)) is not None]
    if not starts:
        return GateResult("soak", FAIL, f"{source} does not serve this commit yet")
    begin = min(starts)
    if begin < made - SLACK:
        begin = min(made, now)
    if now - begin >= gate.seconds:
        since = shown_duration(now - begin)
        return GateResult(
            "soak",
            PASS,
            f"served by {source} for {since}, asked are {shown_duration(gate.seconds)}",
        )
    reason = (
        f"served by {source} for {shown_duration(now - begin)} of {shown_duration(gate.seconds)}"
    )
    return GateResult("soak", FAIL, reason, begin + gate.seconds)


def _start(rows: Sequence[Residence], contains: Callable[[str], bool], now: float) -> float | None:
    """Since when a master has served the commit without a break; None when it does not now.

    rows: what it said, in the journal's order, which does not depend on its clock. What was served before the newest
    one that lacks the commit is not asked for. A start that lies ahead counts from now.
    """
    start = None
    for row in reversed(rows):
        if not contains(row.commit):
            break
        start = row.since if start is None else min(row.since, start)
    return min(start, now) if start is not None else None


# diff and check: what the plan makes of the minions, and the files it is made from


@dataclass(frozen=True, slots=True)
class DiffFacts:
    """What the gate `diff` has to know of a diff.

    failed: minions that were not compiled. worse: compiled in part, with errors that the target does not have yet;
    as_bad: compiled in part, with none of that kind. removed_states: summed over the minions. code: files that Salt
    syncs to minions and that differ; whom they change nobody can count.
    """

    digest: str
    changed: int
    removed_states: int
    failed: tuple[str, ...] = ()
    worse: tuple[str, ...] = ()
    as_bad: tuple[str, ...] = ()
    code: tuple[str, ...] = ()


def facts_of(diff: FleetDiff, digest: str) -> DiffFacts:
    """The facts of `diff`, whose digest is `digest`."""
    partial = [m for m in diff.minions if m.result == "partial"]
    return DiffFacts(
        digest=digest,
        changed=diff.changed,
        removed_states=diff.removed_states,
        failed=tuple(m.minion for m in diff.failed),
        worse=tuple(m.minion for m in partial if m.has_new_errors),
        as_bad=tuple(m.minion for m in partial if not m.has_new_errors),
        code=tuple(c.path for c in diff.code),
    )


def check_reviewed(digest: str | None) -> str:
    """The beginning of a diff's digest as a person gave it; empty for None. Raises UsageError."""
    if digest is None:
        return ""
    if not SHORTEST_DIGEST <= len(digest) <= 64 or digest.strip("0123456789abcdef"):
        raise UsageError(
            f"{digest!r} is not the digest of a diff",
            hint=f"saltbranch diff SALTENV and --plan show it; {SHORTEST_DIGEST} digits of it are enough",
        )
    return digest


def diff_gate(
    gate: DiffGate, facts: DiffFacts | None, *, why_none: str, reviewed: str, expected: bool
) -> GateResult:
    """Whether the diff of a plan is within `gate`.

    facts: None where there is no diff, why_none says why. reviewed: how the digest begins that somebody
    reviewed; expected: somebody named the digest of the plan.
    """
    if facts is None:
        return GateResult("diff", CANNOT_TELL, f"no diff: {why_none}")
    problems = [*_unknown(facts), *_beyond(gate, facts)]
    if gate.reviewed and not reviewed:
        problems.append("the diff is not marked as reviewed: pass --reviewed with its digest")
    elif gate.reviewed and not facts.digest.startswith(reviewed):
        problems.append(f"what was reviewed is {reviewed}, and this is {facts.digest[:16]}")
    if gate.expect and not expected:
        problems.append("no plan was named: pass --expect with its digest")
    if problems:
        return GateResult("diff", FAIL, "; ".join(problems))
    changed = (
        f"{many(facts.changed, 'minion')} changed, {many(facts.removed_states, 'state')} removed"
    )
    same = f"; {len(facts.as_bad)} compiled in part, as before" if facts.as_bad else ""
    code = f"; in addition, synced code differs: {some(facts.code, 3)}" if facts.code else ""
    return GateResult("diff", PASS, changed + same + code)


def _unknown(facts: DiffFacts) -> list[str]:
    rows = (("not compiled", facts.failed), ("compiled in part only", facts.worse))
    return [f"{what}: {some(names, 3)}" for what, names in rows if names]


def _beyond(gate: DiffGate, facts: DiffFacts) -> list[str]:
    rows = (
        ("minion", "changed", facts.changed, gate.minions),
        ("state", "removed", facts.removed_states, gate.removed_states),
    )
    return [
        f"{many(number, noun)} {done}, {most} may be"
        for noun, done, number, most in rows
        if most is not None and number > most
    ]


def check_gate(errors: Sequence[Finding]) -> GateResult:
    """Whether the merged files have errors that the target's have not. errors: those."""
    if not errors:
        return GateResult("check", PASS, "no new errors")
    first = "; ".join(f"{e.file}:{e.line} {e.message[:200]}" for e in errors[:3])
    more = f" and {len(errors) - 3} more" if len(errors) > 3 else ""
    return GateResult("check", FAIL, f"{many(len(errors), 'new error')}: {first}{more}")
