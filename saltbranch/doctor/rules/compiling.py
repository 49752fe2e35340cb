"""Whether a branch's code can be compiled here without harm."""

from __future__ import annotations

from collections.abc import Iterator

from saltbranch.doctor.finding import Finding


def check(problem: str | None, fix: str, *, fallback: bool) -> Iterator[Finding]:
    """What bubblewrap is lacking. problem: why it is not used, None when it is. fallback: whether a user
    without rights takes its place.
    """
    if problem is None:
        return
    yield Finding(
        "no-sandbox",
        "note" if fallback else "warning",
        problem,
        "What a branch's templates start can use the network and fill the disk, and written-out paths are"
        " not mapped to the compiled tree."
        if fallback
        else "saltbranch diff, and the gates that compile, refuse to work.",
        fix,
    )
