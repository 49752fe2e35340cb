"""feature: a branch of its own from develop, and back by a merge commit (git-flow)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from saltbranch.actions import lab
from saltbranch.actions.shared import recording
from saltbranch.actions.shared.caller import Caller
from saltbranch.actions.shared.lab_plan import LabPlan
from saltbranch.actions.shared.merge_verb import MergeOptions, Outcome
from saltbranch.actions.shared.recording import Recorded
from saltbranch.actions.shared.topic import (
    Started,
    finish_topic,
    first_saltenv,
    publish_topic,
    start_topic,
)
from saltbranch.promote import commits as merging
from saltbranch.promote import topic_branch
from saltbranch.promote.plan import Plan
from saltbranch.promote.request import Request
from saltbranch.repository.push import RefUpdate, push_refs
from saltbranch.repository.workplace import Workplace


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """A feature branch. ahead: its commits that develop lacks; behind: the other way round; merges aside."""

    branch: str
    here: bool
    published: bool
    ahead: int
    behind: int
    subject: str
    author: str


def start(caller: Caller[Started], name: str) -> Started:
    """Make feature/NAME from the head of develop, and check it out. Raises SaltbranchError."""
    return _begin(caller.open(), name)


def _begin(work: Workplace, name: str) -> Started:
    return start_topic(work, work.config.flow.feature, name, work.head(first_saltenv(work)))


def start_with_lab(
    caller: Caller[Started],
    name: str,
    minions: Sequence[str] = (),
) -> tuple[Started, Recorded[LabPlan]]:
    """Make feature/NAME, push it, and claim a lab for it, with `minions`; what is done of that already is left.

    Nothing is made where no lab is free. Raises SaltbranchError.
    """
    work = caller.open()
    recording.refuse_unrecordable(work)
    branch = topic_branch.topic_name(_prefix(work), name)
    clone = topic_branch.writable_clone(work)
    here = topic_branch.local_branch(clone, branch)
    is_begun = here is not None and topic_branch.current_branch(clone) == branch
    if branch not in work.refs.branches:
        work.refs.branches[branch] = here or work.head(first_saltenv(work))
        try:
            lab.plan_claim(work, branch, minions=minions)
        finally:
            del work.refs.branches[branch]
    started = Started(branch, here or "", here or "") if is_begun else _begin(work, name)
    if branch not in work.refs.branches:
        push_refs(work.repo, [RefUpdate(f"refs/heads/{branch}", None, started.commit)])
        work.refresh()
    topic_branch.follow_remote(work, clone, branch)

    def plan() -> LabPlan:
        return lab.plan_claim(work, branch, minions=minions)

    return started, recording.carry_out(work, plan, plan(), notify=caller.notify)


def publish(caller: Caller[Started], name: str | None) -> Started:
    """Push a feature branch; without `name` the one checked out. Raises SaltbranchError."""
    return publish_topic(caller, "feature publish", prefix=_prefix, name=name)


def _prefix(work: Workplace) -> str:
    return work.config.flow.feature


def finish(caller: Caller[Plan], options: MergeOptions, name: str | None) -> Outcome:
    """Merge a feature branch into develop and remove it; without `name` the one checked out.

    Raises SaltbranchError.
    """

    return finish_topic(
        caller,
        options,
        "feature finish",
        prefix=_prefix,
        name=name,
        request=partial(finish_request, overrides=options.overrides),
    )


def finish_request(
    work: Workplace, branch: str, resolved: str | None, *, overrides: dict[str, str] | None = None
) -> Request:
    """What ``feature finish`` asks for: the branch into develop, and the branch gone.

    overrides: gates to pass over, each with its reason.
    """
    saltenv = first_saltenv(work)
    topic = topic_branch.topic(work, branch)
    return Request(
        verb=f"feature finish {branch}",
        kind="feature",
        branch=saltenv.branch,
        saltenv=saltenv,
        source=resolved or topic.tip,
        source_name=branch,
        delete=(branch,) if topic.remote else (),
        overrides=overrides or {},
    )


def listed(caller: Caller[Started]) -> list[FeatureRow]:
    """All feature branches, here and on the remote. Raises SaltbranchError."""
    work = caller.open()
    prefix = work.config.flow.feature
    names = {b for b in work.refs.branches if b.startswith(prefix)}
    if work.repo.clone:
        clone = topic_branch.clone_of(work)
        found = clone.out("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads/")
        names |= {b for b in found.splitlines() if b.startswith(prefix)}
    develop = work.head(first_saltenv(work))
    return [_row(work, branch, develop) for branch in sorted(names)]


def _row(work: Workplace, branch: str, develop: str) -> FeatureRow:
    remote = work.refs.branches.get(branch)
    local = work.git.commit_or_none(f"refs/heads/{branch}") if work.repo.clone else None
    tip = local or remote or develop
    ahead = merging.log(work.git, [tip], [develop], work.pattern, "--no-merges")
    behind = work.git.out(
        "rev-list", "--count", "--no-merges", "--end-of-options", f"{tip}..{develop}"
    )
    last = ahead[0] if ahead else None
    return FeatureRow(
        branch=branch, here=local is not None, published=remote is not None, ahead=len(ahead), behind=int(behind),
        subject=last.subject if last else "", author=last.author if last else "",
    )  # fmt: skip
