"""Which minions a saltenv is to have, proposed from what a master's top files say. Pure."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from saltbranch.preview.plain_side import Seen, Served


@dataclass(frozen=True, slots=True)
class Proposal:
    """minions: saltenv to globs. undecided: minion to why it is in none of them."""

    minions: Mapping[str, tuple[str, ...]]
    undecided: Mapping[str, str]


def propose(now: Served, accepted: Sequence[str], saltenvs: Sequence[str]) -> Proposal:
    """The minions of each of `saltenvs`. accepted: ids with an accepted key.

    A glob of a top file is taken where it means minions of that saltenv alone; whoever is left goes by its id.
    """
    homes: dict[str, str] = {}
    undecided: dict[str, str] = {}
    for seen in now.seen.values():
        home = home_of(seen)
        if home in saltenvs:
            homes[seen.minion] = home
        elif home:
            undecided[seen.minion] = f"its top files are of saltenv {home}"
        elif seen.top:
            undecided[seen.minion] = f"it gets states of {', '.join(sorted(seen.top))}"
        else:
            undecided[seen.minion] = "no top file gives it anything"
    for minion in accepted:
        if minion not in homes and minion not in undecided:
            undecided[minion] = "the master knows no grains of it"
    minions = {s: _globs(s, homes, undecided, now.targets.get(s, ())) for s in saltenvs}
    claimed = [glob for globs in minions.values() for glob in globs]
    left = {m: w for m, w in undecided.items() if not _is_any(m, claimed)}
    return Proposal(minions, left)


def home_of(seen: Seen) -> str:
    """The one saltenv that a minion is in; beside `base` another one counts. Empty where there are several."""
    if seen.saltenv:
        return seen.saltenv
    found = [saltenv for saltenv, sls in seen.top.items() if sls]
    others = [saltenv for saltenv in found if saltenv != "base"]
    if len(others) == 1:
        return others[0]
    return "base" if found == ["base"] else ""


def _globs(
    saltenv: str, homes: Mapping[str, str], undecided: Mapping[str, str], globs: Sequence[str]
) -> tuple[str, ...]:
    own = [minion for minion, home in homes.items() if home == saltenv]
    known = [m for m, why in undecided.items() if "no grains" not in why]
    others = [minion for minion, home in homes.items() if home != saltenv] + known
    kept = [
        glob
        for glob in dict.fromkeys(globs)
        if any(fnmatch.fnmatchcase(m, glob) for m in own)
        and not any(fnmatch.fnmatchcase(m, glob) for m in others)
    ]
    return (*kept, *(minion for minion in own if not _is_any(minion, kept)))


def _is_any(minion: str, globs: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(minion, glob) for glob in globs)
