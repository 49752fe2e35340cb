"""backmerge: pay a debt, that is merge into a branch the hotfixes that it lacks."""

from __future__ import annotations

from saltbranch.actions.shared import merge_verb
from saltbranch.actions.shared.caller import Caller
from saltbranch.actions.shared.merge_verb import FlowVerb, MergeOptions, Outcome
from saltbranch.base.errors import RefusedError, UsageError
from saltbranch.config.model import Saltenv
from saltbranch.promote import commits as merging
from saltbranch.promote.plan import Plan
from saltbranch.promote.request import Request
from saltbranch.repository.workplace import Workplace


def backmerge(caller: Caller[Plan], options: MergeOptions, name: str) -> Outcome:
    """Merge into the saltenv or branch `name` what it lacks of the one after it. Raises SaltbranchError."""
    work = caller.open(fetch=not options.abort)

    def build(work: Workplace, resolved: str | None) -> Request:
        return request(work, name, commit=resolved)

    return merge_verb.run(caller, options, FlowVerb(work, build, verb(work, name)))


def verb(work: Workplace, name: str) -> str:
    """What the verb is called: by the saltenv where there is one, however the person names the branch."""
    if name in [s.name for s in work.config.saltenvs]:
        return f"backmerge {name}"
    owner = work.config.of_branch(name)
    return f"backmerge {owner.name if owner else name}"


def request(work: Workplace, name: str, *, commit: str | None = None) -> Request:
    """What ``backmerge SALTENV|BRANCH`` asks for: the oldest debt, else what the saltenv after it has beyond it.

    commit: the one to merge. Raises UsageError, RefusedError.
    """
    saltenv = next((s for s in work.config.saltenvs if s.name == name), None)
    branch = saltenv.branch if saltenv else name
    if branch not in work.refs.branches:
        known = ", ".join(s.name for s in work.config.saltenvs)
        raise UsageError(f"there is no saltenv or branch {name!r}", hint=f"saltenvs: {known}")
    owner = work.config.of_branch(branch)
    source, source_name = _source(work, owner, branch, commit)
    return Request(
        verb=verb(work, branch),
        kind="back-merge",
        branch=branch,
        saltenv=owner,
        source=source,
        source_name=source_name,
    )


def _source(
    work: Workplace, owner: Saltenv | None, branch: str, commit: str | None
) -> tuple[str, str]:
    debts = [d for d in work.open_debts() if d.branch == branch]
    after = [s for s in work.config.saltenvs if owner and s.promote_from == owner.name]
    if commit:
        known = next((d.origin for d in debts if d.commit == commit), "")
        _refuse_refused(work, commit)
        return commit, known or commit[:12]
    if debts:
        return debts[0].commit, debts[0].origin
    for saltenv in after:
        head = work.counted_head(saltenv)
        if head and owner and _is_lacking(work, owner, saltenv, head):
            return head, saltenv.branch
    raise RefusedError(f"{branch} lacks nothing", hint="saltbranch status shows debts")


def _refuse_refused(work: Workplace, commit: str) -> None:
    """Carry nothing further that was pushed by hand and is refused. Raises RefusedError."""
    for saltenv in work.config.saltenvs:
        head, upto = work.refs.branches.get(saltenv.branch), work.counted_head(saltenv)
        if head is None or upto is None or head == upto or not work.git.is_ancestor(commit, head):
            continue
        if any(_has(work, s, commit) for s in work.config.saltenvs):
            return
        raise RefusedError(
            f"{commit[:12]} was pushed to {saltenv.branch} by hand, which is refused there (direct_pushes)",
            hint=f"saltbranch accept {saltenv.name} --reason TEXT, or promote it to {saltenv.name}",
        )


def _has(work: Workplace, saltenv: Saltenv, commit: str) -> bool:
    upto = work.counted_head(saltenv)
    return upto is not None and work.git.is_ancestor(commit, upto)


def _is_lacking(work: Workplace, owner: Saltenv, after: Saltenv, there: str) -> bool:
    """Whether `after` has something beyond `owner`; a merge alone is nothing, except where only commits count."""
    here = work.head(owner)
    if after.mode == "fast-forward":
        return not work.git.is_ancestor(there, here)
    owned = (*owner.owned, *after.owned)
    beyond, _ = merging.both_sides(work.git, there, here, work.pattern)
    return bool(merging.left_behind(work.git, here, there, beyond, owned))
