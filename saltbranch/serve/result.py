"""What a sync did, for people and programs: imported by every sync, so it imports next to nothing."""

from __future__ import annotations

from saltbranch.base.errors import EXIT_PARTIAL, EXIT_PENDING, RefusedError
from saltbranch.repository import decision

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final, Literal

    from saltbranch.repository.served_commit import Why

    State = Literal[
        "unchanged", "first", "switched", "rewritten", "repaired", "refused", "missing", "failed"
    ]

# What a saltenv's `state` can be in the result.
UNCHANGED: Final = "unchanged"
FIRST: Final = "first"
SWITCHED: Final = "switched"
REWRITTEN: Final = "rewritten"
REPAIRED: Final = "repaired"
REFUSED: Final = "refused"
MISSING: Final = "missing"
FAILED: Final = "failed"


class SaltenvResult:
    """What happened to one saltenv; `old` and `new` are full commit hashes or None.

    why: what decides which commit it serves: branch, tag, hold or nothing. held: the reason of the hold. refused: the
    head of its branch, where that is not served since it was pushed by hand.
    """

    __slots__ = (
        "branch", "changed", "held", "message", "new", "old", "refused", "saltenv", "state", "tag", "why",
    )  # fmt: skip

    def __init__(self, saltenv: str, branch: str, old: str | None, new: str | None) -> None:
        self.saltenv = saltenv
        self.branch = branch
        self.old = old
        self.new = new
        self.changed = False
        self.state: State = UNCHANGED
        self.message = ""
        self.why: Why = decision.BY_BRANCH
        self.tag = ""
        self.held = ""
        self.refused = ""

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`."""
        return {
            "saltenv": self.saltenv,
            "branch": self.branch,
            "old": self.old,
            "new": self.new,
            "changed": self.changed,
            "state": self.state,
            "message": self.message,
            "why": self.why,
            "tag": self.tag or None,
            "held": self.held or None,
            "refused": self.refused or None,
        }


class SyncResult:
    """What a sync did, or with `plan` would do.

    notes: what was done beside switching. problems: what a person must look at, of no saltenv alone.
    model_problem: why the newest model does not count; an older one does. unread: what of the remote could not be
    read, full ref to reason; unread_news: that is not what the last sync met.
    """

    __slots__ = (
        "model_problem", "notes", "plan", "problems", "restart_needed", "saltenvs", "unread", "unread_news",
    )  # fmt: skip

    def __init__(
        self,
        saltenvs: list[SaltenvResult],
        *,
        plan: bool,
        restart_needed: str | None,
        notes: list[str],
        problems: Sequence[str] = (),
        model_problem: str = "",
        unread: dict[str, str] | None = None,
    ) -> None:
        self.saltenvs = saltenvs
        self.plan = plan
        self.restart_needed = restart_needed
        self.notes = notes
        self.problems = list(problems)
        self.model_problem = model_problem
        self.unread = unread or {}
        self.unread_news = False

    @property
    def changed(self) -> bool:
        """Whether anything was, or with `plan` would be, changed."""
        return bool(self.notes) or any(s.changed for s in self.saltenvs)

    @property
    def exit_code(self) -> int:
        """0, 1, 3, 4 or 20, as docs/reference/exit-codes.md explains them."""
        failed = sum(s.state in (FAILED, MISSING) for s in self.saltenvs)
        if failed:
            return EXIT_PARTIAL if failed < len(self.saltenvs) else 1
        if self.problems or any(s.state == REFUSED or s.refused for s in self.saltenvs):
            return RefusedError.exit_code
        if self.model_problem:
            return EXIT_PARTIAL
        return EXIT_PENDING if self.plan and self.changed else 0

    def as_dict(self) -> dict[str, object]:
        """Plain data, the shape of `--json`; `restart_needed` is null or the reason."""
        return {
            "version": 1,
            "plan": self.plan,
            "saltenvs": [s.as_dict() for s in self.saltenvs],
            "notes": self.notes,
            "problems": self.problems,
            "model_problem": self.model_problem or None,
            "unread": self.unread,
            "restart_needed": self.restart_needed,
        }
