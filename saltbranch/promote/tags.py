"""The version tag that a promotion makes by itself, with ``--tag auto``."""

from __future__ import annotations

import re

from saltbranch.base import versions
from saltbranch.base.errors import UsageError
from saltbranch.config.model import Saltenv
from saltbranch.repository.workplace import Workplace


def has_tag(work: Workplace, target: Saltenv, commit: str) -> bool:
    """Whether `commit` is on the branch already, and the head of that has a version tag: auto makes no second one."""
    head = work.head(target)
    if not work.git.is_ancestor(commit, head):
        return False
    here = [name for name, found in work.refs.tag_commits.items() if found == head]
    return any(_fits(work, target, name) for name in here)


def _fits(work: Workplace, target: Saltenv, name: str) -> bool:
    version = versions.parse_or_none(name)
    if target.follow or version is None:
        return version is not None and re.search(target.follow or "", name) is not None
    return not (version.is_prerelease and target.name == work.config.production().name)


def auto_tag(work: Workplace, target: Saltenv, commit: str) -> str:
    """The next version: a final one for production and where finals are followed, else a candidate.

    Raises UsageError when the saltenv follows tags of another kind.
    """
    prefix = work.config.flow.version_tag
    tags = work.refs.tag_commits
    here = [name for name, found in tags.items() if found == commit]
    candidate = versions.next_candidate(tags, prefix=prefix)
    final = versions.next_final(tags, here, prefix=prefix)
    if target.follow:
        for name in (candidate, final):
            if re.search(target.follow, name):
                return name
        raise UsageError(
            f"--tag auto: neither {candidate} nor {final} is of the tags that {target.name} follows ({target.follow})",
            hint="name the tag",
        )
    return final if target.name == work.config.production().name else candidate
