"""What each saltenv is to serve and why, as data, and the file that keeps it for the syncs that follow.

It counts only while everything that it follows from is the same: the journal, the tags that are
followed and the branches they stand on, the branches that are promoted to, the pending holds, and the
clock until the next hold ends. A saltenv that just serves the head of its branch needs none of that.
Imported by every sync, so it imports next to nothing.
"""

from __future__ import annotations

import time

from saltbranch.base import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from typing import Final, Literal

    from saltbranch.git.mirror import Refs
    from saltbranch.repository.prepared import Prepared, Served, ServedSaltenv
    from saltbranch.repository.served_commit import Why
    from saltbranch.serve.run import Look

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

FORMAT = "saltbranch choices 5"
_BRANCHES_ALONE = "branches alone\n"
# What the file may say of a kind; anything else makes it stale.
_WHYS: dict[str, Why] = {why: why for why in WHYS}
_LEVELS: dict[str, Level] = {level: level for level in LEVELS}


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


NOBODY = '{"labs": {}, "lent": {}, "moving": {}, "tell": {}, "boot": ""}'
"""What the file that says which minions are lent (labs/lent.py) says where none are, its line's end aside."""


class LabRow:
    """A claim of a lab as it was judged. head: of its branch then, empty where that was not there; counts: here."""

    __slots__ = ("branch", "counts", "head", "name")

    def __init__(self, name: str, branch: str, head: str, counts: str) -> None:
        self.name = name
        self.branch = branch
        self.head = head
        self.counts = counts == "1"

    def is_news(self, head: str) -> bool:
        """Whether it is to be judged anew where its branch is at `head`; one that counts is where it is gone."""
        return head != self.head and not (self.counts and head and self.head)


