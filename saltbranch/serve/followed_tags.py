"""What a saltenv that follows tags is to serve: the highest matching one, unless the one that it serves was moved.

A tag has no history, so the one that is served is remembered with its commit. What happens to it is believed only where
the saltenv is not protected, or a higher version takes its place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from saltbranch.base import versions
from saltbranch.base.text import one_line
from saltbranch.git.program import Git, quoted
from saltbranch.repository import decision, served_commit
from saltbranch.repository.decision import KEPT, MISSING, NEW, REFUSED, Choice, Choices
from saltbranch.repository.prepared import ServedSaltenv

if TYPE_CHECKING:
    from saltbranch.repository.decision import Level


def choose(
    git: Git,
    wanted: served_commit.Wanted,
    saltenv: ServedSaltenv,
    *,
    known: tuple[str, str] | None,
    tags: Mapping[str, str] | None,
    found: Choices,
) -> Choice:
    """The choice; `found` gets the tag that is accepted. Raises GitError.

    wanted: by the rule alone. known: the tag that it serves, and the tag's commit then. tags: name to commit of those
    on the branch as far as it counts, None where there is no branch.
    """
    if tags is None:
        if known:
            found.accepted[saltenv.name] = known
        return Choice(decision.BY_NOTHING)
    if known and (lost := _lost(git, saltenv, known, tags, wanted)):
        found.accepted[saltenv.name] = known
        return lost
    if wanted.commit is None:
        what = f"no tag on branch {saltenv.branch!r} matches {saltenv.follow}"
        return Choice(decision.BY_NOTHING, level=MISSING, message=one_line(what))
    commit = wanted.commit
    found.accepted[saltenv.name] = (wanted.tag, commit)
    moved = known and known[0] == wanted.tag and known[1] != commit
    message = f"tag {wanted.tag} was moved from {known[1][:12]}" if known and moved else ""
    return Choice(
        decision.BY_TAG,
        commit,
        tag=wanted.tag,
        level=NEW if moved else "",
        message=one_line(message),
    )


def _lost(
    git: Git,
    saltenv: ServedSaltenv,
    known: tuple[str, str],
    tags: Mapping[str, str],
    wanted: served_commit.Wanted,
) -> Choice | None:
    """The choice where the tag that is served is not where it was and nothing higher takes its place.

    None where all is well, or where the change is to be followed: the branch of an unprotected saltenv moved it.
    """
    tag, commit = known
    if tags.get(tag) == commit or not re.search(saltenv.follow or "", tag):
        return None
    if wanted.tag and wanted.tag != tag and versions.highest([tag, wanted.tag]) == wanted.tag:
        return None
    if wanted.tag == tag and not saltenv.protected:
        return None
    now_at = git.commit_or_none(f"refs/tags/{tag}")
    if now_at is None:
        what = f"tag {tag}, which {saltenv.name} serves, was deleted"
    elif now_at == commit:
        what = (
            f"tag {tag}, which {saltenv.name} serves, is not on branch {saltenv.branch!r} any more"
        )
    else:
        what = f"tag {tag}, which {saltenv.name} serves, was moved to {now_at[:12]}"
    if wanted.tag == tag:
        what += f", and {saltenv.name} is protected"
    hint = f"push it back (git push --force REMOTE {quoted(f'{commit}:refs/tags/{tag}')}), or push a higher version"
    if wanted.tag and wanted.tag != tag:
        hint += f"; to go back to {wanted.tag}: saltbranch hold {saltenv.name} --at {wanted.tag}"
    level: Level = REFUSED if saltenv.protected else KEPT
    at = now_at if now_at and level == REFUSED else commit
    message = one_line(f"{what} ({hint})")
    return Choice(decision.BY_TAG, at, tag=tag, level=level, message=message)
