"""hotfix: cut from what production serves, to production with a tag, and in the same push to all below (git-flow)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from saltbranch.actions.shared.caller import Caller
from saltbranch.actions.shared.merge_verb import MergeOptions, Outcome
from saltbranch.actions.shared.topic import Started, finish_topic, publish_topic, start_topic
from saltbranch.base import versions
from saltbranch.base.errors import RefusedError
from saltbranch.promote import topic_branch
from saltbranch.promote.plan import Plan
from saltbranch.promote.request import Request
from saltbranch.repository.workplace import Workplace


def start(caller: Caller[Started], name: str, *, another: bool = False) -> Started:
    """Make hotfix/NAME from the commit that production serves, and check it out. Raises SaltbranchError.

    another: also while a hotfix is open.
    """
    work = caller.open()
    flow = work.config.flow
    branch = topic_branch.topic_name(flow.hotfix, name)
    _refuse_known_version(work, branch)
    production = work.head(work.config.production())
    others = [b for b in topic_branch.open_topics(work, flow.hotfix, production) if b != branch]
    if others and not another:
        raise RefusedError(
            f"a hotfix is open already: {', '.join(others[:5])}",
            hint=f"saltbranch hotfix finish {others[0].removeprefix(flow.hotfix)} comes first, or say --another",
        )
    return start_topic(work, flow.hotfix, name, served(work))


def publish(caller: Caller[Started], name: str | None) -> Started:
    """Push a hotfix branch; without `name` the one checked out. Raises SaltbranchError."""
    return publish_topic(caller, "hotfix publish", prefix=_prefix, name=name)


def _prefix(work: Workplace) -> str:
    return work.config.flow.hotfix


def _refuse_known_version(work: Workplace, branch: str) -> None:
    """Refuse a version that is out: its tag could not be made."""
    tag = _version_tag(work, branch)
    if tag in work.refs.tags:
        free = versions.next_fix(work.refs.tags, prefix=work.config.flow.version_tag)
        raise RefusedError(
            f"there is a tag {tag} on the remote already, at {work.refs.tag_commits[tag][:12]}",
            hint=f"the next one is {free}",
        )


def _version_tag(work: Workplace, branch: str) -> str:
    """The tag that a hotfix branch is named after; empty where it has another name."""
    prefix = work.config.flow.version_tag
    name = branch.removeprefix(work.config.flow.hotfix)
    if not versions.is_plain(name, prefix):
        return ""
    return name if name.startswith(prefix) else f"{prefix}{name}"


def served(work: Workplace) -> str:
    """The commit that production is to serve. Raises RefusedError."""
    production = work.config.production()
    wanted = work.wanted(production)
    if wanted.commit is None:
        raise RefusedError(
            f"{production.name} serves nothing yet, so there is nothing to fix",
            hint=f"saltbranch promote {production.name} comes first",
        )
    return wanted.commit


def finish(
    caller: Caller[Plan], options: MergeOptions, name: str | None, *, tag: str | None
) -> Outcome:
    """Merge a hotfix into production and all below, by one push; without `name` the one checked out.

    tag: as in finish_request. Raises SaltbranchError.
    """

    request = partial(
        finish_request, tag=tag, overrides=options.overrides, via_branch=options.via_branch
    )
    return finish_topic(
        caller,
        options,
        "hotfix finish",
        prefix=_prefix,
        name=name,
        request=request,
    )


def finish_request(
    work: Workplace,
    branch: str,
    resolved: str | None,
    *,
    tag: str | None = "auto",
    overrides: dict[str, str] | None = None,
    via_branch: bool = False,
) -> Request:
    """What ``hotfix finish`` asks for: to master with a tag; back to stage, develop and open releases.

    tag: a name, `auto`, or None for none. Where production serves less than its branch has (a hold, a tag), the
    tag names the hotfix itself, on top of what is served. Raises RefusedError.
    """
    production = work.config.production()
    topic = topic_branch.topic(work, branch)
    now, head = served(work), work.head(production)
    if not work.git.is_ancestor(now, topic.tip) and now != head:
        raise RefusedError(
            f"{branch} was not cut from what {production.name} serves ({now[:12]}), so on top of that it would bring"
            " more than the hotfix",
            hint=f"git rebase --onto {now[:12]} BASE {branch}, or saltbranch hotfix start and cherry-pick",
        )
    below = [s.branch for s in work.config.chain(production)[1:]]
    _refuse_more(work, branch, topic.tip, now, [production.branch, *below])
    if via_branch and now != head:
        raise RefusedError(
            f"{production.name} serves {now[:12]} and not the head of {production.branch}: a pull request cannot move"
            " that",
            hint=f"ask someone who may push to {production.branch} to finish it",
        )
    releases = sorted(b for b in work.refs.branches if b.startswith(work.config.flow.release))
    return Request(
        verb=f"hotfix finish {branch}",
        kind="hotfix",
        branch=production.branch,
        saltenv=production,
        source=resolved or topic.tip,
        source_name=branch,
        back_to=() if via_branch else (*below, *releases),
        delete=(branch,) if topic.remote and not via_branch else (),
        tag=_tag(work, head, topic, tag, via_branch=via_branch),
        tag_source=now != head,
        overrides=overrides or {},
        via_branch=via_branch,
    )


def _refuse_more(work: Workplace, branch: str, tip: str, now: str, branches: Sequence[str]) -> None:
    """Refuse a hotfix that was cut from develop, say: it would bring to production what no gate has seen.

    Commits that stand on the first parents of a persistent branch beyond what is served are not the hotfix's own.
    Raises RefusedError.
    """
    own = set(_list(work, tip, now))
    for name in branches:
        head = work.refs.branches.get(name)
        foreign = [c for c in _list(work, head, now, "--first-parent") if c in own] if head else []
        if foreign:
            raise RefusedError(
                f"{branch} was not cut from what production serves ({now[:12]}): it would bring {len(foreign)} of the"
                f" commits of {name} along, such as {foreign[0][:12]}",
                hint=f"git rebase --onto {now[:12]} {foreign[0][:12]} {branch}",
            )


def _list(work: Workplace, commit: str, without: str, *options: str) -> list[str]:
    return work.git.out("rev-list", *options, "--end-of-options", commit, f"^{without}").split()


def _tag(
    work: Workplace, head: str, topic: topic_branch.Topic, tag: str | None, *, via_branch: bool
) -> str:
    if tag != "auto":
        return tag or ""
    if via_branch or work.git.is_ancestor(topic.tip, head):
        return ""  # nothing to tag yet; or it was finished before, and got its tag
    prefix = work.config.flow.version_tag
    return _version_tag(work, topic.branch) or versions.next_fix(work.refs.tags, prefix=prefix)
