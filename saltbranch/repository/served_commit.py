"""Which commit a saltenv is to serve: a hold, else the highest matching tag, else the head of its branch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from saltbranch.base import versions
from saltbranch.journal.facts import Hold

Why = Literal["hold", "tag", "branch", "nothing"]
"""What decides which commit a saltenv serves."""

BY_HOLD: Final = "hold"
BY_TAG: Final = "tag"
BY_BRANCH: Final = "branch"
BY_NOTHING: Final = "nothing"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The commit to serve and why. `commit` is None where the branch, or a matching tag, is missing."""

    commit: str | None
    why: Why
    tag: str = ""
    hold: Hold | None = None


def wanted(
    head: str | None, follow: str | None, tags: Mapping[str, str], hold: Hold | None
) -> Wanted:
    """What a saltenv is to serve.

    head: of its branch. follow: the regular expression of the tags that it follows, None for the branch.
    tags: name to commit of the tags *on that branch*. hold: the one that counts now.
    """
    if hold:
        return Wanted(hold.commit, BY_HOLD, hold=hold)
    if head is None:
        return Wanted(None, BY_NOTHING)
    if follow is None:
        return Wanted(head, BY_BRANCH)
    matching = [name for name in tags if re.search(follow, name)]
    tag = versions.highest(matching)
    return Wanted(tags[tag], BY_TAG, tag) if tag else Wanted(None, BY_NOTHING)
