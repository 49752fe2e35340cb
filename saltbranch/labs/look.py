"""Labs as this machine or clone knows them: the journal's claims, judged by the rules and the remote's branches."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from saltbranch.base import files
from saltbranch.config.lab_places import LENT_FILE
from saltbranch.config.labs import MOST, number_of
from saltbranch.git.program import Git
from saltbranch.journal.state import State
from saltbranch.labs import lent
from saltbranch.labs.judge import Rules, is_meant, judge, rules_of
from saltbranch.labs.lab import Claim, Lab
from saltbranch.repository.workplace import Workplace
from saltbranch.salt_master import options as master_options


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of labs. labs: by number. claims: the open ones of the journal, in its order. merged: see `judge`.

    count: how many there are, None where no master has told. knows_groups: whether the nodegroups are known by which
    the model may assign minions.
    """

    labs: tuple[Lab, ...]
    rules: Rules
    claims: tuple[Claim, ...]
    merged: Mapping[str, str]
    count: int | None
    knows_groups: bool

    def lab(self, number: int) -> Lab | None:
        """The lab of that number."""
        return self.labs[number - 1] if 1 <= number <= len(self.labs) else None


def look(work: Workplace) -> Seen:
    """The labs as the remote was last read. Raises GitError, SaltError."""
    config, state = work.config, work.state
    grouped = any(m.kind == "nodegroup" for ms in config.groups.values() for m in ms)
    nodegroups: Mapping[str, object] = {}
    if work.serves and grouped and config.labs:
        nodegroups = master_options.read(config.salt_config).nodegroups
    count = config.labs if work.serves else told_count(state)
    rules = rules_of(config, nodegroups, count=MOST if count is None else count)
    claims = tuple(state.labs.values())
    heads = work.refs.branches
    merged = merged_in(work.git, rules, heads, candidates(rules, claims, heads))
    auto = given_here(config.root).autos if work.serves else {}
    labs = judge(claims, rules, heads, work.now, merged=merged, auto=auto)
    knows = work.serves or not grouped
    return Seen(tuple(labs), rules, claims, merged, count=count, knows_groups=knows)


def told_count(state: State) -> int | None:
    """How many labs every master has that has any, as they told the journal; None where none did."""
    having = [count for count in state.lab_counts.values() if count]
    if not having:
        return 0 if state.lab_counts else None
    return min(having)


def candidates(rules: Rules, claims: Iterable[Claim], branches: Iterable[str]) -> set[str]:
    """The branches of which has to be known whether they are merged."""
    found = {claim.branch for claim in claims}
    return found | {branch for branch in branches if is_meant(branch, rules)}


def merged_in(
    git: Git, rules: Rules, heads: Mapping[str, str], branches: Collection[str]
) -> dict[str, str]:
    """Those of `branches` whose head is in the history of the branch where they end, with that head.

    heads: of the remote's branches. Raises GitError.
    """
    by_end: dict[str, list[str]] = {}
    for branch in sorted(branches):
        end = rules.end_of(branch)
        if branch in heads and end in heads:
            by_end.setdefault(end, []).append(branch)
    found: dict[str, str] = {}
    for end, names in by_end.items():
        lines = [*dict.fromkeys(heads[name] for name in names), f"^{heads[end]}"]
        ahead = git.out("rev-list", "--stdin", stdin="".join(f"{x}\n" for x in lines).encode())
        lacking = set(ahead.split())
        found |= {name: heads[name] for name in names if heads[name] not in lacking}
    return found


@dataclass(frozen=True, slots=True)
class Given:
    """What this master has given, by the file that its top files read. autos: number to branch, where no claim is.

    lent: minion to the lab that it has; moving: those that are on their way in or out.
    """

    autos: Mapping[int, str] = field(default_factory=dict)
    lent: Mapping[str, str] = field(default_factory=dict)
    moving: frozenset[str] = frozenset()


def given_here(root: str) -> Given:
    """What stands in the file below `root`; nothing where there is none, or it is damaged."""
    try:
        said = lent.loads(files.read_or_none(f"{root}/{LENT_FILE}"))
    except OSError:
        return Given()
    autos = {number_of(n): place.branch for n, place in said.labs.items() if not place.claim}
    given = {number: branch for number, branch in autos.items() if number}
    return Given(given, said.lent, frozenset(said.moving))
