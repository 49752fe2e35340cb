"""What one sync works with. Imported by every sync, so it imports nothing."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from saltbranch.actions.outcome import SaltenvResult
    from saltbranch.mirror import Mirror, Refs
    from saltbranch.prepared import Prepared, Served, ServedSaltenv
    from saltbranch.serve.decision import Choice, Choices
    from saltbranch.slots import Slots

    Say = Callable[[str], None]
    Notify = Callable[[Prepared, list[SaltenvResult]], str | None]


class Job:
    """A saltenv whose served commit should move."""

    __slots__ = ("choice", "damaged", "proven", "result", "saltenv", "slots", "switched", "was")

    def __init__(
        self, saltenv: ServedSaltenv, slots: Slots, result: SaltenvResult, choice: Choice
    ) -> None:
        self.saltenv = saltenv
        self.slots = slots
        self.result = result
        self.choice = choice
        self.was = ""  # why it serves what it serves until now, where that is known
        self.proven: str | None = None  # a commit whose links were found safe
        self.switched = False  # by a run that was killed before it could say so
        self.damaged = False  # the mirror lacks objects that it should have


class Run:
    """What one run works with."""

    __slots__ = (
        "choices", "fresh", "mirror", "news", "notes", "offline", "ready", "refs", "restated", "say", "served",
        "unprotected", "unread", "verify",
    )  # fmt: skip

    def __init__(self, mirror: Mirror, say: Say | None) -> None:
        self.mirror = mirror
        self.say = say
        self.notes: list[str] = []
        self.fresh = False  # the configuration was checked anew, so nothing proven before counts
        self.verify = False
        self.offline = False
        self.news = False  # the journal, or what else decides beside the branches, has changed
        self.unprotected: set[str] = set()  # by the model that was in force until this run
        self.restated = False  # the record has a new reason for a commit that is served already
        self.unread: dict[str, str] = {}  # what could not be read: full ref to reason
        self.ready: Prepared
        self.refs: Refs
        self.choices: Choices
        self.served: dict[str, Served]
