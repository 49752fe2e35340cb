"""Compares what managed files hold for each minion that may get another content, by rendering them on both sides.

Rendering is asked for only where something differs that a template may use: its arguments, the pillar, a file that
it names, or any file at all where it does not tell which ones it reads. Results are kept like those of compiling, under
everything that was read meanwhile, so the same question costs nothing a second time.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from saltbranch.compiler.cache import CompileCache
from saltbranch.compiler.custom_code import changed
from saltbranch.compiler.inside.rendered_lines import OPEN, PILLAR, PRIVATE_KEY, split
from saltbranch.compiler.model import Chunk, Compiled, Minion, Which
from saltbranch.compiler.pool import Frame, Spent, compile_fleet
from saltbranch.compiler.public_words import Public
from saltbranch.compiler.tree import Tree
from saltbranch.git.tree import contents as blobs
from saltbranch.preview import contents
from saltbranch.preview.contents import Compared, Contents

_LARGEST = 256 << 10
_MOST_LINES = 3000


@dataclass(slots=True)
class Rendering:
    """What was rendered. cpu: seconds that it took now, beside compiling; files, minions: how many in all."""

    by_minion: dict[str, Contents] = field(default_factory=dict)
    minions: int = 0
    files: int = 0
    cpu: float = 0.0


def rendering(
    frame: Frame,
    trees: tuple[Tree, Tree],
    sides: tuple[Mapping[str, Compiled], Mapping[str, Compiled]],
    minions: Sequence[Minion],
    digest: Callable[[Minion], Callable[[Any], str] | None],
    *,
    jobs: int,
    cache: CompileCache,
    spent: Spent,
    step: Callable[[int, int], None],
) -> Rendering:
    """Render and compare. digest: of a value of a minion. step: told how many compiles more are wanted and done.

    Raises SandboxError, GitError.
    """
    found = Rendering()
    if trees[0].digest == trees[1].digest:
        return found
    plain = functools.cache(functools.partial(_plain, frame.states_dir, trees))
    moved = moved_in(frame.states_dir, trees)
    token = functools.cache(lambda path, tree: tree.source(f"{frame.states_dir}/{path}"))
    wanted = [m for m in minions if _may_differ(token, trees, sides, m.id, moved)]
    # Those that Salt takes for states, or for code, show themselves.
    held = tuple(p for p in moved if not p.endswith(".sls") and not p.startswith("_"))
    found.by_minion = {m.id: Contents(plain=plain, moved=held) for m in minions}
    found.minions = len(wanted)
    if not wanted:
        return found
    known = {m.id: sides[1][m.id] for m in wanted if sides[1][m.id].rendering}
    rest = [m for m in wanted if m.id not in known]
    step(len(wanted) + len(rest), 0)

    def compiled(tree: Tree, some: Sequence[Minion]) -> dict[str, Compiled]:
        return compile_fleet(
            replace(frame, content=True),
            tree,
            some,
            jobs=jobs,
            cache=cache,
            progress=lambda number: step(0, number),
            spent=spent,
            beside=trees,
        )

    results = (compiled(trees[0], wanted), {**known, **compiled(trees[1], rest)})
    public = Public(trees, cache)
    for minion in wanted:
        one, other = (result[minion.id] for result in results)
        found.cpu += sum(r.rendering for r in (one, other) if not r.cached)
        found.files += sum(len(c.content) for r in (one, other) for c in r.chunks)
        own = digest(minion)
        pairs = _written(frame.states_dir, trees, _pairs(one, other), own)
        compared = _compared(
            minion.id,
            sides,
            (one, other),
            pairs,
            digest=own or (lambda _text: ""),
            told=public.text,
        )
        found.by_minion[minion.id] = Contents(compared, plain, held)
    public.keep()
    return found


def _pairs(old: Compiled, new: Compiled) -> dict[str, tuple[Chunk, Chunk]]:
    """The states with rendered files that both sides have, by what tells them apart."""
    which_of = Which(old.chunks, new.chunks)
    before = {which_of(c): c for c in old.chunks}
    after = {which_of(c): c for c in new.chunks}
    return {
        w: (before[w], c)
        for w, c in after.items()
        if w in before and (c.template or before[w].template)
    }


def _may_differ(
    token: Callable[[str, Tree], str | None],
    trees: tuple[Tree, Tree],
    sides: tuple[Mapping[str, Compiled], Mapping[str, Compiled]],
    minion: str,
    moved: tuple[str, ...],
) -> bool:
    """Whether some file of a state may hold something else on the other side. token: what stands for a file."""
    old, new = (side[minion] for side in sides)
    if "failed" in (old.result, new.result):
        return False

    if old is new:  # arguments and pillar are the same, so only files can have moved
        if moved and OPEN in new.brief.flags:
            return True
        return any(token(path, trees[0]) != token(path, trees[1]) for path in new.brief.templates)
    pairs = _pairs(old, new)
    if not pairs:
        return False
    has_pillar_changed = dict(old.pillar) != dict(new.pillar)

    for one, other in pairs.values():
        flags = one.template + other.template
        if (has_pillar_changed and PILLAR in flags) or (moved and OPEN in flags):
            return True
        if dict(one.arguments) != dict(other.arguments) or one.template != other.template:
            return True
        if one.sources != other.sources:
            return True
        if any(token(path, trees[0]) != token(path, trees[1]) for path in one.sources):
            return True
    return False


def _compared(
    minion: str,
    sides: tuple[Mapping[str, Compiled], Mapping[str, Compiled]],
    results: tuple[Compiled, Compiled],
    held: Mapping[str, tuple[Chunk, Chunk]],
    *,
    digest: Callable[[Any], str],
    told: Callable[[str], str],
) -> dict[str, Compared]:
    found = {}
    broken = next((r.error for r in results if r.result == "failed"), None)
    for which in _pairs(sides[0][minion], sides[1][minion]):
        if broken is not None or which not in held:
            why = (broken or "its state did not come out again").splitlines()[0]
            found[which] = Compared(is_known=False, reason=told(why))
        else:
            found[which] = contents.compare(*held[which], digest, told)
    return found


def _written(
    states_dir: str,
    trees: tuple[Tree, Tree],
    pairs: Mapping[str, tuple[Chunk, Chunk]],
    digest: Callable[[Any], str] | None,
) -> dict[str, tuple[Chunk, Chunk]]:
    """`pairs`, where a state's file is a template on one side only with the file of the tree on the other."""

    def filled(chunk: Chunk, beside: Chunk, tree: Tree) -> Chunk:
        if digest is None or chunk.template or len(chunk.sources) != 1 or len(beside.content) != 1:
            return chunk
        data = _data(tree, f"{states_dir}/{chunk.sources[0]}")
        name = beside.content[0].source
        if data is None or not name:
            return chunk
        return replace(chunk, content=(contents.as_written(name, data, digest),))

    return {
        which: (filled(one, other, trees[0]), filled(other, one, trees[1]))
        for which, (one, other) in pairs.items()
    }


