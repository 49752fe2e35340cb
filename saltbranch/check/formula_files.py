"""The files that `check` reads, those of the formulas that a commit pins among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from saltbranch.check.checked_repository import CheckedRepository
from saltbranch.check.files import Files, read
from saltbranch.git import submodules, tree
from saltbranch.git.tree import Blob


def of_commit(place: CheckedRepository, commit: str) -> Files:
    """The files of a commit, those of its formulas among them. Raises GitError."""
    if place.git.blob_or_none(commit, submodules.FILE) is None:
        return read(place, lambda wanted: tree.read_commit(place.git, commit, wanted))
    whole = place.formulas.composed(place.git, place.full_name(commit))
    found = read(place, lambda wanted: tree.read_commit(whole.git, whole.name, wanted))
    return replace(found, gaps=whole.gaps, formulas=whole.paths, refused=whole.refused)


def of_work_tree(place: CheckedRepository, clone: str) -> Files:
    """The files of the work tree `clone`; of its formulas what is checked out there, as far as it is committed.

    Raises GitError.
    """

    def read_all(wanted: Callable[[str], bool]) -> dict[str, Blob]:
        found = tree.read_work_tree(place.git, clone, wanted)
        links = [path for path, blob in found.items() if blob.kind == "submodule"]
        if not links or submodules.FILE not in found:
            return found
        with tree.of_work_tree(place.git, clone) as (git, name):
            whole = place.formulas.composed(git, name)
            gaps.update(whole.gaps)
            paths.extend(whole.paths)
            refused.update(whole.refused)
            inner = tree.read_commit(whole.git, whole.name, wanted)
        below = tuple(f"{path}/" for path in links)
        brought = {path: blob for path, blob in inner.items() if path.startswith(below)}
        filled = {link for link in links if any(path.startswith(f"{link}/") for path in brought)}
        return {**{p: b for p, b in found.items() if p not in filled}, **brought}

    gaps: dict[str, str] = {}
    paths: list[str] = []
    refused: set[str] = set()
    found = read(place, read_all)
    return replace(
        found, gaps=gaps, formulas=tuple(dict.fromkeys(paths)), refused=frozenset(refused)
    )


def real_place(files: Files, path: str) -> str:
    """Where the file is that a link to a formula shows as `path`; `path` of all others."""
    real = files.aliases.get(path, "")
    return real if real.startswith(tuple(f"{formula}/" for formula in files.formulas)) else path
