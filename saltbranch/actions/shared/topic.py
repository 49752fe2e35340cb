"""What feature, release and hotfix share: a topic branch is made, pushed, merged and gone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from saltbranch.actions.shared import merge_verb
from saltbranch.actions.shared.caller import Caller
from saltbranch.actions.shared.merge_verb import FlowVerb, MergeOptions, Outcome
from saltbranch.base.errors import RefusedError, UsageError
from saltbranch.config.model import Saltenv
from saltbranch.promote import topic_branch
from saltbranch.promote.apply_plan import Published
from saltbranch.promote.plan import Plan
from saltbranch.promote.request import Request
from saltbranch.repository.push import RefUpdate, push_refs
from saltbranch.repository.workplace import Workplace

Finish = Callable[[Workplace, str, str | None], Request]
"""What finishing a topic branch asks for; with the commit of a conflict that was resolved, where there was one."""


@dataclass(frozen=True, slots=True)
class Started:
    """A topic branch that was made or pushed: `old` -> `commit`."""

    branch: str
    commit: str
    base: str
    old: str | None = None

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        return {"version": 1, **asdict(self)}


def first_saltenv(work: Workplace) -> Saltenv:
    """Where the chain to production begins: features come from its branch. Raises ConfigError."""
    return work.config.chain(work.config.production())[-1]


def start_topic(work: Workplace, prefix: str, name: str, base: str) -> Started:
    """Make the branch `prefix`NAME at `base` in the clone, and check it out. Raises RefusedError, UsageError."""
    branch = topic_branch.topic_name(prefix, name)
    if branch in work.refs.branches:
        raise RefusedError(
            f"the remote has a branch {branch} already",
            hint=f"git switch {branch}, or choose another name",
        )
    topic_branch.create_and_switch(topic_branch.writable_clone(work), branch, base)
    return Started(branch, base, base)


def publish_topic(
    caller: Caller[Started], verb: str, *, prefix: Callable[[Workplace], str], name: str | None
) -> Started:
    """Run `verb`, which pushes the topic branch `name` or the one checked out, never over what somebody else pushed.

    Raises SaltbranchError.
    """
    work = caller.open()
    clone = topic_branch.writable_clone(work)
    branch = topic_branch.chosen(clone, prefix(work), name, verb)
    topic = topic_branch.topic(work, branch)
    if topic.tip == topic.remote:
        topic_branch.follow_remote(work, clone, branch)
        return Started(branch, topic.tip, topic.tip, topic.remote)
    push_refs(work.repo, [RefUpdate(f"refs/heads/{branch}", topic.remote, topic.tip)])
    topic_branch.follow_remote(work, clone, branch)
    return Started(branch, topic.tip, topic.remote or "", topic.remote)


def finish_topic(
    caller: Caller[Plan],
    options: MergeOptions,
    verb: str,
    *,
    prefix: Callable[[Workplace], str],
    name: str | None,
    request: Finish,
) -> Outcome:
    """Run `verb`, which merges the topic branch `name` or the one checked out; then tidy it in the clone.

    Raises SaltbranchError.
    """
    work = caller.open(fetch=not options.abort)
    branch = _topic(work, prefix(work), name, verb, abort=options.abort)

    def build(work: Workplace, resolved: str | None) -> Request:
        return request(work, branch, resolved)

    def tidy(work: Workplace, done: Published) -> list[str]:
        if done.plan.via_branch:
            return []
        work.refresh()
        return topic_branch.leave(work, branch, done.new, first_saltenv(work).branch)

    return merge_verb.run(caller, options, FlowVerb(work, build, f"{verb} {branch}", after=tidy))


def _topic(work: Workplace, prefix: str, name: str | None, verb: str, *, abort: bool) -> str:
    """The branch that is to be finished; what is not committed would be left out. Raises RefusedError."""
    if work.repo.clone is None:
        if not name:
            raise UsageError(f"{verb}: which one?", hint=f"saltbranch {verb} NAME")
        return topic_branch.topic_name(prefix, name)
    clone = topic_branch.clone_of(work)
    branch = topic_branch.chosen(clone, prefix, name, verb)
    if topic_branch.current_branch(clone) == branch and not abort:
        topic_branch.refuse_dirty(clone, f"they would not be part of {branch}")
    return branch
