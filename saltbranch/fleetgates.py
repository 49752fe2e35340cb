"""The gates that look at what a plan makes of the minions, and at the files it is made from: diff and check. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from saltbranch.base.text import many
from saltbranch.errors import UsageError
from saltbranch.gates import CANNOT_TELL, FAIL, PASS, DiffRule, GateResult

TYPE_CHECKING = False
if TYPE_CHECKING:
    from saltbranch.checks import Finding
    from saltbranch.fleetdiff import FleetDiff

SHORTEST_DIGEST = 6


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
    rule: DiffRule, facts: DiffFacts | None, *, why_none: str, reviewed: str, expected: bool
) -> GateResult:
    """Whether the diff of a plan is within `rule`.

    facts: None where there is no diff, why_none says why. reviewed: how the digest begins that somebody
    reviewed; expected: somebody named the digest of the plan.
    """
    if facts is None:
        return GateResult("diff", CANNOT_TELL, f"no diff: {why_none}")
    problems = [*_unknown(facts), *_beyond(rule, facts)]
    if rule.reviewed and not reviewed:
        problems.append("nobody says that it was reviewed: --reviewed with the digest of the diff")
    elif rule.reviewed and not facts.digest.startswith(reviewed):
        problems.append(f"what was reviewed is {reviewed}, and this is {facts.digest[:16]}")
    if rule.expect and not expected:
        problems.append("nobody names the plan: --expect with its digest")
    if problems:
        return GateResult("diff", FAIL, "; ".join(problems))
    changed = (
        f"{many(facts.changed, 'minion')} changed, {many(facts.removed_states, 'state')} removed"
    )
    same = f"; {len(facts.as_bad)} compiled in part, as before" if facts.as_bad else ""
    code = f"; besides, synced code differs: {some(facts.code)}" if facts.code else ""
    return GateResult("diff", PASS, changed + same + code)


def _unknown(facts: DiffFacts) -> list[str]:
    rows = (("not compiled", facts.failed), ("compiled in part only", facts.worse))
    return [f"{what}: {some(names)}" for what, names in rows if names]


def _beyond(rule: DiffRule, facts: DiffFacts) -> list[str]:
    rows = (
        ("minion", "changed", facts.changed, rule.minions),
        ("state", "removed", facts.removed_states, rule.removed_states),
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


def some(names: Sequence[str]) -> str:
    """The first names, and how many more."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
