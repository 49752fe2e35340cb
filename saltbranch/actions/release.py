"""release: a branch cut from develop, fixed where needed, to stage and back to develop (git-flow)."""

from __future__ import annotations

from functools import partial

from saltbranch.actions.shared.caller import Caller
from saltbranch.actions.shared.merge_verb import MergeOptions, Outcome
from saltbranch.actions.shared.topic import Started, finish_topic, first_saltenv, publish_topic
from saltbranch.base import versions
from saltbranch.base.errors import RefusedError, UsageError
from saltbranch.config.model import Saltenv
from saltbranch.promote import tags, topic_branch
from saltbranch.promote.plan import Plan
from saltbranch.promote.request import Request
from saltbranch.repository import timeline
from saltbranch.repository.push import RefUpdate, push_refs
from saltbranch.repository.workplace import Workplace


def target_saltenv(work: Workplace) -> Saltenv:
    """The saltenv that releases go to: the one after the first of the chain. Raises ConfigError."""
    return work.config.chain(work.config.production())[-2]


def start(
    caller: Caller[Started], version: str, *, commit: str | None = None, plan: bool = False
) -> Started:
    """Cut release/VERSION from develop and push it at once: hotfixes are merged into every open release.

    commit: an earlier commit of develop. plan: only say what would be pushed. Raises SaltbranchError.
    """
    work = caller.open()
    found = _start_plan(work, version, commit)
    caller.show(work, found, is_result=plan)
    if plan:
        return found
    caller.agree(f"release start: push {found.branch} at {found.commit[:12]}")
    _start(work, found)
    return found


def _start_plan(work: Workplace, version: str, commit: str | None) -> Started:
    """What ``release start`` would push: release/VERSION at the head of develop, or at an earlier commit of it.

    Raises RefusedError, UsageError.
    """
    branch = topic_branch.topic_name(work.config.flow.release, version)
    if branch in work.refs.branches:
        raise RefusedError(
            f"the remote has a branch {branch} already", hint="choose another version"
        )
    develop = first_saltenv(work)
    head = work.head(develop)
    base = timeline.commit_of(work, commit, option="--commit").commit if commit else head
    if not work.git.is_ancestor(base, head):
        raise UsageError(
            f"--commit {commit}: not a commit of {develop.branch}",
            hint=work.repo.log_command(develop.branch),
        )
    return Started(branch, base, base)


def _start(work: Workplace, plan: Started) -> None:
    push_refs(work.repo, [RefUpdate(f"refs/heads/{plan.branch}", None, plan.commit)])
    if work.repo.clone:
        clone = topic_branch.clone_of(work)
        if not topic_branch.is_dirty(clone) and not topic_branch.local_branch(clone, plan.branch):
            topic_branch.create_and_switch(clone, plan.branch, plan.commit)
            topic_branch.follow_remote(work, clone, plan.branch)


def publish(caller: Caller[Started], name: str | None) -> Started:
    """Push what was fixed on a release branch; without `name` the one checked out. Raises SaltbranchError."""
    return publish_topic(caller, "release publish", prefix=_prefix, name=name)


def _prefix(work: Workplace) -> str:
    return work.config.flow.release


def finish(
    caller: Caller[Plan], options: MergeOptions, name: str | None, *, tag: str | None
) -> Outcome:
    """Merge a release branch into stage and back into develop, and remove it; without `name` the one checked out.

    tag: as in finish_request. Raises SaltbranchError.
    """

    request = partial(
        finish_request, tag=tag, overrides=options.overrides, via_branch=options.via_branch
    )
    return finish_topic(
        caller,
        options,
        "release finish",
        prefix=_prefix,
        name=name,
        request=request,
    )


def finish_request(
    work: Workplace,
    branch: str,
    resolved: str | None,
    *,
    tag: str | None = None,
    overrides: dict[str, str] | None = None,
    via_branch: bool = False,
) -> Request:
    """What ``release finish`` asks for: the branch to stage by its gates, back to develop, and gone.

    tag: a name, or `auto`: a candidate of the release's version where stage follows candidates.
    """
    target, develop = target_saltenv(work), first_saltenv(work)
    topic = topic_branch.topic(work, branch)
    return Request(
        verb=f"release finish {branch}",
        kind="release",
        branch=target.branch,
        saltenv=target,
        source=resolved or topic.tip,
        source_name=branch,
        back_to=() if via_branch else (develop.branch,),
        delete=(branch,) if topic.remote and not via_branch else (),
        tag=_tag(work, target, branch, topic.tip, tag),
        overrides=overrides or {},
        via_branch=via_branch,
    )


def _tag(work: Workplace, target: Saltenv, branch: str, commit: str, tag: str | None) -> str:
    if tag != "auto":
        return tag or ""
    if work.git.is_ancestor(commit, work.head(target)):
        return ""  # it was finished before
    version = branch.removeprefix(work.config.flow.release)
    prefix = work.config.flow.version_tag
    if versions.parse_or_none(version) is None:
        return tags.auto_tag(work, target, commit)
    name = version if version.startswith(prefix) else f"{prefix}{version}"
    if target.name == work.config.production().name:
        return name
    number = 1
    while f"{name}-rc.{number}" in work.refs.tags:
        number += 1
    return f"{name}-rc.{number}"
