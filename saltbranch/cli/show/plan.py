"""A plan, and what became of it, for people."""

from __future__ import annotations

from saltbranch.base.durations import when_passing
from saltbranch.base.text import printable
from saltbranch.cli.show import formulas
from saltbranch.cli.terminal import echo
from saltbranch.git.merge import CONFLICT, FAST_FORWARD, UP_TO_DATE
from saltbranch.promote.gates import GateResult
from saltbranch.promote.plan import BACK_MERGE, DELETE, Conflict, Plan, Step

_MOST = 15


def show(plan: Plan, now: float) -> None:
    """Write the plan to stdout."""
    for line in lines(plan, now):
        echo(line)


def lines(plan: Plan, now: float) -> list[str]:
    """The plan, a line each; everything that strangers wrote is cleaned."""
    target = plan.target
    where = f"{plan.saltenv} ({target.branch})" if plan.saltenv else target.branch
    if plan.is_empty:
        nothing = f"{where} has all of {target.source_name}: nothing to do"
        return [*map(printable, [nothing, *_notes(plan), *_left_behind(plan, where)])]
    found = [f"{plan.verb}: {_merge(target)}", *_steps(plan), *_changes(plan), *_conflicts(plan)]
    if plan.tag:
        what = f"{target.source[:12]}" if plan.tag_source else "the result"
        found.append(f"  tag {plan.tag} on {what}")
    found += _left_behind(plan, where)
    found += _diff(plan)
    found += [f"  gate {_gate(g, now)}" for g in plan.gates]
    found += [f"  note: {n}" for n in _notes(plan)]
    if plan.model:
        found.append(f"  model: {plan.model.shown()}")
    return [*map(printable, found), f"  digest {plan.digest}"]


def _diff(plan: Plan) -> list[str]:
    if plan.diff is None:
        return []
    from saltbranch.cli.show import diff  # it brings the compiler along

    promotion = plan.kind == "promotion"
    where = f"saltbranch diff {plan.saltenv}" if promotion else "--plan --json"
    found = diff.brief(plan.diff, plan.diff_digest, where)
    return [f"  {part}" for line in found for part in diff.folded(line, 78)]


def _notes(plan: Plan) -> list[str]:
    return list(plan.notes)


def _left_behind(plan: Plan, where: str) -> list[str]:
    if not plan.left_behind:
        return []
    what = f"saltbranch backmerge {plan.source} brings it there"
    if plan.is_conflict:
        what = "it may get it by the back-merge, once the conflict is resolved"
    elif _heals(plan):
        what = "it gets it by the back-merge"
    found = [f"  left behind: {plan.source} lacks what {where} has; {what}"]
    found += [_commit(c.commit, c.subject, c.author) for c in plan.left_behind[:_MOST]]
    more = len(plan.left_behind) - _MOST
    return [*found, *([f"    and {more} more"] if more > 0 else [])]


def _heals(plan: Plan) -> bool:
    return any(s.role == BACK_MERGE and s.kind != CONFLICT for s in plan.steps)


def _merge(step: Step) -> str:
    what = f"{step.source_name} {step.source[:12]} into {step.branch} {step.old[:12]}"
    match step.kind:
        case "conflict":
            return f"{what} conflicts"
        case "fast-forward":
            return f"{step.branch} {step.old[:12]} is fast-forwarded to {step.source[:12]}"
        case "up-to-date":
            return (
                f"{step.branch} {step.old[:12]} has {step.source_name} {step.source[:12]} already"
            )
    return f"{what}, by a merge commit"


def _steps(plan: Plan) -> list[str]:
    found = []
    for step in plan.steps[1:]:
        if step.role == DELETE:
            found.append(f"  the branch {step.branch} is removed ({step.old[:12]})")
        elif step.kind == CONFLICT:
            paths = ", ".join(repr(c.path) for c in step.conflicts[:3])
            found.append(
                f"  back-merge into {step.branch} conflicts in {paths}: recorded as a debt, which stops promotions"
                f" there until saltbranch backmerge {step.saltenv or step.branch}"
            )
        elif step.kind != UP_TO_DATE:
            how = "fast-forwarded" if step.kind == FAST_FORWARD else "merged"
            found.append(f"  back-merge into {step.branch} {step.old[:12]}, {how}")
    return found


def _changes(plan: Plan) -> list[str]:
    changes = plan.changes
    if not changes.groups and not changes.files:
        return []
    found = [f"  {_many(changes.commits, 'commit')}, {_many(len(changes.files), 'file')}"]
    for group in changes.groups:
        found.append(f"  {group.name or 'without a ticket'}")
        found += [_commit(c.commit, c.subject, c.author) for c in group.commits[:_MOST]]
        if len(group.commits) > _MOST:
            found.append(f"    and {len(group.commits) - _MOST} more")
    for word, names in (("states", changes.states), ("pillar", changes.pillar)):
        if names:
            found.append(f"  {word}: {_some(names)}")
    found += [f"  {line}" for change in changes.formulas for line in formulas.lines_of(change)]
    pins = {change.path for change in changes.formulas}
    rest = [pair for pair in changes.files if not pair[1].endswith(".sls") and pair[1] not in pins]
    other = [f"{letter} {path}" for letter, path in rest]
    if other:
        found.append(f"  other files: {_some(other)}")
    return found


def _some(names: tuple[str, ...] | list[str]) -> str:
    shown = ", ".join(names[:_MOST])
    return shown + (f" and {len(names) - _MOST} more" if len(names) > _MOST else "")


def _many(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _commit(commit: str, subject: str, author: str) -> str:
    return f"    {commit[:12]} {subject} ({author})"


def _conflicts(plan: Plan) -> list[str]:
    found = []
    for conflict in plan.target.conflicts:
        found.append(f"  conflict in {conflict.path!r}")
        found += _sides(plan.target.branch, plan.target.source_name, conflict)
    return found


def _sides(branch: str, source: str, conflict: Conflict) -> list[str]:
    found = []
    for name, commits in ((branch, conflict.ours), (source, conflict.theirs)):
        found += [f"    {name}: {c.commit[:12]} {c.subject} ({c.author})" for c in commits[:5]]
    return found


def gate_line(gate: GateResult, now: float) -> str:
    """One gate, for people."""
    return printable(_gate(gate, now))


def _gate(gate: GateResult, now: float) -> str:
    text = f"{gate.name}: {gate.verdict}, {gate.reason}"
    if gate.passes_at is not None and gate.passes_at > now:
        text += f"; {when_passing(gate.passes_at, now)}"
    if gate.overridden is not None:
        text += f"; OVERRIDDEN: {gate.overridden}"
    return text.replace("\n", " ")
