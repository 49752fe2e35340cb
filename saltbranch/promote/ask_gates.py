"""Ask the gates of a saltenv about a plan: the facts are gathered here, the rules are in promote/gates.py."""

from __future__ import annotations

from functools import partial
from typing import NoReturn

from saltbranch.base.errors import ConfigError, GitError, Interrupted, SaltbranchError
from saltbranch.config.gates import (
    ApprovalsGate,
    CheckGate,
    CommandGate,
    DebtsGate,
    DiffGate,
    Gate,
    HoldGate,
    IdenticalGate,
    ModelGate,
    SoakGate,
    TicketGate,
    VerifiedGate,
    WindowGate,
)
from saltbranch.config.keys import FileModel
from saltbranch.config.model import Config, owned_paths
from saltbranch.config.roots import KEYS
from saltbranch.git import merge
from saltbranch.git.merge import MERGE, UP_TO_DATE
from saltbranch.git.program import Git
from saltbranch.notify import hooks
from saltbranch.promote import gate_verified, gates, gates_by_verb
from saltbranch.promote.gates import CANNOT_TELL, FAIL, PASS, GateResult, ModelFacts
from saltbranch.promote.plan import RECORDED, Plan
from saltbranch.promote.request import Request, provisional
from saltbranch.repository import model_file
from saltbranch.repository.workplace import Workplace
from saltbranch.salt_master import options as master_options

# They take a while, or run a program: only somebody who wants to promote asks them.
_SLOW = (DiffGate, CheckGate, CommandGate)


def results(
    work: Workplace, request: Request, found: Plan, *, commands: bool
) -> tuple[GateResult, ...]:
    """What the gates of the target saltenv say. commands: ask those that take a while, too. Raises GitError."""
    if request.saltenv is None or found.target.kind == UP_TO_DATE:
        return ()
    said = (
        ask(work, request, found, gate)
        if commands or not isinstance(gate, _SLOW)
        else GateResult(gate.name, CANNOT_TELL, f"saltbranch why-not {found.saltenv} asks it")
        for gate in request.gates
        if not gates_by_verb.why_not(request.kind, gate.kind)
    )
    return tuple(result for result in (*said, _signed(work, request, found)) if result is not None)


def _signed(work: Workplace, request: Request, found: Plan) -> GateResult | None:
    """Of a saltenv with `require_signed` it is always asked."""
    if not any(s and s.require_signed for s in (request.saltenv, request.source_saltenv)):
        return None
    from saltbranch.promote import signed  # only where it is asked for

    return signed.gate(work, request, found)


def commands(work: Workplace, request: Request) -> list[tuple[str, ...]]:
    """The programs that promoting runs: those of the gates, and the hooks. Raises ConfigError."""
    asked = not gates_by_verb.why_not(request.kind, "command")
    found = [g.argv for g in request.gates if isinstance(g, CommandGate) and asked]
    return found + (
        [argv for _, argv in hooks.configured(work.config)] if request.kind in RECORDED else []
    )


def ask(work: Workplace, request: Request, found: Plan, gate: Gate) -> GateResult | None:
    """What one gate says; None where there is nothing to be said. Raises GitError."""
    match gate:
        case HoldGate():
            return _hold_gate(work, request, found)
        case DebtsGate():
            source = request.source_saltenv
            names = [request.branch, source.branch if source else request.source_name]
            return gates.debts_gate(work.open_debts(), names)
        case SoakGate():
            return _soak_gate(work, request, gate)
        case VerifiedGate():
            return _verified_gate(work, request, gate)
        case TicketGate():
            return gates.ticket_gate(found.changes.groups, work.pattern)
        case WindowGate():
            from saltbranch.promote import windows  # only where one is asked for

            return windows.window_gate(gate, work.now)
        case _ if found.is_conflict:
            return GateResult(
                gate.name, CANNOT_TELL, "the merge conflicts, so there is no tree to check"
            )
        case _:
            return _ask_of_tree(work, request, found, gate)


def _ask_of_tree(
    work: Workplace,
    request: Request,
    found: Plan,
    gate: ModelGate | IdenticalGate | ApprovalsGate | DiffGate | CheckGate | CommandGate,
) -> GateResult | None:
    """The gates that look at what is made; the plan has no conflict."""
    match gate:
        case ModelGate():
            return gates.model_gate(_model_facts(work, request, found))
        case IdenticalGate():
            return _identical_gate(work, request, provisional(work, found.target))
        case ApprovalsGate():
            return _approvals_gate(work, request, found, gate)
        case DiffGate():
            return _diff_gate(request, found, gate)
        case CheckGate():
            return _check_gate(work, found, gate, provisional(work, found.target))
        case CommandGate():
            return _command_gate(work, found, gate, provisional(work, found.target))
        case _:
            raise _unknown(gate)


