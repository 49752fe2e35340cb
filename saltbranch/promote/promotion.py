"""What a promotion asks for: from which commit, to which branch, with which tag."""

from __future__ import annotations

from saltbranch.base.errors import RefusedError, UsageError
from saltbranch.config.model import Saltenv
from saltbranch.promote import tags
from saltbranch.promote.request import Request
from saltbranch.repository import timeline
from saltbranch.repository.workplace import Workplace


def request(
    work: Workplace,
    saltenv: str,
    *,
    commit: str | None = None,
    tag: str | None = None,
    overrides: dict[str, str] | None = None,
    via_branch: bool = False,
) -> Request:
    """What ``promote SALTENV`` asks for.

    commit: an earlier commit of the source. tag: a name, or `auto`. Raises RefusedError, UsageError.
    """
    target = named(work, saltenv)
    if target.promote_from is None:
        raise RefusedError(
            f"nothing is promoted to {target.name}: it is the first of its chain",
            hint="features come to it by saltbranch feature finish;"
            " promote_from: in saltbranch.yaml names the saltenv before a saltenv",
        )
    source = work.config.saltenv(target.promote_from)
    work.head(target)
    chosen = _source(work, source, target, commit)
    below = work.config.chain(source)
    return Request(
        verb=f"promote {target.name}",
        kind="promotion",
        branch=target.branch,
        saltenv=target,
        source=chosen,
        source_name=source.branch,
        source_saltenv=source,
        back_to=tuple(s.branch for s in below) if target.back_merge and not via_branch else (),
        only_if_needed=True,
        tag=_tag(work, target, chosen, tag),
        overrides=overrides or {},
        via_branch=via_branch,
    )


def named(work: Workplace, saltenv: str) -> Saltenv:
    """The saltenv called so. Raises UsageError."""
    for found in work.config.saltenvs:
        if found.name == saltenv:
            return found
    known = [s.name for s in work.config.saltenvs]
    by_branch = work.config.of_branch(saltenv)
    hint = (
        f"{saltenv} is the branch of {by_branch.name}"
        if by_branch
        else f"known: {', '.join(known)}"
    )
    raise UsageError(f"there is no saltenv {saltenv!r}", hint=hint)


def _source(work: Workplace, source: Saltenv, target: Saltenv, commit: str | None) -> str:
    """The commit to promote: the given one, else what the source saltenv is to serve."""
    head = work.head(source)
    if commit is None:
        wanted = work.wanted(source)
        if wanted.commit is None:
            raise RefusedError(
                f"{source.name} follows the tags {source.follow}, and no such tag is on {source.branch}: nothing was"
                " proven there",
                hint=f"tag it (saltbranch promote {source.name} --tag auto), or name a commit with --commit",
            )
        return wanted.commit
    found = timeline.commit_of(work, commit, option="--commit").commit
    if not work.git.is_ancestor(found, head):
        elsewhere = [s.name for s in work.config.saltenvs if _has(work, s, found)]
        where = (
            f"it is on the branch of {' and '.join(elsewhere)}"
            if elsewhere
            else "it is on no saltenv's branch"
        )
        raise RefusedError(
            f"{found[:12]} is not on {source.branch}, from which {target.name} is promoted; {where}",
            hint=f"promote it to {source.name} first",
        )
    upto = work.counted_head(source)
    if upto and not work.git.is_ancestor(found, upto):
        raise RefusedError(
            f"{found[:12]} was pushed to {source.branch} by hand, which is refused there (direct_pushes)",
            hint=f"saltbranch accept {source.name} --reason TEXT, or promote it to {source.name}",
        )
    return found


def _has(work: Workplace, saltenv: Saltenv, commit: str) -> bool:
    head = work.refs.branches.get(saltenv.branch)
    return head is not None and work.git.is_ancestor(commit, head)


def _tag(work: Workplace, target: Saltenv, commit: str, tag: str | None) -> str:
    if tag != "auto":
        return tag or ""
    if tags.has_tag(work, target, commit):
        return ""
    return tags.auto_tag(work, target, commit)
