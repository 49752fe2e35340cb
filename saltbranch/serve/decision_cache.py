"""What each saltenv is to serve and why, as choosing.py found it out, kept for the syncs that follow.

Used only while everything that it follows from is the same: the journal, the tags that are
followed and the branches they stand on, the branches that are promoted to, the pending holds, and the
clock until the next hold ends. A saltenv that just serves the head of its branch needs none of that.
"""

from __future__ import annotations

import time

from saltbranch import files
from saltbranch.errors import GitError, RemoteError
from saltbranch.mirror import KEPT_REF
from saltbranch.serve import decision, fetch
from saltbranch.serve.decision import Choice, Choices

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from saltbranch.choosing import Facts
    from saltbranch.mirror import Refs
    from saltbranch.prepared import Served, ServedSaltenv
    from saltbranch.serve.decision import Level
    from saltbranch.serve.run import Look
    from saltbranch.serving import Why

FORMAT = "saltbranch choices 3"
_BRANCHES_ALONE = "branches alone\n"
# What the file may say of a kind; anything else makes it stale.
_WHYS: dict[str, Why] = {why: why for why in decision.WHYS}
_LEVELS: dict[str, Level] = {level: level for level in decision.LEVELS}


def sources(
    root: str, refs: Refs, saltenvs: Sequence[ServedSaltenv], *, unread: Collection[str] = ()
) -> str:
    """All that the choices follow from, the clock aside; empty where they follow from the branches alone.

    unread: full refs of the remote that could not be read.
    """
    pending = files.signature(files.pending_path(root))
    following = [s for s in saltenvs if s.follow]
    judged = [s for s in saltenvs if s.follow or s.pushes]
    alone = not (refs.journal or refs.kept or following or pending != "-" or refs.in_the_way)
    if alone and not judged:
        return ""
    lines = [f"journal {refs.journal} kept {refs.kept} pending {pending}"]
    lines += refs.in_the_way
    if unread:
        lines += sorted(f"unread {ref}" for ref in unread)
    lines += [
        f"{s.name}\t{s.branch}\t{s.follow or ''}\t{s.protected}\t{s.pushes}" for s in saltenvs
    ]
    lines += [refs.branches.get(s.branch, "-") for s in judged]
    if following:
        lines += refs.tags
    return ("" if not alone else _BRANCHES_ALONE) + "\n".join(lines)


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
    return found


def save(root: str, found: Choices, expected: str) -> None:
    """Keep them, for as long as `sources` says `expected`."""
    lines = [FORMAT, f"until\t{found.until or ''}", f"journal\t{found.journal}\t{found.holds}"]
    lines.append(f"problem\t{found.problem}")
    lines.append(f"branches\t{found.tips}\t{found.bases}\t{found.unrecorded}")
    lines += [f"accepted\t{name}\t{tag}\t{c}" for name, (tag, c) in found.accepted.items()]
    lines += [
        f"choice\t{name}\t{c.why}\t{c.commit or ''}\t{c.tag}\t{c.held}\t{c.level}\t{c.message}"
        for name, c in found.by_saltenv.items()
    ]
    text = "\n".join([*lines, "sources", expected, "end"])
    files.write_atomic(files.choices_path(root), text, durable=False)


def current(look: Look, served: dict[str, Served], *, write: bool) -> tuple[Choices, bool]:
    """What each saltenv is to serve: what was found before, if nothing changed that it follows from.

    served: what was recorded, by folder name. write: keep what is found anew. Also whether it was found anew, for
    which `look` may have read the remote again. Raises RemoteError, GitError, SaltbranchError.
    """
    ready, now = look.ready, time.time()
    expected = sources(ready.root, look.refs, ready.saltenvs, unread=look.unread)
    plain = needs_no_choice(expected, look.refs, ready.saltenvs, served)
    if plain and not (
        expected and look.fresh
    ):  # a new model may be less strict than the one before
        return Choices(), False  # the head of the branch, everywhere
    found = load(ready.root, expected, now)
    if found:
        return found, False
    try:
        facts, found = _chosen(look, served, now, write=write)
    except RemoteError:
        raise
    except GitError:
        head, mirror = look.refs.journal, look.mirror
        is_whole = (not head or mirror.has_history(head)) and not fetch.is_damaged(
            mirror, look.refs
        )
        if look.offline or not write or is_whole:
            raise
        look.see(fetch.rebuild(mirror, fetch.remote_of(look.ready), look.say))
        facts, found = _chosen(look, served, now, write=write)
    if write:
        _keep(facts, found)
    return found, True


def _chosen(
    look: Look, served: dict[str, Served], now: float, *, write: bool
) -> tuple[Facts, Choices]:
    """The answer, and from what it follows.

    A fetch does not see all refs at one moment, so before a branch is said to have moved by hand the remote is read
    once more: branches, journal and model of one look decide.
    """
    from saltbranch import choosing

    def facts() -> Facts:
        ready = look.ready
        return choosing.Facts(
            ready.root,
            look.mirror,
            look.refs,
            ready.saltenvs,
            served,
            now,
            ready.model[0] if ready.model else None,
            look.unread,
            last=load(ready.root, None, now),
        )

    first = facts()
    found = choosing.choose(first)
    if look.offline or not found.news:
        return first, found
    before = sources(first.root, first.refs, first.saltenvs, unread=first.unread)
    fetch.look_again(look, write=write)
    second = facts()
    if before == sources(second.root, second.refs, second.saltenvs, unread=second.unread):
        return second, found
    return second, choosing.choose(second)


def _keep(facts: Facts, found: Choices) -> None:
    """Accept the fetched journal, and keep what was found for the syncs that follow. Raises GitError."""
    refs = facts.refs
    if not found.problem and refs.kept != refs.journal:
        facts.git.out("update-ref", KEPT_REF, refs.journal)
        refs.kept = refs.journal
    expected = sources(facts.root, refs, facts.saltenvs, unread=facts.unread)
    if found.loosened:
        expected += "\nfound anew each time"
    save(facts.root, found, expected)