def _unknown(gate: NoReturn) -> AssertionError:
    """Of a kind that nobody judges. The type checker finds it; nothing is let through, and nothing run, by it."""
    return AssertionError(f"a gate of an unknown kind: {gate!r}")


def _hold_gate(work: Workplace, request: Request, found: Plan) -> GateResult:
    if problem := work.repo.problem:
        return GateResult(
            "hold", CANNOT_TELL, f"what is held is not known: {problem.message} ({problem.hint})"
        )
    source = work.hold(request.source_saltenv) if request.source_saltenv else None
    beyond = source is not None and not work.git.is_ancestor(request.source, source.commit)
    return gates.hold_gate(
        found.hold,
        source,
        beyond_source=beyond,
        brings_news=found.target.moves or found.is_conflict,
        hotfix=request.kind == "hotfix",
        of_all=work.state.hold_of_all(work.now),
    )


def _model_facts(work: Workplace, request: Request, found: Plan) -> ModelFacts:
    """Of exactly the tree that is made: whatever any verb would stumble over is found before anything moves."""
    target = found.target
    tree = target.tree if target.kind == MERGE else target.source
    return model_facts(work, target.old, tree, is_back_merge=request.kind == "back-merge")


def model_facts(
    work: Workplace, before: str, tree: str, *, is_back_merge: bool = False
) -> ModelFacts:
    """What the model of `tree` is, a tree or a commit that comes after the commit `before`. Raises GitError."""
    git = work.git
    old, new = model_file.file_of(git, before), model_file.file_of(git, tree)
    broken = work.config.source.problem
    if new is None or (new == old and is_back_merge):
        return ModelFacts(changed=False, removed=new is None and old is not None, broken=broken)
    try:
        merged = model_file.read_at(git, tree, work.config.source.branch or "")
        _check_production(work.config, merged)
    except ConfigError as err:
        return ModelFacts(changed=new != old, problem=str(err), broken=broken)
    lost = [
        (n, s.branch)
        for n, s in (merged.saltenvs or {}).items()
        if s.branch not in work.refs.branches and not work.is_unread(s.branch)
    ]
    what = "; ".join(f"saltenvs.{n}.branch: the remote has no branch {b!r}" for n, b in lost)
    what = what or (_unknown_zone(merged) if new != old else "")
    what = what or _signers_problem(git, tree, merged)
    return ModelFacts(changed=new != old, problem=what, broken=broken)


def _unknown_zone(merged: FileModel) -> str:
    if not _has_gate(merged, "window"):
        return ""
    from saltbranch.promote import windows  # as in ask

    return windows.unknown_zone(merged)


def _has_gate(merged: FileModel, kind: str) -> bool:
    gates_of_all = [g for s in (merged.saltenvs or {}).values() for g in s.gates]
    return any(isinstance(gate, dict) and kind in gate for gate in gates_of_all)


def _signers_problem(git: Git, tree: str, merged: FileModel) -> str:
    required = any(s.require_signed for s in (merged.saltenvs or {}).values())
    if not required and not _has_gate(merged, "approvals"):
        return ""
    from saltbranch.repository import signers  # as in _approvals_gate

    return signers.problem_of(git, tree, merged)


def _check_production(config: Config, merged: FileModel) -> None:
    """Refuse a model by which nothing could be promoted to production any more. Raises ConfigError."""
    branch = config.source.branch
    now = config.of_branch(branch) if branch else None
    if now is None:
        return
    new = (merged.saltenvs or {}).get(now.name)
    if new is None or new.branch != now.branch:
        raise ConfigError(
            f"saltenvs.{now.name}, which is production, would not be that of {now.branch} any more"
        )
    if now.promote_from and not new.promote_from:
        raise ConfigError(
            f"saltenvs.{now.name}: without promote_from nothing could be promoted to production"
        )


def _soak_gate(work: Workplace, request: Request, gate: SoakGate) -> GateResult:
    source = request.source_saltenv
    if source is None:
        return _untested(request, gate)
    contains = partial(_contains, work, request)
    made = float(
        work.git.out("log", "-1", "--format=%ct", "--end-of-options", request.source).strip()
    )
    if gate.from_verified:
        told = work.state.verified.get(source.name, [])
        return gate_verified.soak_since_verified(
            gate, source.name, told, contains, now=work.now, made=made
        )
    rows = work.state.residences
    return gates.soak_gate(gate, source.name, rows, contains, now=work.now, made=made)