class Choices:
    """All of them. until: seconds since 1970, when the next hold ends, None for never.

    accepted: saltenv to the tag that it follows and its commit. journal: the head that `holds`, JSON of the
    holds that stand in it, follows from. problem: of the journal itself. tips: JSON of what the journal knows of the
    branches; bases: of those that it does not know. claims: JSON of its claims of labs; lab_rows: how each was judged;
    labs: JSON of what the labs are to be (serve/lab_choices.py); lent: what is to be said of their minions in the end.
    unrecorded: JSON of the events that the journal lacks, empty for
    none; news: what is to be said of those that are new. loosened: a branch is judged of which the model in force does
    not say so.
    """

    __slots__ = (
        "accepted", "bases", "by_saltenv", "claims", "holds", "journal", "lab_rows", "labs", "lent", "loosened",
        "news", "problem", "tips", "unrecorded", "until",
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
        self.claims = "[]"
        self.lab_rows: list[LabRow] = []
        self.labs = "{}"
        self.lent = NOBODY
        self.unrecorded = ""
        self.news: list[str] = []
        self.loosened = False


def kept(look: Look, served: Mapping[str, Served]) -> Choices | None:
    """What was found out before, where nothing has changed that it follows from.

    served: what was recorded, by folder name.
    """
    ready = look.ready
    expected = sources(ready.root, look.refs, ready.saltenvs, unread=look.unread, labs=ready.labs)
    plain = needs_no_choice(expected, look.refs, ready.saltenvs, served)
    # A new model may be less strict than the one before.
    if plain and not (expected and look.fresh):
        return Choices()  # the head of the branch, everywhere
    found = load(ready.root, expected, time.time())
    heads = look.refs.branches
    if found and any(row.is_news(heads.get(row.branch, "")) for row in found.lab_rows):
        return None
    return found


def sources(
    root: str,
    refs: Refs,
    saltenvs: Sequence[ServedSaltenv],
    *,
    unread: Collection[str] = (),
    labs: str = "",
) -> str:
    """All that the choices follow from, the clock and the branches of labs aside; empty where they follow from the
    branches alone.

    unread: full refs of the remote that could not be read. labs: as in `Prepared`.
    """
    pending = files.signature(files.pending_path(root))
    following = [s for s in saltenvs if s.follow]
    judged = [s for s in saltenvs if s.follow or s.pushes]
    alone = not (refs.journal or refs.kept or following or pending != "-" or refs.in_the_way)
    _, ends, auto, _ = labs.split(" ") if labs else ("", "", "", "")
    alone = alone and not auto
    if alone and not judged:
        return ""
    lines = [
        f"journal {refs.journal or ''} kept {refs.kept or ''} {refs.kept_by_verbs or ''} pending {pending}"
    ]
    lines += refs.in_the_way
    if unread:
        lines += sorted(f"unread {ref}" for ref in unread)
    lines += [
        f"{s.name}\t{s.branch}\t{s.follow or ''}\t{s.protected}\t{s.pushes}" for s in saltenvs
    ]
    lines += [refs.branches.get(s.branch, "-") for s in judged]
    if following:
        lines += [f"{oid} refs/tags/{name}" for name, oid in refs.tags.items()]
    if labs:
        lines += [labs, *(refs.branches.get(end, "-") for end in ends.split(","))]
    if auto:
        begin = auto[:-1]
        lines += [f"{oid} {name}" for name, oid in refs.branches.items() if name.startswith(begin)]
    return ("" if not alone else _BRANCHES_ALONE) + "\n".join(lines)


def heads(refs: Refs, ready: Prepared) -> str:
    """What promotions that move by themselves follow from, the clock aside: branches, journal, tags."""
    lines = [f"journal {refs.journal or ''}"]
    lines += [f"{refs.branches.get(name, '-')} {name}" for name in ready.branches()]
    if ready.follows_tags():
        lines += [f"{oid} refs/tags/{name}" for name, oid in sorted(refs.tags.items())]
    return "\n".join(lines)


def needs_no_choice(
    expected: str, refs: Refs, saltenvs: Sequence[ServedSaltenv], served: Mapping[str, Served]
) -> bool:
    """Whether each saltenv just serves the head of its branch: nothing else decides, and none has moved.

    expected: of `sources`.
    """
    if not expected.startswith(_BRANCHES_ALONE):
        return not expected
    for saltenv in saltenvs:
        record = served.get(saltenv.dirname)
        if saltenv.pushes and (
            record is None or record.commit != refs.branches.get(saltenv.branch, "")
        ):
            return False
    return True


def load(root: str, expected: str | None, now: float) -> Choices | None:
    """Those that were kept; None unless they follow from `expected`, which None leaves unchecked."""
    data = files.read_or_none(files.choices_path(root)) or b""
    text = data.decode("utf-8", "surrogateescape")
    head, mark, rest = text.partition("\nsources\n")
    if not mark or not rest.endswith("\nend"):
        return None
    if expected is not None and rest != f"{expected}\nend":
        return None
    lines = head.split("\n")
    if lines[0] != FORMAT:
        return None
    try:
        found = _parse(lines[1:])
    except (LookupError, ValueError):
        return None
    return None if expected is not None and found.until and found.until <= now else found


def _parse(lines: list[str]) -> Choices:
    found = Choices()
    for line in lines:
        key, *words = line.split("\t")
        if key == "choice":
            name, why, commit, tag, held, level, message = words
            found.by_saltenv[name] = Choice(
                _WHYS[why],
                commit or None,
                tag=tag,
                held=held,
                level=_LEVELS[level],
                message=message,
            )
        elif key == "accepted":
            found.accepted[words[0]] = (words[1], words[2])
        elif key == "until":
            found.until = float(words[0]) if words[0] else None
        elif key == "journal":
            found.journal, found.holds = words
        elif key == "problem":
            found.problem = words[0]
        elif key == "branches":
            found.tips, found.bases, found.unrecorded = words
        elif key == "claims":
            found.claims, found.labs, found.lent = words
        elif key == "lab":
            found.lab_rows.append(LabRow(*words))
    return found


def save(root: str, found: Choices, expected: str) -> None:
    """Keep them, for as long as `sources` says `expected`."""
    lines = [FORMAT, f"until\t{found.until or ''}", f"journal\t{found.journal}\t{found.holds}"]
    lines.append(f"problem\t{found.problem}")
    lines.append(f"branches\t{found.tips}\t{found.bases}\t{found.unrecorded}")
    if found.claims != "[]" or found.labs != "{}":
        lines.append(f"claims\t{found.claims}\t{found.labs}\t{found.lent}")
    rows = found.lab_rows
    lines += [f"lab\t{r.name}\t{r.branch}\t{r.head}\t{int(r.counts)}" for r in rows]
    lines += [f"accepted\t{name}\t{tag}\t{c}" for name, (tag, c) in found.accepted.items()]
    lines += [
        f"choice\t{name}\t{c.why}\t{c.commit or ''}\t{c.tag}\t{c.held}\t{c.level}\t{c.message}"
        for name, c in found.by_saltenv.items()
    ]
    text = "\n".join([*lines, "sources", expected, "end"])
    files.write_atomic(files.choices_path(root), text, durable=False)
