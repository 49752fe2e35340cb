"""One sync as data: what it read, what was decided by it, and what it did. Imported by every sync."""

from __future__ import annotations

import os

from saltbranch.base import files
from saltbranch.base.errors import EXIT_PARTIAL, EXIT_PENDING, LockedError, RefusedError
from saltbranch.repository import decision, prepared

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final, Literal

    from saltbranch.config.roots import Roots
    from saltbranch.git.mirror import Mirror, Refs
    from saltbranch.repository.decision import Choice, Choices
    from saltbranch.repository.prepared import Prepared, Served, ServedSaltenv
    from saltbranch.repository.served_commit import Why
    from saltbranch.serve.drain import Drain
    from saltbranch.serve.slots import Slots

    Say = Callable[[str], None]
    Notify = Callable[[Prepared, list["SaltenvResult"]], str | None]
    State = Literal[
        "unchanged",
        "first",
        "switched",
        "rewritten",
        "repaired",
        "waiting",
        "refused",
        "missing",
        "failed",
    ]

# What a saltenv's `state` can be in the result.
UNCHANGED: Final = "unchanged"
FIRST: Final = "first"
SWITCHED: Final = "switched"
REWRITTEN: Final = "rewritten"
REPAIRED: Final = "repaired"
WAITING: Final = "waiting"
REFUSED: Final = "refused"
MISSING: Final = "missing"
FAILED: Final = "failed"


class SaltenvResult:
    """What happened to one saltenv; `old` and `new` are full commit hashes or None.

    why: what decides which commit it serves: branch, tag, hold or nothing. held: the reason of the hold. refused: the
    head of its branch, where that is not served since it was pushed by hand. runs: state runs that were under way,
    each as ``{"minion", "jid", "function", "since"}``: those that it waits for, or that may have read both commits.
    signed_by: who signed what is new, where the saltenv asks for that.
    """

    __slots__ = (
        "branch", "changed", "held", "message", "new", "old", "refused", "runs", "saltenv", "signed_by", "state", "tag",
        "why",
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
        self.runs: Sequence[dict[str, object]] = ()
        self.signed_by: Sequence[str] = ()

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
            "runs": list(self.runs),
            "signed_by": list(self.signed_by),
        }


