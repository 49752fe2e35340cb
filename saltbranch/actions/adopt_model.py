"""What saltbranch.yaml has to say so that a master goes on serving what it serves. Refuses what cannot be said."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from saltbranch.base.errors import RefusedError
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
    states_dir: str
    pillar_dir: str
    proposal: Proposal


def wanted(found: Found, now: Served, accepted: Sequence[str], given: Given) -> Wanted:
    """The model by what was found. Raises RefusedError that names everything that it cannot say."""
    problems = [*found.problems]
    remote = given.remote or _remote(found, problems)
    sources = [s for s in (*found.states, *found.pillar) if _of(s, remote, given)]
    for source in (*found.states, *found.pillar):
        if remote and source not in sources:
            problems.append(_other(source))
    states = [s for s in found.states if s in sources]
    branches = _branches(found, states, now, given, problems)
    if not branches and not problems:
        problems.append("no saltenv is in use: name them with --branch SALTENV=BRANCH")
    _check_each(states, branches, problems)
    _check_pillar([s for s in found.pillar if s in sources], branches, problems)
    states_dir = given.states_dir or _one_folder("states", states, problems)
    pillar = [s for s in found.pillar if s in sources]
    pillar_dir = given.pillar_dir or (
        _one_folder("pillar", pillar, problems) if pillar else "pillar"
    )
    if problems:
        raise RefusedError(
            "this master cannot be adopted as it is; nothing was written:\n"
            + indent("\n".join(dict.fromkeys(problems))),
            hint="change these in the repository or in the master's configuration, then run it again",
        )
    order = sorted(branches, key=lambda name: (_rank(name), list(branches).index(name)))
    proposal = propose(now, accepted, order)
    minions = {name: given.minions.get(name, globs) for name, globs in proposal.minions.items()}
    ordered = {name: branches[name] for name in order}
    return Wanted(remote, ordered, states_dir, pillar_dir, Proposal(minions, proposal.undecided))


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


def is_same(one: str, other: str) -> bool:
    """Whether two URLs are spelled ways of one."""
    return _plain(one) == _plain(other)


def _plain(url: str) -> str:
    return url.removeprefix("file://").rstrip("/").removesuffix(".git").rstrip("/")


def _of(source: Source, remote: str, given: Given) -> bool:
    if source.url:
        return is_same(source.url, remote)
    return bool(given.remote)  # somebody says that this folder is what the repository has


def _other(source: Source) -> str:
    if not source.url:
        return f"{source.name} (saltenv {source.saltenv}) is in no clone: commit its files to the repository"
    where = f" at {source.mountpoint}" if source.mountpoint else ""
    return (
        f"{source.name}{where} is another repository: make it a submodule of the control repository, or commit its"
        " files there"
    )


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


def _check_each(states: Sequence[Source], branches: Mapping[str, str], problems: list[str]) -> None:
    for source in states:
        if source.mountpoint:
            problems.append(
                f"{source.name} is served below {source.mountpoint}: move its files into a folder of that name"
            )
    for saltenv in branches:
        own = [s for s in states if s.saltenv in ("", saltenv)]
        if len(own) > 1:
            names = ", ".join(f"{s.name} ({s.root})" for s in own)
            problems.append(f"saltenv {saltenv} has several folders of states: {names}")
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
    for saltenv in {s.saltenv for s in pillar if s.kind == "folder"}:
        own = [s for s in pillar if s.kind == "folder" and s.saltenv == saltenv]
        if len(own) > 1:
            names = ", ".join(f"{s.name} ({s.root})" for s in own)
            problems.append(f"saltenv {saltenv} has several folders of pillar: {names}")


def _one_folder(what: str, sources: Sequence[Source], problems: list[str]) -> str:
    roots = dict.fromkeys(s.root for s in sources if s.url)
    if len(roots) > 1:
        names = ", ".join(f"{s.name} ({s.root})" for s in sources)
        problems.append(f"the saltenvs have {what} in different folders of the repository: {names}")
    root = next(iter(roots), "")
    if root == ".":
        problems.append(
            f"{what} lie at the top of the repository, where all of it would be served: move them into a folder"
        )
    if not roots and sources:
        problems.append(
            f"it is unknown where in the repository the {what} are: --{what}-dir FOLDER"
        )
    return root


def _rank(name: str) -> int:
    for rank, names in enumerate(_RANKS):
        if name.lower() in names:
            return rank
    return 1
