"""Two commits compared for the whole fleet: what people look at before they say yes.

`compare_trees` is what `saltbranch diff` and the gates of a promotion call; its result is frozen, has
`as_dict()` and a `digest` that a review can name.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from saltbranch.base.errors import EXIT_PARTIAL, EXIT_PENDING
from saltbranch.compiler import pgp, stand_ins
from saltbranch.compiler.cache import CompileCache
from saltbranch.compiler.custom_code import changed, custom_code
from saltbranch.compiler.dispatcher import values_key
from saltbranch.compiler.inside.mask import Mask
from saltbranch.compiler.model import Compiled, Minion
from saltbranch.compiler.pool import Frame, Spent
from saltbranch.compiler.public_words import Public
from saltbranch.compiler.tree import Tree
from saltbranch.git.tree import contents
from saltbranch.preview import groups, low_diff
from saltbranch.preview import missing as gaps
from saltbranch.preview.before_and_after import Provenance
from saltbranch.preview.causes import Cause, causes
from saltbranch.preview.compiled_sides import compiled_sides
from saltbranch.preview.contents import Contents
from saltbranch.preview.difference import MinionDiff, Sided, placed
from saltbranch.preview.groups import Group
from saltbranch.preview.low_diff import Ignore, Telling
from saltbranch.preview.rendering import Rendering, rendering

_FOLDERS = re.compile(r"(?:/[^\s/'\",:;()]+)+/")
_ADDRESS = re.compile(r"0x[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class CustomCode:
    """A file that Salt syncs to minions (``_modules/x.py``) and that differs. minions: those whose
    highstate called a function of it; for other kinds than execution modules nobody can tell.
    content: git's name of the new content, empty where there is none.
    """

    path: str
    change: str
    minions: tuple[str, ...]
    content: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"path": self.path, "change": self.change, "minions": list(self.minions)}


@dataclass(frozen=True, slots=True)
class FleetDiff:
    """What `after` changes for every minion. warnings: what holds for all of it. origin: where both sides come
    from; None where a plan tells it already. sealed: encrypted files that differ and for which others stand in.
    """

    before: Mapping[str, Any]
    after: Mapping[str, Any]
    minions: tuple[MinionDiff, ...]
    groups: tuple[Group, ...]
    code: tuple[CustomCode, ...]
    warnings: tuple[str, ...] = ()
    cached: int = 0
    ignored: int = 0
    spent: Mapping[str, Any] = field(default_factory=dict)
    origin: Provenance | None = None
    sealed: tuple[str, ...] = ()

    @property
    def causes(self) -> tuple[Cause, ...]:
        """Why minions were not compiled wholly, each error once."""
        return causes(self.incomplete)

    @property
    def failed(self) -> tuple[MinionDiff, ...]:
        """The minions of which nothing can be said."""
        return tuple(m for m in self.minions if m.result == "failed")

    @property
    def incomplete(self) -> tuple[MinionDiff, ...]:
        """The minions that were not compiled, or not wholly."""
        return tuple(m for m in self.minions if m.result != "ok")

    @property
    def differs(self) -> bool:
        """Whether anything does."""
        return bool(self.groups or self.code or self.sealed)

    @property
    def exit_code(self) -> int:
        """0 same, 3 different, 20 some minion was not compiled wholly, 1 none was."""
        if self.minions and len(self.failed) == len(self.minions):
            return 1
        if self.incomplete:
            return EXIT_PARTIAL
        return EXIT_PENDING if self.differs else 0

    @property
    def changed(self) -> int:
        """How many minions do."""
        return sum(len(g.minions) for g in self.groups)

    @property
    def removed_states(self) -> int:
        """How many states go, summed over the minions."""
        return sum(len(m.difference.removed) for m in self.minions if m.difference)

    @property
    def digest(self) -> str:
        """The same for the same difference, on any machine; for a review to name."""
        data = {
            "minions": {
                m.minion: [m.result, _steady(m.error), _signature(m)] for m in self.minions
            },
            "code": [[c.as_dict(), c.content] for c in self.code],
            **({"sealed": self.sealed} if self.sealed else {}),
        }
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """Plain data, the shape of `--json`."""
        return {
            "version": 1,
            "before": dict(self.before),
            "after": dict(self.after),
            "digest": self.digest,
            "minions": {m.minion: m.as_dict() for m in self.minions},
            "groups": [{"minions": list(g.minions), **g.difference.as_dict()} for g in self.groups],
            "code": [c.as_dict() for c in self.code],
            "causes": [c.as_dict() for c in self.causes],
            "origin": self.origin.as_dict() if self.origin else None,
            "sealed": list(self.sealed),
            "warnings": list(self.warnings),
            "ignored": self.ignored,
            "cached": self.cached,
            "spent": dict(self.spent),
        }

    def brief(self, digest: str) -> dict[str, Any]:
        """Plain data without the minions that stay the same: `diff` in the plan of a promotion."""
        failed = len(self.failed)
        return {
            "digest": digest,
            "minions": {
                "changed": self.changed,
                "total": len(self.minions),
                "failed": failed,
                "partial": len(self.incomplete) - failed,
            },
            "removed_states": self.removed_states,
            "groups": [{"minions": list(g.minions), **g.difference.as_dict()} for g in self.groups],
            "code": [c.as_dict() for c in self.code],
            "incomplete": [
                {"minion": m.minion, "result": m.result, "error": m.error} for m in self.incomplete
            ],
            "causes": [c.as_dict() for c in self.causes],
            "warnings": list(self.warnings),
        }


def _steady(error: str | None) -> str:
    """An error without what differs from machine to machine: folders, and addresses in memory."""
    return _ADDRESS.sub("0x", _FOLDERS.sub("/", error or ""))


def _signature(diff: MinionDiff) -> str | None:
    return diff.difference.signature() if diff.difference is not None else None


Progress = Callable[[int, int], None]


def compare_trees(
    frame: Frame,
    trees: tuple[Tree, Tree],
    names: tuple[Mapping[str, Any], Mapping[str, Any]],
    minions: Sequence[Minion],
    *,
    jobs: int,
    cache: CompileCache,
    ignore: Sequence[Ignore] = (),
    missing: Sequence[str] = (),
    warnings: Sequence[str] = (),
    progress: Progress | None = None,
) -> FleetDiff:
    """Compile `minions` on both trees and compare. missing: see `gaps`. Raises SandboxError, GitError."""
    trees[1].beside(trees[0])
    step, spent = _steps(2 * len(minions), progress), Spent()
    old, new = compiled_sides(
        frame, trees, minions, jobs=jobs, cache=cache, spent=spent, progress=step
    )
    telling = Tellings(trees, cache)
    rendered = rendering(
        frame,
        trees,
        (old, new),
        minions,
        lambda m: telling(m).digest,
        jobs=jobs,
        cache=cache,
        spent=spent,
        step=lambda more, number: step(number, more),
    )
    cache.tidy()
    old, new = _declared(frame, trees, (old, new), missing)
    diffs = tuple(
        _noted(
            m,
            old[m.id],
            placed(
                low_diff.compare(
                    m.saltenv,
                    old[m.id],
                    new[m.id],
                    trees,
                    states_dir=frame.states_dir,
                    ignore=ignore,
                    telling=telling(m),
                    contents=rendered.by_minion.get(m.id, Contents()),
                ),
                *(tree.place_of for tree in trees),
            ),
        )
        for m in sorted(minions, key=lambda m: m.id)
    )
    telling.keep()
    return FleetDiff(
        before=names[0],
        after=names[1],
        minions=diffs,
        groups=groups.group(diffs),
        code=_code(frame, trees, (old, new)),
        warnings=(*warnings, *_warnings(frame, trees)),
        cached=sum(r.cached for side in (old, new) for r in side.values()),
        spent={**asdict(spent), **_spent(rendered)},
        ignored=sum(d.difference.ignored for d in diffs if d.difference is not None),
        sealed=_sealed(trees),
    )


def _steps(expected: int, progress: Progress | None) -> Callable[..., None]:
    """Takes how much more is done, and how much more there is to do than was known."""
    done = [0, expected]

    def step(number: int, more: int = 0) -> None:
        done[0] += number
        done[1] += more
        if progress:
            progress(*done)

    return step


def _warnings(frame: Frame, trees: tuple[Tree, Tree]) -> Iterator[str]:
    if frame.keys.trouble:
        yield frame.keys.trouble
    yield from stand_in_warnings(frame, trees)


def _spent(rendered: Rendering) -> dict[str, Any]:
    return {
        "rendered_minions": rendered.minions,
        "rendered_files": rendered.files,
        "rendering_cpu": round(rendered.cpu, 3),
    }


def _sealed(trees: tuple[Tree, Tree]) -> tuple[str, ...]:
    """The files that both sides have encrypted, and not the same."""
    old, new = (tree.sealed for tree in trees)
    return tuple(sorted(path for path in {*old} & {*new} if old[path] != new[path]))


def stand_in_warnings(frame: Frame, trees: Sequence[Tree]) -> list[str]:
    """What stands in on a side, and what that keeps from being seen. The old side comes first, if there are two."""
    if frame.offer is None:
        return []
    line = stand_ins.told({p for tree in trees for p in tree.stand_ins}, frame.offer.folder)
    found = [line] if line else []
    for one, other, name in zip(trees, reversed(trees), ("before", "after"), strict=False):
        for path in sorted({*one.stand_ins} - {*other.stand_ins}):
            if path in other.entries:
                found.append(f"{name}: {path} cannot be read, and its stand-in is compared")
    if len(trees) == 2 and (paths := _sealed((trees[0], trees[1]))):
        found.append(
            f"encrypted, and not the same on both sides: {', '.join(paths)}; the stand-ins do not show how"
        )
    return found


def _declared(
    frame: Frame,
    trees: tuple[Tree, Tree],
    sides: tuple[dict[str, Compiled], ...],
    missing: Sequence[str],
) -> tuple[dict[str, Compiled], ...]:
    """Both sides without the errors about what is known to be missing; what was one result stays one."""
    found = []
    for tree, side in zip(trees, sides, strict=True):
        look = looked_up(frame, tree)
        found.append({name: gaps.told(c, missing, look) for name, c in side.items()})
    for name, result in sides[0].items():
        if sides[1][name] is result and found[0][name].errors == found[1][name].errors:
            found[1][name] = found[0][name]
    return tuple(found)


class Tellings:
    """How values of minions are told that are hidden. trees: what stands in them is public."""

    def __init__(self, trees: Sequence[Tree], cache: CompileCache) -> None:
        self._public, self._key = Public(trees, cache), cache.key()

    def __call__(self, minion: Minion) -> Telling:
        """Those of one."""
        mask = Mask(bytes.fromhex(values_key(self._key, minion)))
        return Telling(self._public.key, mask.digest)

    def keep(self) -> None:
        """Keep which words are public for the next run."""
        self._public.keep()


def looked_up(frame: Frame, tree: Tree) -> gaps.Look:
    """What `tree` has of what may be missing; asked for errors only. It raises GitError."""

    @functools.cache
    def look(name: str, in_pillar: bool) -> str:  # noqa: FBT001
        folder = frame.pillar_dir if in_pillar else frame.states_dir
        if name.startswith(gaps.SCHEME):
            paths = [f"{folder}/{name[len(gaps.SCHEME) :]}"]
        else:
            inner = f"{folder}/{name.replace('.', '/')}"
            paths = [f"{inner}.sls", f"{inner}/init.sls"]
        path = next((p for p in paths if p in tree.entries), None)
        if path is None:
            return "absent"
        mode, oid = tree.entries[path]
        text = contents(tree.git, [oid])[oid] if mode.startswith("100") else b""
        program = pgp.sealed_by(text)
        # What sops wrote is YAML that Salt reads.
        return "there" if program in (None, "sops") else program

    return look


def _noted(minion: Minion, old: Compiled, diff: MinionDiff) -> MinionDiff:
    """`diff` with the keys that the minion's pillar has in truth. Of the old side only: a key that the
    new one lacks may be what the commit removes.
    """
    if not minion.cached_pillar:
        return diff
    compiled = {path.partition(":")[0] for path in old.pillar} | {*old.pillar}
    lacking = [key for key in minion.cached_pillar if key not in compiled]
    if not lacking or old.result == "failed":
        return diff
    note = (
        f"the master's cache has pillar keys that are not compiled here: {', '.join(lacking)}"
        " (external pillar, or not in this commit)"
    )
    return replace(diff, notes=(*diff.notes, str(Sided("before", note))))


def _code(
    frame: Frame, trees: tuple[Tree, Tree], results: tuple[Mapping[str, Compiled], ...]
) -> tuple[CustomCode, ...]:
    before, after = (custom_code(tree, frame.states_dir) for tree in trees)
    found = []
    for path in changed(before, after):
        change = "changed" if path in before and path in after else "added"
        if path not in after:
            change = "removed"
        module = path.rpartition("/")[2].removesuffix(".py")
        users = sorted(
            {
                result.minion
                for side in results
                for result in side.values()
                if "/_modules/" in path
                and any(f.partition(".")[0] == module for f in result.functions)
            }
        )
        place = trees[path in after].place_of(path)
        found.append(CustomCode(place, change, tuple(users), after.get(path, "")))
    return tuple(found)
