"""backmerge: pay a debt, that is merge into a branch the hotfixes that it lacks."""

from __future__ import annotations

from saltbranch.actions.planning import Request
from saltbranch.actions.workplace import Workplace
from saltbranch.errors import RefusedError, UsageError


def request(work: Workplace, name: str, *, commit: str | None = None) -> Request:
    """What ``backmerge SALTENV|BRANCH`` asks for: the oldest debt, else what the saltenv after it has beyond it.

    commit: the one to merge. Raises UsageError, RefusedError.
    """
    saltenv = next((s for s in work.config.saltenvs if s.name == name), None)
    branch = saltenv.branch if saltenv else name
    if branch not in work.refs.heads:
        known = ", ".join(s.name for s in work.config.saltenvs)
        raise UsageError(f"there is no saltenv or branch {name!r}", hint=f"saltenvs: {known}")
    owner = work.config.of_branch(branch)
    source, source_name = _source(work, name, branch, commit)
    return Request(
        verb=f"backmerge {name}",
        kind="back-merge",
        branch=branch,
        saltenv=owner,
        source=source,
        source_name=source_name,
    )


def _source(work: Workplace, name: str, branch: str, commit: str | None) -> tuple[str, str]:
    debts = [d for d in work.open_debts() if d.branch == branch]
    if commit:
        known = next((d.origin for d in debts if d.commit == commit), "")
        return commit, known or commit[:12]
    if debts:
        return debts[0].commit, debts[0].origin
    after = [s for s in work.config.saltenvs if s.promote_from == name]
    for saltenv in after:
        head = work.refs.heads.get(saltenv.branch)
        if head and not work.git.is_ancestor(head, work.refs.heads[branch]):
            return head, saltenv.branch
    raise RefusedError(f"{branch} lacks nothing", hint="saltbranch status shows debts")
