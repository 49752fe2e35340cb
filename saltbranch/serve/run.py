"""What one sync works with: what it read, and what was decided by it. Imported by every sync, so it imports nothing."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from saltbranch.git.mirror import Mirror, Refs
    from saltbranch.repository.decision import Choice, Choices
    from saltbranch.repository.prepared import Prepared, Served, ServedSaltenv
    from saltbranch.serve.result import SaltenvResult
    from saltbranch.serve.slots import Slots

    Say = Callable[[str], None]
    Notify = Callable[[Prepared, list[SaltenvResult]], str | None]


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
    """

    __slots__ = (
        "fresh", "mirror", "notes", "offline", "ready", "refs", "say", "unprotected", "unread", "verify",
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
        self.choices = choices
        self.served = served
        self.news = news


class Job:
    """A saltenv whose served commit should move.

    was: why it serves what it serves until now, where that is known. proven: a commit whose links were found safe.
    switched: it was, by a run that was killed before it could say so. damaged: the mirror turned out to lack objects.
    """

    __slots__ = ("choice", "damaged", "proven", "result", "saltenv", "slots", "switched", "was")

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
        self.damaged = False