class SyncResult:
    """What a sync did, or with `plan` would do.

    notes: what was done beside switching. problems: what a person must look at, of no saltenv alone.
    model_problem: why the newest model does not count; an older one does. unread: what of the remote could not be
    read, full ref to reason; unread_news: that is not what the last sync met. drain: what looks for state runs, to be
    closed. moving: in how many seconds minions that are moved to labs or back may go on, None where none are; to_tell:
    minion to the saltenv that it has got.
    """

    __slots__ = (
        "drain", "model_problem", "moving", "notes", "plan", "problems", "restart_needed", "saltenvs", "to_tell",
        "unread", "unread_news",
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
        self.drain: Drain | None = None
        self.moving: float | None = None
        self.to_tell: dict[str, str] = {}

    def take(self, later: SyncResult) -> None:
        """Go on by what was done for some saltenvs later, whatever it was by then."""
        rows = {s.saltenv: s for s in later.saltenvs}
        for place, before in enumerate(self.saltenvs):
            row = rows.get(before.saltenv)
            if row is None or (before.changed and row.state == UNCHANGED):
                continue
            if before.changed and row.changed:
                row.old = before.old
            self.saltenvs[place] = row
        self.notes += [note for note in later.notes if note not in self.notes]
        self.problems += [text for text in later.problems if text not in self.problems]
        self.restart_needed = later.restart_needed

    @property
    def changed(self) -> bool:
        """Whether anything was, or with `plan` would be, changed."""
        return bool(self.notes) or any(s.changed for s in self.saltenvs)

    @property
    def exit_code(self) -> int:
        """0, 1, 3, 4, 20 or 75, as docs/reference/exit-codes.md explains them."""
        failed = sum(s.state in (FAILED, MISSING) for s in self.saltenvs)
        if failed:
            return EXIT_PARTIAL if failed < len(self.saltenvs) else 1
        if self.problems or any(s.state == REFUSED or s.refused for s in self.saltenvs):
            return RefusedError.exit_code
        if self.model_problem:
            return EXIT_PARTIAL
        if any(s.state == WAITING for s in self.saltenvs):
            return LockedError.exit_code
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


class Seen:
    """One reading of the remote. unread: full ref to why it could not be read. rebuilt: the mirror was made anew."""

    __slots__ = ("notes", "rebuilt", "refs", "unread")

    def __init__(
        self,
        refs: Refs,
        unread: dict[str, str],
        *,
        notes: Sequence[str] = (),
        rebuilt: bool = False,
    ) -> None:
        self.refs = refs
        self.unread = unread
        self.notes = notes
        self.rebuilt = rebuilt


class Look:
    """The remote as it was read, and the configuration in force with it.

    fresh: the configuration was checked anew, so nothing proven before counts; unprotected: the saltenvs that were
    not protected by the model before. verify: look at every served file. offline: the remote is not to be asked.
    drain_seconds: how long to wait for state runs, None for what is configured; drain: what looks for them. busy:
    minions and saltenvs with state runs under way, None where nobody has looked; told: minion to saltenv, those that
    know of their move to a lab or back.
    """

    __slots__ = (
        "busy", "drain", "drain_seconds", "fresh", "mirror", "notes", "offline", "ready", "refs", "say", "told",
        "unprotected", "unread", "verify",
    )  # fmt: skip

    def __init__(
        self,
        mirror: Mirror,
        ready: Prepared,
        seen: Seen,
        *,
        say: Say | None,
        done: Sequence[str] = (),
        fresh: bool = False,
        verify: bool = False,
        offline: bool = False,
        unprotected: Sequence[str] = (),
    ) -> None:
        self.mirror = mirror
        self.ready = ready
        self.refs = seen.refs
        self.unread = seen.unread
        self.notes = [*seen.notes, *done]
        self.say = say
        self.fresh = fresh
        self.verify = verify
        self.offline = offline
        self.unprotected = unprotected
        self.drain_seconds: float | None = None
        self.drain: Drain | None = None
        self.busy: frozenset[str] | None = None
        self.told: dict[str, str] = {}

    def see(self, seen: Seen) -> None:
        """Go on by another reading of the remote."""
        self.refs, self.unread = seen.refs, seen.unread
        self.notes += seen.notes


class Run(Look):
    """What is to be served by a look.

    served: what was recorded before, by folder name. news: `choices` was found anew.
    """

    __slots__ = ("choices", "news", "served")

    def __init__(
        self, look: Look, choices: Choices, served: dict[str, Served], *, news: bool
    ) -> None:
        self.mirror, self.ready, self.say = look.mirror, look.ready, look.say
        self.refs, self.unread, self.notes = look.refs, look.unread, look.notes
        self.fresh, self.verify, self.offline = look.fresh, look.verify, look.offline
        self.unprotected = look.unprotected
        self.drain_seconds, self.drain = look.drain_seconds, look.drain
        self.busy, self.told = look.busy, look.told
        self.choices = choices
        self.served = served
        self.news = news

    def lab_saltenvs(self, only: Sequence[str]) -> list[ServedSaltenv]:
        """The labs that are to serve a branch; those of `only`, all when it is empty."""
        return [
            prepared.ServedSaltenv(
                row.name,
                row.branch,
                prepared.lab_folder(row.name),
                protected=False,
                follow=None,
                signed=self.ready.lab_signed,
            )
            for row in self.choices.lab_rows
            if row.counts and (not only or row.name in only)
        ]

    def has_labs_settled(self) -> bool:
        """Whether nothing is to be done for labs but to serve their branches. Raises OSError."""
        root = self.ready.root
        lent = files.read_or_none(files.lent_path(root)) or b""
        if lent.rstrip() != self.choices.lent.encode():
            return False
        used = {prepared.lab_folder(row.name) for row in self.choices.lab_rows if row.counts}
        return not any(
            os.path.lexists(f"{root}/slots/{name}/served")
            for name in os.listdir(f"{root}/slots")  # one look for all that were never used
            if name[-1] == "+" and name not in used
        )


class Job:
    """A saltenv whose served commit should move.

    was: why it serves what it serves until now, where that is known. proven: a commit whose links were found safe.
    roots: of which folders those of Salt are made; told before the first switch. switched: it was, by a run that was
    killed before it could say so. damaged: the mirror turned out to lack objects. relaid: the roots of Salt are to be
    composed otherwise.
    """

    __slots__ = (
        "choice",
        "damaged",
        "proven",
        "relaid",
        "result",
        "roots",
        "saltenv",
        "slots",
        "switched",
        "was",
    )

    def __init__(
        self,
        saltenv: ServedSaltenv,
        slots: Slots,
        result: SaltenvResult,
        choice: Choice,
        *,
        was: str,
        proven: str | None,
        switched: bool,
    ) -> None:
        self.saltenv = saltenv
        self.slots = slots
        self.result = result
        self.choice = choice
        self.was = was
        self.proven = proven
        self.switched = switched
        self.roots: Roots
        self.damaged = False
        self.relaid = False
