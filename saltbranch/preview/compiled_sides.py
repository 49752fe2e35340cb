"""Compiles both sides of a comparison: what is kept of them is looked up while a worker loads Salt for the rest."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from saltbranch.compiler.cache import CompileCache, base_of
from saltbranch.compiler.inside.rendered_lines import OPEN, PILLAR
from saltbranch.compiler.model import Brief, Compiled, Minion
from saltbranch.compiler.pool import Frame, Spent, compile_fleet, early_worker
from saltbranch.compiler.public_words import Public
from saltbranch.compiler.tree import Tree
from saltbranch.compiler.worker_process import EarlyWorker
from saltbranch.preview.rendering import moved_in


def compiled_sides(
    frame: Frame,
    trees: tuple[Tree, Tree],
    minions: Sequence[Minion],
    *,
    jobs: int,
    cache: CompileCache,
    spent: Spent,
    progress: Callable[[int], None],
) -> tuple[dict[str, Compiled], dict[str, Compiled]]:
    """Every minion's result on both trees, by its ID; where all that minions read is the same, the same ones twice.

    Raises SandboxError, GitError.
    """
    # What only the rest of the repository changed, no minion reads.
    is_same = trees[0].digest == trees[1].digest
    with early_worker(frame, trees[1], minions) as early:
        kept = {} if is_same else _kept(frame, trees, minions, cache, early)
        old = compile_fleet(
            frame,
            trees[0],
            minions,
            jobs=jobs,
            cache=cache,
            progress=progress,
            spent=spent,
            beside=trees,
        )
        if is_same:
            return old, old
        sides = (old, kept)
        return old, _new_side(
            frame,
            trees,
            sides,
            minions,
            jobs=jobs,
            cache=cache,
            spent=spent,
            progress=progress,
            early=early,
        )


def _kept(
    frame: Frame,
    trees: tuple[Tree, Tree],
    minions: Sequence[Minion],
    cache: CompileCache,
    early: EarlyWorker | None = None,
) -> dict[str, Compiled]:
    """What the cache has of the second tree. early: begun when something is lacking, unless all of it is."""
    public = Public(trees, cache)
    prints = {s: frame.fingerprint(s, cache.key()) for s in {m.saltenv for m in minions}}
    found: dict[str, Compiled] = {}
    lacking = ""
    for minion in minions:
        kept = cache.get(base_of(minion, prints[minion.saltenv]), trees[1])
        if kept is not None:
            found[minion.id] = public.shown(kept)
        lacking = lacking or (minion.saltenv if kept is None else "")
        if early and lacking and found:
            early.begin(lacking)
    public.keep()
    return found


def _new_side(
    frame: Frame,
    trees: tuple[Tree, Tree],
    sides: tuple[Mapping[str, Compiled], Mapping[str, Compiled]],
    minions: Sequence[Minion],
    *,
    jobs: int,
    cache: CompileCache,
    spent: Spent,
    progress: Callable[[int], None],
    early: EarlyWorker,
) -> dict[str, Compiled]:
    """Compile the second tree. A minion whose content will be asked for, whatever its states will be, is rendered at
    once. sides: all of the first, and what `_kept` found of the second. Raises SandboxError, GitError.
    """
    tree, old = trees[1], sides[0]
    lacking = [m for m in minions if m.id not in sides[1]]
    # What was made for the first tree meanwhile, and holds for this one as well.
    found = {**sides[1], **_kept(frame, trees, lacking, cache)}
    asked = _Asked(frame, trees)
    prints = {s: frame.fingerprint(s, cache.key()) for s in {m.saltenv for m in minions}}
    plain: list[Minion] = []
    rendered: list[Minion] = []
    for minion in lacking:
        if minion.id not in found:
            (rendered if asked(old[minion.id].brief) else plain).append(minion)
    progress(len(found))

    def compiled(how: Frame, some: Sequence[Minion]) -> dict[str, Compiled]:
        return compile_fleet(
            how,
            tree,
            some,
            jobs=jobs,
            cache=cache,
            progress=progress,
            spent=spent,
            beside=trees,
            likely={path for m in some for path in old[m.id].reads.files},
            early=early,
        )

    how = replace(frame, content=True)
    with_content = compiled(how, rendered) if rendered else {}
    for minion in rendered:  # the same without content, for whoever asks for that
        kept = cache.get(base_of(minion, how.fingerprint(minion.saltenv, cache.key())), tree)
        if kept is not None:
            chunks = tuple(replace(c, content=()) if c.content else c for c in kept.chunks)
            bare = replace(kept, chunks=chunks, rendering=0.0)
            cache.put(base_of(minion, prints[minion.saltenv]), tree, bare)
    # What a template does must not cost a minion its highstate.
    plain += [m for m in rendered if with_content[m.id].result == "failed"]
    return {**found, **with_content, **(compiled(frame, plain) if plain else {})}


class _Asked:
    """Whether the content of templates will be asked for by what differs between two trees alone. Where a state gets
    other arguments, it will be as well, but then nobody knows beforehand.
    """

    def __init__(self, frame: Frame, trees: tuple[Tree, Tree]) -> None:
        self.frame, self.trees = frame, trees
        self.flags = OPEN if moved_in(frame.states_dir, trees) else ""
        self.flags += PILLAR if moved_in(frame.pillar_dir, trees) else ""
        self._has_moved = functools.cache(self._differs)

    def __call__(self, brief: Brief) -> bool:
        """brief: of the old side."""
        return any(flag in brief.flags for flag in self.flags) or any(
            map(self._has_moved, brief.templates)
        )

    def _differs(self, path: str) -> bool:
        one, other = (tree.source(f"{self.frame.states_dir}/{path}") for tree in self.trees)
        return one != other
