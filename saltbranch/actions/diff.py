"""diff: what a commit would change for every minion, compiled and compared before anything is merged."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from saltbranch import saltmaster
from saltbranch.actions import fleet
from saltbranch.actions.fleet import Place
from saltbranch.commitsource import Side
from saltbranch.compilecache import CompileCache
from saltbranch.compiler import sandbox
from saltbranch.compiler.model import Minion
from saltbranch.compiler.pool import Frame
from saltbranch.config import Config
from saltbranch.errors import UsageError
from saltbranch.fleetdiff import FleetDiff, compare_trees

# The options of a master that `compiler.highstate` takes over; named here, for that imports Salt.
_MASTER_OPTIONS = (
    "nodegroups", "renderer", "renderer_blacklist", "renderer_whitelist", "jinja_env",
    "jinja_sls_env", "jinja_trim_blocks", "jinja_lstrip_blocks", "pillar_source_merging_strategy",
    "pillar_merge_lists", "pillar_includes_override_sls", "state_aggregate", "state_auto_order",
    "hash_type", "file_ignore_regex", "file_ignore_glob", "allow_undefined", "failhard",
)  # fmt: skip

Progress = Callable[[int, int], None]


def diff(
    config_path: str,
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
    place = fleet.open_place(config_path)
    before, after = sides(place, refs)
    only = saltenv or before.saltenv or after.saltenv
    chosen = fleet.choose(place, minions, only)
    return compare(place, before, after, chosen, jobs=jobs, cache=cache, progress=progress)


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
    return compare_trees(
        frame,
        (frame.tree(git, before.tree), frame.tree(git, after.tree)),
        (before.as_dict(), after.as_dict()),
        minions,
        jobs=jobs or os.cpu_count() or 1,
        cache=cache_of(place.config, enabled=cache),
        ignore=place.config.ignore,
        warnings=warnings(place),
        progress=progress,
    )


def sides(place: Place, refs: Sequence[str]) -> tuple[Side, Side]:
    """What is compared with what. Raises UsageError, RefusedError, GitError."""
    config, repository = place.config, place.repository
    if len(refs) == 2:
        return repository.side(config, refs[0]), repository.side(config, refs[1])
    if len(refs) != 1:
        raise UsageError("diff takes one saltenv or two refs", hint="saltbranch diff prod")
    target = repository.side(config, refs[0])
    source_name = config.saltenv(target.saltenv).promote_from if target.saltenv else None
    if source_name is None:
        raise UsageError(
            f"{refs[0]} is no saltenv with a promote_from:",
            hint="name both sides: saltbranch diff A B",
        )
    source = repository.side(config, source_name)
    merged = repository.merged(source, target)
    return target, Side(f"{target.name} with {source.name} merged in", merged, target.saltenv)


def frame_of(place: Place) -> Frame:
    """What all minions share."""
    config = place.config
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
        master=_plain({k: place.master.opts[k] for k in _MASTER_OPTIONS if k in place.master.opts}),
        salt_version=saltmaster.version(),
    )


def cache_of(config: Config, *, enabled: bool) -> CompileCache:
    """The cache: below the root where there is one, else the user's own."""
    if not enabled:
        return CompileCache(None)
    state = f"{config.root}/state"
    if os.path.isdir(state) and os.access(state, os.W_OK):
        return CompileCache(f"{state}/compiled")
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return CompileCache(f"{base}/saltbranch/compiled")


def warnings(place: Place) -> list[str]:
    """What is true of every result."""
    found = []
    if warning := sandbox.find().warning:
        found.append(warning)
    names = [
        next(iter(e)) for e in place.master.opts.get("ext_pillar") or () if isinstance(e, dict)
    ]
    if names:
        found.append(
            f"external pillar is not asked ({', '.join(map(str, names))}); `pillar:` in a file of the"
            " fleet may stand in for it"
        )
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value
