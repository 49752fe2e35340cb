"""What is wrong with the labs of a master."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from saltbranch.base.text import some
from saltbranch.doctor.finding import Finding


def refused(claims: Mapping[str, str]) -> Iterator[Finding]:
    """Claims that do not count on this machine: lab to why."""
    for lab, why in sorted(claims.items()):
        yield Finding(
            "lab-refused",
            "warning",
            f"the claim of {lab} does not count here: {why}",
            "Nothing is served for it, and nobody else gets that lab.",
            f"saltbranch lab release {lab}, then claim it anew",
            items=(lab,),
        )


def minions(
    lent: Collection[str], pinned: Mapping[str, str], keys: Collection[str]
) -> Iterator[Finding]:
    """Minions that labs are to have. pinned: those whose configuration says otherwise. keys: those that are accepted,
    none where that is not known.
    """
    unknown = tuple(sorted(minion for minion in lent if keys and minion not in keys))
    if unknown:
        yield Finding(
            "lab-minion-unknown",
            "warning",
            f"a lab has {some(unknown)}, of which this master knows no key",
            "The name may be misspelt: then nothing is tried on the minion that was meant.",
            "saltbranch lab list shows who has it; salt-key -L shows the minions",
            items=unknown,
        )
    for minion, why in sorted(pinned.items()):
        yield Finding(
            "lab-minion-pinned",
            "warning",
            f"{minion} is not lent to its lab: its own configuration has {why}",
            "It asks for that saltenv only, and would get nothing.",
            "take that line away there, restart the minion, then release the lab and claim it anew",
            items=(minion,),
        )


def pillar_of_branch() -> Finding:
    """The administrator's choice to serve the pillar of branches that nobody has looked at."""
    return Finding(
        "lab-pillar-branch",
        "note",
        "lab_pillar: branch serves the pillar of branches that are not merged yet",
        "Pillar is rendered by the master: whoever may push such a branch can run code there.",
        "leave lab_pillar out, unless each of them is trusted with this master",
    )
