"""diff: what a commit would change for every minion, compiled and compared before anything is merged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from saltbranch.base import tickets
from saltbranch.preview import known_fleet
from saltbranch.preview.before_and_after import provenance, sides
from saltbranch.preview.compare import Progress, compare
from saltbranch.preview.fleet_diff import FleetDiff
from saltbranch.preview.repository_and_master import open_place
from saltbranch.repository.clone_or_mirror import Given


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
    place = open_place(config)
    before, after = sides(place, refs)
    only = saltenv or before.saltenv or after.saltenv
    chosen = known_fleet.choose(place, minions, only)
    found = compare(place, before, after, chosen, jobs=jobs, cache=cache, progress=progress)
    pattern = tickets.compile_pattern(place.config.tickets, place.config.path)
    origin = provenance(place.repository.git, place.config.remote, before, after, pattern)
    return replace(found, origin=origin)
