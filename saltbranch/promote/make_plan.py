"""From what a verb asks for to the plan: the merges, what they bring, and what the gates say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from saltbranch.base import tickets
from saltbranch.base.errors import RefusedError, UsageError
from saltbranch.config.model import owned_paths
from saltbranch.config.roots import PILLAR, STATES
from saltbranch.git import merge
from saltbranch.git.merge import CONFLICT, MERGE, UP_TO_DATE
from saltbranch.git.program import branch_name_problem
from saltbranch.journal.facts import Debt
from saltbranch.promote import ask_gates, gates, plan_diff, plan_notes
from saltbranch.promote import commits as merging
from saltbranch.promote.plan import BACK_MERGE, DELETE, TARGET, Changes, Plan, Step, sls_names
from saltbranch.promote.request import Request, provisional
from saltbranch.repository import pin_conflicts
from saltbranch.repository.formulas import formulas_of
from saltbranch.repository.workplace import Workplace


def plan(work: Workplace, request: Request, *, commands: bool = True) -> Plan:
    """The plan for `request`, of the remote as it was last read.

    commands: compile, and ask the gates that are programs, too. Objects are written into the repository, no ref is.
    Raises RefusedError, UsageError, GitError.
    """
    old = work.branch_head(request.branch)
    beyond, brought = merging.both_sides(work.git, old, request.source, work.pattern)
    target = _target(work, request, old, news=bool(brought))
    changes = _changes(work, request, target, brought)
    if request.kind == "promotion" and target.moves and not (changes.groups or changes.files):
        # Merges that bring nothing, such as those of back-merges: promoting them would only make more of them.
        target, changes = replace(target, kind=UP_TO_DATE), Changes()
    behind = _left_behind(work, request, old, beyond)
    needed = target.moves and (
        bool(behind or request.resolved) or _is_missing_below(work, request, target)
    )
    backs = _back_merges(work, request, target, needed=needed)
    saltenv = request.saltenv
    hold = work.hold(saltenv) if saltenv else None
    hotfix = request.kind == "hotfix"
    found = Plan(
        verb=request.verb,
        kind=request.kind,
        saltenv=saltenv.name if saltenv else "",
        source=request.source_saltenv.name if request.source_saltenv else request.source_name,
        source_saltenv=request.source_saltenv.name if request.source_saltenv else "",
        steps=(target, *backs, *_deletes(work, request)),
        changes=changes,
        left_behind=tuple(behind),
        debts=(*_debts(work, request, backs), *_debts_unread(work, request, target, needed=needed)),
        tag=_tag(work, request, target),
        tag_source=request.tag_source,
        served_before=work.wanted(saltenv).commit if saltenv else None,
        hold=hold,
        lifts_hold=bool(hold and hold.kind == "rollback" and not hotfix and target.moves),
        hold_moves_to=request.source if hold and hotfix else None,
        via_branch=request.via_branch,
        resolved=request.resolved is not None,
        overrides=_overrides(request),
        model=work.config.source,
    )
    if commands:
        found = plan_diff.added(work, request, found)
    results = ask_gates.results(work, request, found, commands=commands)
    found = replace(found, gates=gates.override(results, found.overrides))
    return replace(found, notes=(*plan_notes.notes(work, request, found), *found.notes))


def _deletes(work: Workplace, request: Request) -> Iterator[Step]:
    """The branches that go with the promotion."""
    for branch in request.delete:
        if branch in work.refs.branches:
            yield Step(
                role=DELETE,
                branch=branch,
                saltenv="",
                old=work.branch_head(branch),
                source="",
                source_name="",
                kind=MERGE,
                tree="",
            )


def _debts(work: Workplace, request: Request, backs: Sequence[Step]) -> Iterator[Debt]:
    """What back-merges that conflict leave to be merged by a person."""
    for step in backs:
        if step.kind == CONFLICT:
            paths = tuple(conflict.path for conflict in step.conflicts)
            yield Debt(
                id="",
                branch=step.branch,
                commit=step.source,
                origin=request.source_name,
                files=paths,
                time=work.now,
            )


def _target(work: Workplace, request: Request, old: str, *, news: bool) -> Step:
    saltenv = request.saltenv
    owned = owned_paths(saltenv, request.source_saltenv)
    straight = saltenv is not None and saltenv.mode == "fast-forward" and not request.via_branch
    if request.resolved:
        tree, seen = request.resolved
        if seen != old and work.git.is_ancestor(request.source, old):
            merged = merge.Merged(UP_TO_DATE, merge.tree_of(work.git, old))
        elif seen != old:
            raise RefusedError(
                f"{request.branch} has moved on since the conflict was resolved, from {seen[:12]} to {old[:12]}",
                hint=f"saltbranch {request.verb} --abort, then resolve it anew (git rerere remembers what you did)",
            )
        else:
            merged = merge.Merged(MERGE, tree, theirs=request.source)
    elif not news:
        merged = merge.Merged(UP_TO_DATE, "", theirs=request.source)
    elif straight:
        merged = merge.merge(work.git, old, request.source, owned)
    else:
        # Always a merge commit: it says what was promoted, when and by whom.
        merged = merge.merge_trees(work.git, old, request.source, owned)
    merged = _settled(work, old, merged)
    kind = merged.kind
    if straight and kind in (MERGE, CONFLICT) and request.kind == "promotion":
        raise RefusedError(
            f"{request.branch} cannot be fast-forwarded to {request.source[:12]}: it has commits that"
            f" {request.source_name} lacks",
            hint=f"saltbranch backmerge brings them there first, or set mode: merge for {request.branch}",
        )
    found = merging.conflicts(
        work.git, old, merged.theirs, merged.conflicts if kind == CONFLICT else (), work.pattern
    )
    return Step(
        role=TARGET,
        branch=request.branch,
        saltenv=saltenv.name if saltenv else "",
        old=old,
        source=request.source,
        source_name=request.source_name,
        kind=kind,
        tree=merged.tree,
        conflicts=found,
        theirs=merged.theirs,
        said=merged.said,
    )


def _settled(work: Workplace, old: str, merged: merge.Merged) -> merge.Merged:
    """With the pins of formulas resolved where one contains the other."""
    if merged.kind != CONFLICT:
        return merged
    return pin_conflicts.settled(work.git, old, merged, formulas_of(work).find)


def _left_behind(
    work: Workplace, request: Request, old: str, beyond: list[tickets.CommitLine]
) -> list[tickets.CommitLine]:
    if not request.source_saltenv:
        return []
    owned = owned_paths(request.saltenv, request.source_saltenv)
    source = work.head(request.source_saltenv)
    return merging.left_behind(work.git, source, old, beyond, owned)


def _is_missing_below(work: Workplace, request: Request, target: Step) -> bool:
    """Whether a branch below the source lacks what is promoted: somebody pushed it to the source past that branch."""
    if not request.only_if_needed or target.kind == UP_TO_DATE:
        return False
    owned = owned_paths(request.saltenv, request.source_saltenv)
    paths = ["--", ".", *(f":(exclude,literal){p}" for p in owned)] if owned else []
    heads = [work.refs.branches.get(b) for b in request.back_to if b != request.source_name]
    args = ("rev-list", "-n1", "--no-merges", "--end-of-options", request.source)
    return any(work.git.out(*args, f"^{head}", *paths) for head in heads if head)


def _back_merges(work: Workplace, request: Request, target: Step, *, needed: bool) -> list[Step]:
    if target.kind == CONFLICT or (request.only_if_needed and not needed) or not request.back_to:
        return []
    found, result = [], provisional(work, target)
    for branch in request.back_to:
        if branch not in work.refs.branches:
            continue
        saltenv, old = work.config.of_branch(branch), work.refs.branches[branch]
        merged = merge.merge(work.git, old, result, owned_paths(saltenv, request.saltenv))
        merged = _settled(work, old, merged)
        names = merged.conflicts if merged.kind == CONFLICT else ()
        found.append(
            Step(
                role=BACK_MERGE,
                branch=branch,
                saltenv=saltenv.name if saltenv else "",
                old=old,
                source=result,
                source_name=request.branch,
                kind=merged.kind,
                tree=merged.tree,
                conflicts=merging.conflicts(work.git, old, merged.theirs, names, work.pattern),
                theirs=merged.theirs,
                said=merged.said,
            )
        )
    return [s for s in found if s.kind != UP_TO_DATE]


def _debts_unread(
    work: Workplace, request: Request, target: Step, *, needed: bool
) -> tuple[Debt, ...]:
    """Branches below that could not be read, so that they cannot get the result now."""
    if target.kind == CONFLICT or not target.moves or (request.only_if_needed and not needed):
        return ()
    lost = [branch for branch in request.back_to if work.is_unread(branch)]
    return tuple(
        Debt(
            id="",
            branch=b,
            commit=target.source,
            origin=request.source_name,
            files=(),
            time=work.now,
        )
        for b in lost
    )


def _changes(
    work: Workplace, request: Request, target: Step, commits: list[tickets.CommitLine]
) -> Changes:
    if target.kind == UP_TO_DATE:
        return Changes()
    files: tuple[tuple[str, str], ...] = ()
    if target.kind != CONFLICT:
        files = tuple(merging.changed_files(work.git, target.old, target.tree))
    default = _topic_name(work, request)
    branch = tickets.find(default, work.pattern)
    found = [*branch, *(name for c in commits for name in c.tickets)]
    return Changes(
        groups=tickets.group(commits, default),
        files=files,
        states=sls_names(files, work.config.roots, STATES),
        pillar=sls_names(files, work.config.roots, PILLAR),
        tickets=tuple(dict.fromkeys(found)),
        formulas=formulas_of(work).changes(target.old, target.tree) if files else (),
    )


def _topic_name(work: Workplace, request: Request) -> str:
    """The ticket, or the name, of a topic branch; empty when it is not one."""
    flow = work.config.flow
    for prefix in (flow.feature, flow.release, flow.hotfix):
        if request.source_name.startswith(prefix):
            name = request.source_name[len(prefix) :]
            return next(iter(tickets.find(name, work.pattern)), name)
    return ""


def _tag(work: Workplace, request: Request, target: Step) -> str:
    """The tag to make; empty when it is there already. Raises UsageError, RefusedError."""
    name = request.tag
    if not name:
        return ""
    if request.via_branch:
        raise UsageError(
            "--tag and --via branch exclude each other: the commit to tag is there only after the pull request",
            hint=f"afterwards: saltbranch {request.verb} --tag {name}",
        )
    if problem := branch_name_problem(name):
        raise UsageError(f"{name!r} is not a tag: {problem}", hint="for example --tag v1.2.0")
    if name in work.refs.branches:
        raise RefusedError(
            f"there is a branch {name!r}: a tag of that name would be ambiguous",
            hint="choose another name",
        )
    there = work.refs.tag_commits.get(name)
    if there is None:
        _refuse_folder(work, name)
        return name
    if target.kind == UP_TO_DATE and _is_tagged(work, target, there):
        return ""
    raise RefusedError(
        f"the remote has a tag {name} already, at {there[:12]}",
        hint="tags are never moved: choose the next version, or --tag auto",
    )


def _is_tagged(work: Workplace, target: Step, commit: str) -> bool:
    """Whether `commit`, which a tag names, is what the tag would be made for: the source, or its merge."""
    git = work.git
    return git.is_ancestor(target.source, commit) and (
        commit == target.source or git.is_ancestor(commit, target.old)
    )


def _refuse_folder(work: Workplace, name: str) -> None:
    """git keeps refs as files once did: `v1` and `v1/x` exclude each other. Raises RefusedError."""
    for other in work.refs.tags:
        if other.startswith(f"{name}/") or name.startswith(f"{other}/"):
            raise RefusedError(
                f"there is a tag {other!r}, so there cannot be one called {name!r}",
                hint="choose another name",
            )


def _overrides(request: Request) -> dict[str, str]:
    """Gate to reason. Raises RefusedError for a gate that the configuration does not let anybody override."""
    for name in request.overrides:
        saltenv = request.saltenv
        if saltenv is None or name not in [g.name for g in saltenv.gates]:
            raise UsageError(
                f"there is no gate {name!r} here",
                hint=f"gates: {', '.join(g.name for g in saltenv.gates) if saltenv else 'none'}",
            )
        if name not in saltenv.overridable:
            raise RefusedError(
                f"the gate {name!r} of {saltenv.name} may not be overridden",
                hint=f"the model on {request.branch} would have to allow it: saltenvs.{saltenv.name}.overridable",
            )
    return request.overrides
