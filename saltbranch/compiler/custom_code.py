"""What of a tree is code of the branch, and what of it another commit changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from saltbranch.compiler.tree import Tree


def custom_code(tree: Tree, states_dir: str) -> dict[str, str]:
    """Path to content of what Salt syncs to minions: ``_modules/x.py`` and the like."""
    prefix = f"{states_dir}/_"
    return {
        path: tree.content(path) or ""
        for path in tree.entries
        if path.startswith(prefix) and "/" in path[len(prefix) :]
    }


def changed(one: Mapping[str, str], other: Mapping[str, str]) -> Iterable[str]:
    """The keys whose values differ, or that only one has."""
    return sorted(k for k in {*one, *other} if one.get(k) != other.get(k))
