"""Which rule judges a push by hand: `direct_pushes` of the model, and never that of the push alone.

The model stands on a branch that is promoted to, so a push may bring another one: without `promote_from`, with another
name for the saltenv, with `direct_pushes: allow`. The stricter of before and after counts, on every machine: before is
what was promoted or accepted last, after is the head, and what is in force counts as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from saltbranch.config.direct_pushes import REPORT
from saltbranch.git.program import Git
from saltbranch.journal.tips import Tip
from saltbranch.repository import model_file
from saltbranch.repository.direct_pushes import Watched, stricter


def judged(
    git: Git,
    in_force: Iterable[Watched],
    production: str | None,
    tip: Tip | None,
    head: str | None,
) -> list[Watched]:
    """The saltenvs that are judged, with the rule that judges them. Raises GitError.

    in_force: by the model that counts. production: the branch that the model stands on, of which the journal knows
    `tip` and the remote has `head`.
    """
    found = {saltenv.branch: saltenv for saltenv in in_force}
    if not (production and tip and head) or not tip.promoted or tip.promoted == head:
        return list(found.values())
    before = tip.promoted if git.commit_or_none(tip.promoted) else None
    if before is None or model_file.file_of(git, before) == model_file.file_of(git, head):
        return list(found.values())
    for saltenv in _of(git, before, production):
        known = found.get(saltenv.branch, saltenv)
        found[saltenv.branch] = replace(known, policy=stricter(known.policy, saltenv.policy))
    for saltenv in _of(git, head, production):
        if mine := found.get(saltenv.branch):
            found[saltenv.branch] = replace(mine, policy=stricter(mine.policy, saltenv.policy))
    return list(found.values())


def _of(git: Git, commit: str, production: str) -> list[Watched]:
    """Those of the newest valid model of `commit`."""
    found = model_file.newest_valid(git, commit, production)
    if isinstance(found, model_file.Nothing):
        return []
    return [
        Watched(name, saltenv.branch, saltenv.direct_pushes or REPORT)
        for name, saltenv in (found.model.saltenvs or {}).items()
        if saltenv.promote_from
    ]
