"""What each saltenv is to serve and why, as data. Imported by every sync, so it imports nothing."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Literal

    from saltbranch.serving import Why

    Level = Literal["", "new", "kept", "refused", "missing", "failed", "held back"]

BY_HOLD: Final = "hold"
BY_TAG: Final = "tag"
BY_BRANCH: Final = "branch"
BY_NOTHING: Final = "nothing"
WHYS: tuple[Why, ...] = (BY_HOLD, BY_TAG, BY_BRANCH, BY_NOTHING)

# What a choice's `level` can be. Beside FINE, NEW and HELD_BACK the served commit stays: KEPT is only said.
# HELD_BACK: the commit is served, and not the head of the branch, which is refused.
FINE: Final = ""
NEW: Final = "new"
KEPT: Final = "kept"
REFUSED: Final = "refused"
MISSING: Final = "missing"
FAILED: Final = "failed"
HELD_BACK: Final = "held back"
LEVELS: tuple[Level, ...] = (FINE, NEW, KEPT, REFUSED, MISSING, FAILED, HELD_BACK)


class Choice:
    """The commit for one saltenv; None where it is the head of its branch, or nothing.

    held: the reason of the hold. level, message: what a person has to be told; NEW: only when it is switched to.
    """

    __slots__ = ("commit", "held", "level", "message", "tag", "why")

    def __init__(
        self,
        why: Why,
        commit: str | None = None,
        *,
        tag: str = "",
        held: str = "",
        level: Level = FINE,
        message: str = "",
    ) -> None:
        self.why = why
        self.commit = commit
        self.tag = tag
        self.held = held
        self.level: Level = level
        self.message = message

    def commit_at(self, head: str | None) -> str | None:
        """The commit to serve where the branch is at `head`, None where there is nothing to serve."""
        return self.commit or (head if self.why == BY_BRANCH else None)


OF_BRANCH = Choice(BY_BRANCH)
"""That of a saltenv of which nothing else is said."""


class Choices:
    """All of them. until: seconds since 1970, when the next hold ends, None for never.

    accepted: saltenv to the tag that it follows and its commit. journal: the head that `holds`, JSON of the
    holds that stand in it, follows from. problem: of the journal itself. tips: JSON of what the journal knows of the
    branches; bases: of those that it does not know. unrecorded: JSON of the events that the journal lacks, empty for
    none; news: what is to be said of those that are new. loosened: a branch is judged of which the model in force does
    not say so.
    """

    __slots__ = (
        "accepted", "bases", "by_saltenv", "holds", "journal", "loosened", "news", "problem", "tips", "unrecorded",
        "until",
    )  # fmt: skip

    def __init__(self) -> None:
        self.by_saltenv: dict[str, Choice] = {}
        self.accepted: dict[str, tuple[str, str]] = {}
        self.until: float | None = None
        self.journal = ""
        self.holds = "[]"
        self.problem = ""
        self.tips = "{}"
        self.bases = "{}"
        self.unrecorded = ""
        self.news: list[str] = []
        self.loosened = False
