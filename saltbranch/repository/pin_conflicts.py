"""Two sides that both moved the pin of a formula: the newer one counts where it contains the other.

git-merge-tree(1) decides this only beside a checked out submodule, so never in a mirror; here it comes out the same
on a laptop and on a master, since it follows from the history of the formula alone.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from saltbranch.git import merge
from saltbranch.git.merge import CONFLICT, MERGE, Merged
from saltbranch.git.program import Git
from saltbranch.git.submodules import FILE
from saltbranch.history import pins
from saltbranch.repository import gitmodules_conflict

_PIN, _PLAIN = "160000", "100644"


@dataclass(frozen=True, slots=True)
class Objects:
    """The repository of a formula as far as it is here. git: None where it lacks one of the commits asked for.

    branches: beginnings of the refs of its remote's branches. fetch: what brings the rest.
    """

    git: Git | None
    branches: tuple[str, ...] = ()
    fetch: str = ""


Find = Callable[[str, str, tuple[str, ...]], Objects]
"""From the commit of the control repository, the path of the formula and the commits wanted to its objects."""


def settled(git: Git, ours: str, merged: Merged, find: Find) -> Merged:
    """`merged`, a merge into the commit `ours`, with the pins resolved that one side's contains the other's, and a
    .gitmodules in which no entry conflicts.

    Where anything else conflicts, everything stays a conflict, for a person then resolves all of it; what becomes of
    the pins is said. Raises GitError.
    """
    if merged.kind != CONFLICT:
        return merged
    mine, other = (_pins(git, commit, merged.conflicts) for commit in (ours, merged.theirs))
    taken: dict[str, tuple[str, str]] = {}
    said = []
    for path in merged.conflicts:
        if path == FILE and (done := gitmodules_conflict.settled(git, ours, merged.theirs)):
            taken[path] = _PLAIN, done[0]
            said.append(done[1])
        elif path in mine and path in other:
            newer, why = _newer(path, mine[path], other[path], ours, find)
            said.append(why)
            if newer:
                taken[path] = _PIN, newer
    if not said:
        return merged
    if set(taken) != set(merged.conflicts):
        return replace(merged, said=tuple(said))
    return Merged(MERGE, _with(git, merged.tree, taken), theirs=merged.theirs, said=tuple(said))


def _pins(git: Git, commit: str, paths: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for line in merge.listed(git, commit, paths):
        meta, _, path = line.partition("\t")
        mode, _, oid = meta.split(" ")
        if mode == _PIN and path in paths:
            found[path] = oid
    return found


def _newer(path: str, mine: str, other: str, ours: str, find: Find) -> tuple[str, str]:
    """The pin that contains the other, "" for none; and what is to be said."""
    objects = find(ours, path, (mine, other))
    if objects.git is None:
        return "", (
            f"both sides moved the formula {path}, to {mine[:12]} and {other[:12]}; which is newer is not known"
            f" here: {objects.fetch}"
        )
    names = [pins.look(objects.git, pin, objects.branches).name for pin in (mine, other)]
    for newer, older, name, left in ((mine, other, *names), (other, mine, *names[::-1])):
        if pins.contains(objects.git, newer, older):
            return (
                newer,
                f"both sides moved the formula {path}: {name} contains {left} and is taken",
            )
    return "", (
        f"both sides moved the formula {path}, and neither {names[0]} ({mine[:12]}) nor {names[1]}"
        f" ({other[:12]}) contains the other: git update-index --cacheinfo {_PIN},COMMIT,{path} chooses one"
    )


def _with(git: Git, tree: str, chosen: Mapping[str, tuple[str, str]]) -> str:
    """The tree `tree` with `chosen`: path to mode and hash."""
    with tempfile.TemporaryDirectory(prefix="saltbranch-") as folder:
        scratch = Git(git.directory)
        scratch.env = {**git.env, "GIT_INDEX_FILE": f"{folder}/index"}
        scratch.out("read-tree", tree)
        text = "".join(f"{mode} {oid}\t{path}\0" for path, (mode, oid) in chosen.items())
        scratch.out("update-index", "-z", "--index-info", stdin=os.fsencode(text))
        return scratch.out("write-tree").strip()
