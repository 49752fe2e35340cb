"""What the rules about a salt-master look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from saltbranch.base.text import some
from saltbranch.config.minions import Matcher

Roots = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Master:
    """The options of a salt-master, and what saltbranch needs of them.

    opts: as Salt made them. places: option to the files that set it. known: every option that Salt
    knows. file_roots, pillar_roots: what saltbranch writes. groups: saltenv to its minions.
    with_top: folders that hold a top file. served: (path as the master opens it, path below its
    root) of every served sls file. config: saltbranch.yaml. master_config: the file that saltbranch
    writes.
    """

    opts: Mapping[str, Any]
    places: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    known: frozenset[str] = frozenset()
    file_roots: Roots = field(default_factory=dict)
    pillar_roots: Roots = field(default_factory=dict)
    groups: Mapping[str, Sequence[Matcher]] = field(default_factory=dict)
    with_top: frozenset[str] = frozenset()
    served: tuple[tuple[str, str], ...] = ()
    config: str = "saltbranch.yaml"
    master_config: str = ""

    def seen(self, option: str) -> str:
        """The option with its value and where that comes from."""
        where = some(self.places.get(option, ())) or "Salt's default"
        return f"{option} is {self.opts.get(option)!r} ({where})"

    def remove(self, option: str) -> str:
        """The fix for an option that somebody set beside us."""
        others = [place for place in self.places.get(option, ()) if place != self.master_config]
        if others:
            return f"remove {option} from {some(others)} and restart the salt-master"
        return "run saltbranch sync, which writes it, and restart the salt-master"


def texts(value: object) -> list[str]:
    """What an option that is one text or a list of them holds, without what is empty."""
    return [str(item) for item in (value if isinstance(value, (list, tuple)) else [value]) if item]
