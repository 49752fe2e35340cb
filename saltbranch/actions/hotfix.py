"""hotfix: cut from what production serves, to production with a tag, and in the same push to all below (git-flow)."""

from __future__ import annotations

from saltbranch import versions
from saltbranch.actions import clonework
from saltbranch.actions.feature import Started, start_topic
from saltbranch.actions.planning import Request
from saltbranch.actions.workplace import Workplace
from saltbranch.errors import RefusedError


def start(work: Workplace, name: str) -> Started:
    """Make hotfix/NAME from the commit that production serves, and check it out. Raises RefusedError."""
    return start_topic(work, work.config.flow.hotfix, name, served(work))


def served(work: Workplace) -> str:
    """The commit that production is to serve. Raises RefusedError."""
    production = work.config.production()
    wanted = work.wanted(production)
    if wanted.commit is None:
        raise RefusedError(
            f"{production.name} serves nothing yet, so there is nothing to mend",
            hint=f"saltbranch promote {production.name} comes first",
        )
    return wanted.commit


def finish_request(
    work: Workplace,
    branch: str,
    resolved: str | None,
    *,
    tag: str | None = "auto",
    overrides: dict[str, str] | None = None,
) -> Request:
    """What ``hotfix finish`` asks for: to master with a tag; back to stage, develop and open releases.

    tag: a name, `auto`, or None for none. Where production serves less than its branch has (a hold, a tag), the
    tag names the hotfix itself, on top of what is served. Raises RefusedError.
    """
    production = work.config.production()
    topic = clonework.topic(work, branch)
    now, head = served(work), work.head(production)
    if not work.git.is_ancestor(now, topic.tip) and now != head:
        raise RefusedError(
            f"{branch} was not cut from what {production.name} serves ({now[:12]}), so on top of that it would bring"
            " more than the hotfix",
            hint=f"git rebase --onto {now[:12]} BASE {branch}, or saltbranch hotfix start and cherry-pick",
        )
    below = [s.branch for s in work.config.chain(production)[1:]]
    releases = sorted(b for b in work.refs.heads if b.startswith(work.config.flow.release))
    return Request(
        verb=f"hotfix finish {branch}",
        kind="hotfix",
        branch=production.branch,
        saltenv=production,
        source=resolved or topic.tip,
        source_name=branch,
        back_to=(*below, *releases),
        delete=(branch,) if topic.remote else (),
        tag=_tag(work, head, topic.tip, branch, tag),
        tag_source=now != head,
        overrides=overrides or {},
    )


def _tag(work: Workplace, head: str, tip: str, branch: str, tag: str | None) -> str:
    if tag != "auto":
        return tag or ""
    if work.git.is_ancestor(tip, head):
        return ""  # it was finished before
    prefix = work.config.flow.version_tag
    name = branch.removeprefix(work.config.flow.hotfix)
    if versions.is_plain(name, prefix):
        return name if name.startswith(prefix) else f"{prefix}{name}"
    return versions.next_fix(work.refs.tags, prefix=prefix)
