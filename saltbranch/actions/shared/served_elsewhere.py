"""What is to be known before a saltenv is applied on a master that may not be the only one, or be behind."""

from __future__ import annotations

from saltbranch.base.text import printable, some
from saltbranch.config.model import Saltenv
from saltbranch.repository.masters import known_as
from saltbranch.repository.workplace import Workplace


def notes(work: Workplace, saltenv: Saltenv, commit: str) -> tuple[str, ...]:
    """Of other masters that serve it, and of what this one, which serves `commit`, is to serve. Raises GitError.

    It goes by what the last sync has read: an apply waits for no remote, and is not refused for it.
    """
    found = []
    wanted = work.wanted(saltenv).commit
    if wanted and wanted != commit:
        found.append(
            f"{saltenv.name} is to serve {wanted[:12]}, which this master does not yet:"
            f" saltbranch sync {saltenv.name}"
        )
    here = known_as(work.config.root)[0]
    others = {m: r.commit for m, r in work.state.serving(saltenv.name).items() if m != here}
    if others:
        names = printable(some(sorted(others), 5))
        found.append(f"minions of other masters that serve it are theirs to apply to: {names}")
    odd = [
        f"{master} ({other[:12]})" for master, other in sorted(others.items()) if other != commit
    ]
    if odd:
        found.append(f"served there is another commit than here: {printable(some(odd, 5))}")
    return tuple(found)
