"""Whether every minion that the master knows belongs to one saltenv."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from saltbranch.base.text import some
from saltbranch.config import minions as targets
from saltbranch.config.minions import Matcher, Nodegroups
from saltbranch.doctor.finding import Finding


def check(
    minion_ids: Iterable[str],
    groups: Mapping[str, Sequence[Matcher]],
    nodegroups: Nodegroups,
    config: str,
) -> Iterator[Finding]:
    """Minions that nothing claims, or two saltenvs claim.

    minion_ids: those with an accepted key. groups: saltenv to its minions. config: where `groups`
    stand.
    """
    claims = {m: targets.claimed_by(m, groups, nodegroups) for m in minion_ids}
    if nobodys := tuple(m for m, found in claims.items() if not found):
        yield Finding(
            "unclaimed-minions",
            "warning",
            f"{len(nobodys)} of {len(claims)} minions belong to no saltenv: {some(nobodys)}",
            why="Their highstate and their pillar are empty.",
            fix=f"add them to the minions: of a saltenv in {config}, or delete their keys with"
            " salt-key -d",
            items=nobodys,
        )
    for minion_id, found in claims.items():
        if len(found) > 1:
            who = " and ".join(f"{saltenv} ({matcher})" for saltenv, matcher in found)
            yield Finding(
                "minion-claimed-twice",
                "error",
                f"minion {minion_id} is claimed by {who}",
                why="It gets nothing from either, and no changed configuration is served until that"
                " is fixed.",
                fix=f"narrow one of the two minions: in {config}",
                items=(minion_id,),
            )
