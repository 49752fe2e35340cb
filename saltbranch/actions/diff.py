"""diff: what a commit would change for every minion, compiled and compared before anything is merged."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from saltbranch import compilecache, merging, saltmaster, tickets
from saltbranch.actions import fleet
from saltbranch.actions.fleet import Place
from saltbranch.actions.request import owned_paths
from saltbranch.commitsource import CommitSource, Side
from saltbranch.compilecache import CompileCache
from saltbranch.compiler import sandbox
from saltbranch.compiler.deciphering import Keys
from saltbranch.compiler.masteroptions import TAKEN_OVER, not_taken_over
from saltbranch.compiler.model import Minion
from saltbranch.compiler.pool import Frame
from saltbranch.compiler.standins import Offer
from saltbranch.config.model import Config, Saltenv
from saltbranch.errors import RefusedError, UsageError
from saltbranch.fleetdiff import FleetDiff, compare_trees
from saltbranch.preview.sides import provenance
from saltbranch.promotion import CONFLICT
from saltbranch.repository.place import Given

Progress = Callable[[int, int], None]


def diff(
    config: Given,
    refs: Sequence[str],
    *,
    minions: Sequence[str] = (),
    saltenv: str | None = None,
    jobs: int | None = None,
    cache: bool = True,
    progress: Progress | None = None,
) -> FleetDiff:
    """Compare two refs, or a saltenv with what a promotion would make of it.

    refs: two saltenvs, branches, tags or commits, the old one first; or one saltenv. minions: globs
    or ``@FILE``. saltenv: only its minions. jobs: processes; None for all cores. Raises UsageError,
    ConfigError, RefusedError, SandboxError, GitError, SaltError.
    """
    place = fleet.open_place(config)
    before, after = sides(place, refs)
    only = saltenv or before.saltenv or after.saltenv
    chosen = fleet.choose(place, minions, only)
    found = compare(place, before, after, chosen, jobs=jobs, cache=cache, progress=progress)
    pattern = tickets.compile_pattern(place.config.tickets, place.config.path)
    origin = provenance(place.repository.git, place.config.remote, before, after, pattern)
    return replace(found, origin=origin)


def compare(
    place: Place,
    before: Side,
    after: Side,
    minions: Sequence[Minion],
    *,
    jobs: int | None = None,
    cache: bool = True,
    progress: Progress | None = None,
) -> FleetDiff:
    """Compare two sides for `minions`: what `diff` and the gates of a promotion share."""
    frame = frame_of(place)
    git = place.repository.git
    found = compare_trees(
        frame,
        (frame.tree(git, before.tree), frame.tree(git, after.tree)),
        (before.as_dict(), after.as_dict()),
        minions,
        jobs=jobs or os.cpu_count() or 1,
        cache=cache_of(place.config, enabled=cache),
        ignore=place.config.ignore,
        missing=place.config.missing,
        warnings=warnings(place),
        progress=progress,
    )
    # Nothing ran where all came from the cache.
    warning = sandbox.find().warning if found.spent["workers"] else None
    return replace(found, warnings=(warning, *found.warnings)) if warning else found


def sides(place: Place, refs: Sequence[str]) -> tuple[Side, Side]:
    """What is compared with what. Raises UsageError, RefusedError, GitError."""
    config, repository = place.config, place.repository
    if len(refs) == 2:
        return repository.side(config, refs[0]), repository.side(config, refs[1])
    if len(refs) != 1:
        raise UsageError("diff takes one saltenv or two refs", hint="saltbranch diff prod")
    target = repository.side(config, refs[0])
    saltenv = config.saltenv(target.saltenv) if target.saltenv else None
    if saltenv is None or saltenv.promote_from is None:
        raise UsageError(
            f"{refs[0]} is not a saltenv with a promote_from:",
            hint="name both sides: saltbranch diff A B",
        )
    source = config.saltenv(saltenv.promote_from)
    commit, tree = promoted(repository, target.tree, saltenv, source)
    return target, Side(f"{target.name} with {source.name} merged in", tree, target.saltenv, commit)


def promoted(
    repository: CommitSource, old: str, target: Saltenv, source: Saltenv
) -> tuple[str, str]:
    """The commit that a promotion from `source` merges, and the tree that it makes of the commit `old` of `target`.

    Raises RefusedError, GitError.
    """
    wanted = repository.wanted(source, time.time())
    if wanted.commit is None:
        what = f"tags {source.follow} on " if source.follow else "branch "
        raise RefusedError(
            f"{source.name} serves nothing that could be promoted: no {what}{source.branch} here",
            hint="fetch it first: saltbranch sync, or git fetch in a clone",
        )
    merged = merging.merge(repository.objects, old, wanted.commit, owned_paths(target, source))
    if merged.kind == CONFLICT:
        raise RefusedError(
            f"{source.name} cannot be merged into {target.name}: both changed {', '.join(map(repr, merged.conflicts))}",
            hint=f"saltbranch promote {target.name} --resolve DIR opens a worktree to resolve it in",
        )
    return wanted.commit, merged.tree


def frame_of(place: Place) -> Frame:
    """What all minions share."""
    config, opts = place.config, place.master.opts
    asked = [{name: value} for name, value, compiled in external_pillar(place) if compiled]
    served = [
        (s.name, f"{config.checkout(s)}/{folder}", folder)
        for s in config.saltenvs
        for folder in (config.states_dir, config.pillar_dir)
    ]
    return Frame(
        states_dir=config.states_dir,
        pillar_dir=config.pillar_dir,
        groups={s.name: s.minions for s in config.saltenvs},
        served=tuple(served),
        master=_plain({**{k: opts[k] for k in TAKEN_OVER if k in opts}, "ext_pillar": asked}),
        salt_version=saltmaster.version(),
        shown=config.shown_pillar,
        keys=Keys(config.gpg_keys),
        offer=offer_of(config, place.repository),
    )


def offer_of(config: Config, repository: CommitSource) -> Offer | None:
    """Where what stands in is kept; the production branch's counts for trees that have none of their own."""
    if config.stand_in is None:
        return None
    return Offer(config.stand_in, repository.branch_or_none(config.model_branch))


def cache_of(config: Config, *, enabled: bool) -> CompileCache:
    """The cache of compiled minions."""
    return CompileCache(compilecache.folder_of(config.root) if enabled else None)


def warnings(place: Place) -> list[str]:
    """What is true of every result."""
    found = []
    source = place.config.source
    if {"gpg_keys", "ext_pillar"} & {*source.ignored}:
        found.append(
            f"gpg_keys: and ext_pillar: do not count in {source.place}: they are a machine's own"
        )
    names = [name for name, _, compiled in external_pillar(place) if not compiled]
    if names:
        found.append(
            f"external pillar is not asked ({', '.join(names)}); `pillar:` in a file of the"
            " fleet may stand in for it"
        )
    return [*found, *not_taken_over(place.master.opts)]


def external_pillar(place: Place) -> list[tuple[str, Any, bool]]:
    """Name, settings, and whether it is compiled, of each of the master's external pillars."""
    allowed = place.config.ext_pillar
    return [
        (str(name), value, name in allowed)
        for entry in place.master.opts.get("ext_pillar") or ()
        if isinstance(entry, Mapping)
        for name, value in entry.items()
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value