def moved_in(folder: str, trees: tuple[Tree, Tree]) -> tuple[str, ...]:
    """The files below `folder` that differ, by their paths in it."""
    begin = f"{folder}/"
    if any(tree.links or tree.attributes for tree in trees):
        names = (t.below(folder) for t in trees)
        sides = [{p: t.content(p) or "" for p in own} for t, own in zip(trees, names, strict=True)]
        differ = changed(*sides)
    else:  # the same, and quicker: there may be very many files
        one, other = (tree.entries for tree in trees)
        pairs = dict(one.items() ^ other.items())
        differ = sorted(path for path in pairs if path.startswith(begin))
    return tuple(path[len(begin) :] for path in differ)


def _data(tree: Tree, name: str) -> bytes | None:
    """The content of a file, where git writes it as it is."""
    mode, oid = tree.entries.get(name, ("", ""))
    if not mode.startswith("100") or tree.content(name) != f"{mode} {oid}":
        return None
    return blobs(tree.git, [oid])[oid]


def _plain(
    states_dir: str, trees: tuple[Tree, Tree], path: str
) -> tuple[tuple[str, ...], int] | None:
    """The difference of a file of the tree itself, as far as git writes it there as it is."""
    texts = []
    for tree in trees:
        data = _data(tree, f"{states_dir}/{path}")
        if data is None:
            return None
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            return None
        if len(data) > _LARGEST or "\0" in text or PRIVATE_KEY.search(text):
            return None
        lines = split(text)
        if len(lines) > _MOST_LINES:
            return None
        texts.append([(line, line) for line in lines])
    return contents.hunks(*texts)
