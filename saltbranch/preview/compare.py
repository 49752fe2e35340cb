"""What all minions of a comparison share: the master's options, the cache, what is known to be left out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from saltbranch.base.errors import ConfigError
from saltbranch.base.text import some
from saltbranch.compiler import cache as compile_cache
from saltbranch.compiler import extra_roots, sandbox
from saltbranch.compiler.cache import CompileCache
from saltbranch.compiler.decipher import Keys
from saltbranch.compiler.master_options import TAKEN_OVER, not_taken_over
from saltbranch.compiler.model import Minion
from saltbranch.compiler.pool import Frame
from saltbranch.compiler.stand_ins import Offer
from saltbranch.config.check import roots_of
from saltbranch.config.locate import FILE_NAME
from saltbranch.config.model import Config
from saltbranch.config.read import parse_file
from saltbranch.config.roots import KEYS, KINDS
from saltbranch.preview.fleet_diff import FleetDiff, compare_trees
from saltbranch.preview.repository_and_master import RepositoryAndMaster
from saltbranch.repository.commit_source import CommitSource, Side
from saltbranch.repository.formulas import formulas_in
from saltbranch.salt_master import options as master_options

Progress = Callable[[int, int], None]


def compare(
    place: RepositoryAndMaster,
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
    trees = (frame.tree(git, before.tree), frame.tree(git, after.tree))
    found = compare_trees(
        frame,
        trees,
        (before.as_dict(), after.as_dict()),
        minions,
        jobs=jobs or os.cpu_count() or 1,
        cache=cache_of(place.config, enabled=cache),
        ignore=place.config.ignore,
        missing=place.config.missing,
        warnings=[
            *warnings(place),
            *frame.extra.said,
            *dict.fromkeys(said for tree in trees for said in tree.left_out),
            *_other_roots(place, (before, after)),
            *_left_empty(frame, (before.tree, after.tree)),
        ],
        progress=progress,
    )
    # Nothing ran where all came from the cache.
    warning = sandbox.find().warning if found.spent["workers"] else None
    return replace(found, warnings=(warning, *found.warnings)) if warning else found


def _other_roots(place: RepositoryAndMaster, sides: Iterable[Side]) -> Iterator[str]:
    """That a side's own saltbranch.yaml has other roots than those that are in force."""
    for side in sides:
        done = place.repository.git.run("cat-file", "blob", f"{side.tree}:{FILE_NAME}")
        try:
            model = parse_file(done.text, FILE_NAME)
            own = roots_of(model, FILE_NAME)
        except ConfigError:
            continue  # told by whoever judges the file
        for kind, key in KEYS.items():
            is_model = done.code == 0 and model.saltenvs is not None
            if is_model and own.written(kind) != place.config.roots.written(kind):
                yield (
                    f"{side.name}: its {FILE_NAME} has {key}: {own.told(kind)}, which counts once it is on the"
                    f" production branch; compared by what is in force: {place.config.roots.told(kind)}"
                )


def _left_empty(frame: Frame, names: Iterable[str]) -> list[str]:
    """That the formulas of the commits or trees `names` are empty here, as they are served."""
    formulas = frame.formulas
    if formulas is None or formulas.listed != ():
        return []
    paths = sorted({path for name in names for path in formulas.pins(name)})
    told = f"formulas stay empty, since this machine lists no submodules: ({some(paths)})"
    return [told] if paths else []


def frame_of(place: RepositoryAndMaster) -> Frame:
    """What all minions share."""
    config, opts = place.config, place.master.opts
    asked = [{name: value} for name, value, compiled in external_pillar(place) if compiled]
    served = [
        (s.name, config.salt_root(s, kind), config.roots.prefix(kind))
        for s in config.saltenvs
        for kind in KINDS
    ]
    formulas = formulas_in(place.repository, config)
    return Frame(
        states_dir=config.states_dir,
        pillar_dir=config.pillar_dir,
        groups={s.name: s.minions for s in config.saltenvs},
        served=tuple(served),
        master=_plain({**{k: opts[k] for k in TAKEN_OVER if k in opts}, "ext_pillar": asked}),
        salt_version=master_options.version(),
        shown=config.shown_pillar,
        keys=Keys(config.gpg_keys),
        offer=offer_of(config, place.repository),
        roots=config.roots,
        formulas=formulas,
        extra=extra_roots.of(config, formulas),
    )


def offer_of(config: Config, repository: CommitSource) -> Offer | None:
    """Where what stands in is kept; the production branch's counts for trees that have none of their own."""
    if config.stand_in is None:
        return None
    return Offer(config.stand_in, repository.branch_or_none(config.model_branch))


def cache_of(config: Config, *, enabled: bool) -> CompileCache:
    """The cache of compiled minions."""
    return CompileCache(compile_cache.folder_of(config.root) if enabled else None)


def warnings(place: RepositoryAndMaster) -> list[str]:
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
            f"external pillar is not queried ({', '.join(names)}); `pillar:` in a file of the"
            " fleet may stand in for it"
        )
    return [*found, *not_taken_over(place.master.opts)]


def external_pillar(place: RepositoryAndMaster) -> list[tuple[str, Any, bool]]:
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