def _verified_gate(work: Workplace, request: Request, gate: VerifiedGate) -> GateResult:
    source = request.source_saltenv
    if source is None:
        return _untested(request, gate)
    told = work.state.verified.get(source.name, [])
    contains = partial(_contains, work, request)
    return gate_verified.verified_gate(gate, source.name, told, contains, now=work.now)


def _untested(request: Request, gate: Gate) -> GateResult:
    reason = f"{request.source_name} is not served by any saltenv, so it is untested"
    return GateResult(gate.name, CANNOT_TELL, reason)


def _contains(work: Workplace, request: Request, commit: str) -> bool:
    """Whether `commit`, of the journal, contains what is promoted."""
    known = work.git.commit_or_none(commit) is not None
    return known and work.git.is_ancestor(request.source, commit)


def _identical_gate(work: Workplace, request: Request, result: str) -> GateResult:
    source = request.source_saltenv
    served = work.wanted(source).commit if source else None
    if source is None or served is None:
        reason = f"{request.source_name} is served by no saltenv"
        return GateResult("identical", CANNOT_TELL, reason)
    owned = owned_paths(request.saltenv, source)
    tree = merge.without(work.git, result, owned, served)
    return gates.identical_gate(tree, merge.tree_of(work.git, served), source.name)


def _approvals_gate(
    work: Workplace, request: Request, found: Plan, gate: ApprovalsGate
) -> GateResult:
    if request.asks_for_diff and not found.diff_counts:
        reason = f"the plan's digest covers its diff: saltbranch why-not {found.saltenv} makes it"
        return GateResult(gate.name, CANNOT_TELL, reason)
    from saltbranch.promote import approvals  # only where they are asked for

    told = approvals.find(work, gate, found)
    return approvals.approvals_gate(gate, told, found.saltenv, found.whole_digest)


def _diff_gate(request: Request, found: Plan, gate: DiffGate) -> GateResult:
    asked = request.diff
    return gates.diff_gate(
        gate,
        gates.facts_of(found.diff, found.diff_digest) if found.diff else None,
        why_none=found.diff_missing,
        reviewed=asked.reviewed,
        expected=asked.expected,
    )


def _check_gate(work: Workplace, found: Plan, gate: CheckGate, result: str) -> GateResult:
    """New errors of the merged files. It imports what parses states only where somebody wants that."""
    from saltbranch.check.commit import check_commit

    static = "check: static in gates would look at the files alone"
    config = work.config
    why = "" if gate.static else master_options.no_fleet(config.fleet, config.salt_config)
    if why:
        return GateResult("check", CANNOT_TELL, f"{why}; {static}")
    try:
        done = check_commit(
            work.git,
            work.config,
            result,
            since=found.target.old,
            compiled=not gate.static,
            saltenv=found.saltenv,
        )
    except (Interrupted, GitError):
        raise
    except (SaltbranchError, OSError) as err:
        return GateResult("check", CANNOT_TELL, f"{err}" + ("" if gate.static else f"; {static}"))
    errors = [f for f in done.findings if f.severity == "error"]
    if not errors and not gate.static and done.compiled.missing:
        return GateResult("check", CANNOT_TELL, f"{done.compiled.missing}; {static}")
    return gates.check_gate(errors)


def _command_gate(work: Workplace, found: Plan, gate: CommandGate, result: str) -> GateResult:
    if not work.programs.may_run(gate.argv):
        return GateResult(gate.name, CANNOT_TELL, work.programs.why_not(gate.argv))
    payload = {
        **found.as_dict(),
        "gate": gate.name,
        "merged_commit": result,
        "git_dir": work.git.directory,
        **{key: work.config.roots.written(kind) for kind, key in KEYS.items()},
    }
    passed, said = hooks.run(gate.argv, payload, timeout=gate.timeout)
    first = said.strip() or f"{gate.argv[0]} ended with 0"
    verdict = CANNOT_TELL if passed is None else PASS if passed else FAIL
    return GateResult(gate.name, verdict, first)


def is_slow(gate: Gate) -> bool:
    """Whether `gate` compiles or runs a program, so that only who wants to promote asks it."""
    return isinstance(gate, _SLOW)
