"""What saltbranch.yaml has to say so that a master goes on serving what it serves. Refuses what cannot be said."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from saltbranch.actions.adopt_roots import Layout, Layouter, is_same
from saltbranch.actions.init_ahead import FirstLook
from saltbranch.base.errors import RefusedError
from saltbranch.config.values import check_remote
from saltbranch.git.program import indent, mask
from saltbranch.preview.minions_of_tops import Proposal, home_of, propose
from saltbranch.preview.plain_side import Served
from saltbranch.salt_master.served_now import Found, Source

# Where code is tried first, by the usual names of saltenvs and branches.
_RANKS = (
    ("dev", "devel", "develop", "development", "test", "testing", "qa", "int", "sandbox"),
    ("stage", "staging", "uat", "preprod", "pre-prod"),
    ("prod", "production", "live", "base", "main", "master"),
)


@dataclass(frozen=True, slots=True)
class Given:
    """What somebody has typed: it counts before anything that is found."""

    remote: str | None = None
    branches: Mapping[str, str] = field(default_factory=dict)
    minions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    states_dir: str | None = None
    pillar_dir: str | None = None
    leave_out: tuple[str, ...] = ()

    def leaves_out(self, saltenv: str) -> bool:
        """Whether `saltenv` may end."""
        return any(fnmatch.fnmatchcase(saltenv, pattern) for pattern in self.leave_out)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The model that goes on serving what is served. branches: in promotion order."""

    remote: str
    branches: Mapping[str, str]
    layout: Layout
    proposal: Proposal


def wanted(
    found: Found, now: Served, accepted: Sequence[str], given: Given, first: FirstLook
) -> Wanted:
    """The model by what was found. Raises RefusedError that names everything that it cannot say, RemoteError."""
    problems = [*found.problems]
    remote = given.remote or _remote(found, problems)
    _refuse(problems)
    check_remote(remote, "what is served now")
    if (
        given.remote and given.states_dir
    ):  # somebody says that the folders are what the repository has
        found = _in_repository(found, given)
    states = [s for s in found.states if s.url and is_same(s.url, remote)]
    branches = _branches(found, states, now, given, problems)
    if not branches and not problems:
        problems.append("no saltenv is in use: name them with --branch SALTENV=BRANCH")
    _check_each(branches, problems)
    _check_pillar([s for s in found.pillar if is_same(s.url, remote)], branches, problems)
    _refuse(problems)
    layouter = Layouter(remote, first.mirror(remote), branches, found.base, now)
    layout = layouter.lay_out(found)
    layout.states = given.states_dir or layout.states
    layout.pillar = given.pillar_dir or layout.pillar
    _refuse(layout.problems)
    order = sorted(branches, key=lambda name: (_rank(name), list(branches).index(name)))
    proposal = propose(now, accepted, order)
    minions = {name: given.minions.get(name, globs) for name, globs in proposal.minions.items()}
    ordered = {name: branches[name] for name in order}
    return Wanted(remote, ordered, layout, Proposal(minions, proposal.undecided))


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise RefusedError(
            "this master cannot be adopted as it is; nothing was written:\n"
            + indent("\n".join(dict.fromkeys(problems))),
            hint="change these in the repository or in the master's configuration, then run it again",
        )


def _in_repository(found: Found, given: Given) -> Found:
    """Folders in no clone, taken for those of the repository that were named."""

    def told(sources: tuple[Source, ...], folder: str | None) -> tuple[Source, ...]:
        return tuple(
            replace(s, url=given.remote or "", root=folder) if not s.url and folder else s
            for s in sources
        )

    return replace(
        found,
        states=told(found.states, given.states_dir),
        pillar=told(found.pillar, given.pillar_dir),
    )


def _remote(found: Found, problems: list[str]) -> str:
    """The one repository that both states and pillar come from."""
    of_states = dict.fromkeys(s.url for s in found.states if s.url)
    of_pillar = dict.fromkeys(s.url for s in found.pillar if s.url)
    both = [u for u in of_states if any(is_same(u, p) for p in of_pillar)]
    candidates = both or list(of_states)
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        names = ", ".join(map(mask, candidates))
        problems.append(
            f"states come from several repositories ({names}): name the one to serve with --remote URL"
        )
    else:
        places = ", ".join(s.name for s in found.states) or "none is configured"
        problems.append(
            f"no folder of states is in a clone ({places}): commit them to a repository, then name it with --remote"
            " URL, --branch SALTENV=BRANCH, --states-dir and --pillar-dir"
        )
    return ""


def _branches(
    found: Found, states: Sequence[Source], now: Served, given: Given, problems: list[str]
) -> dict[str, str]:
    """Saltenv to branch."""
    branches: dict[str, str] = {}
    for source in states:
        if source.kind == "gitfs":
            for saltenv in _of_gitfs(now, given):
                default = found.base if saltenv == "base" else saltenv
                branches.setdefault(saltenv, source.refs.get(saltenv) or default)
        elif source.saltenv not in branches and not given.leaves_out(source.saltenv):
            if not source.branch and source.saltenv not in given.branches:
                problems.append(
                    f"{source.name} is on no branch: name it with --branch {source.saltenv}=BRANCH"
                )
            branches[source.saltenv] = source.branch
    return {**branches, **given.branches}


def _of_gitfs(now: Served, given: Given) -> list[str]:
    """Of the saltenvs that gitfs has, one for each branch and tag, those that somebody is in or is meant to be."""
    used = {home_of(seen) for seen in now.seen.values()} | set(now.targets)
    used |= {saltenv for seen in now.seen.values() for saltenv in seen.top}
    return [s for s in sorted(now.saltenvs) if s in used and not given.leaves_out(s)]


def _check_each(branches: Mapping[str, str], problems: list[str]) -> None:
    by_branch: dict[str, str] = {}
    for saltenv, branch in branches.items():
        if branch and by_branch.setdefault(branch, saltenv) != saltenv:
            problems.append(
                f"saltenvs {by_branch[branch]} and {saltenv} are both branch {branch}: make one of them"
            )


def _check_pillar(
    pillar: Sequence[Source], branches: Mapping[str, str], problems: list[str]
) -> None:
    for source in pillar:
        if source.kind != "folder":
            continue  # which saltenvs git_pillar's branches are for the proof will tell
        branch = branches.get(source.saltenv)
        if branch is None:
            problems.append(
                f"pillar of saltenv {source.saltenv} ({source.name}), which has no states"
            )
        elif source.branch and source.branch != branch:
            problems.append(
                f"pillar of saltenv {source.saltenv} is on branch {source.branch} ({source.name}), its states are on"
                f" {branch}: they must be on one"
            )


def _rank(name: str) -> int:
    for rank, names in enumerate(_RANKS):
        if name.lower() in names:
            return rank
    return 1
