"""What a merge brings: its commits, its conflicts, and what it leaves behind."""

from __future__ import annotations

import re
from collections.abc import Sequence

from saltbranch.base.tickets import CommitLine
from saltbranch.git.merge import CONFIG, changes
from saltbranch.git.program import Git
from saltbranch.history import commits as history
from saltbranch.promote.plan import Conflict


def log(
    git: Git,
    include: Sequence[str],
    exclude: Sequence[str],
    pattern: re.Pattern[str],
    *options: str,
    paths: Sequence[str] = (),
) -> list[CommitLine]:
    """The commits that `include` has and `exclude` has not, children first. Raises GitError."""
    revisions = [*include, *(f"^{commit}" for commit in exclude)]
    found = history.log(git, pattern, "--topo-order", *options, revisions=revisions, paths=paths)
    return [told.line for told in found.values()]


def both_sides(
    git: Git, ours: str, theirs: str, pattern: re.Pattern[str]
) -> tuple[list[CommitLine], list[CommitLine]]:
    """The commits that only `ours` has, and those that only `theirs` has, children first. Raises GitError."""
    found = history.log(
        git, pattern, "--topo-order", "--left-right", revisions=[f"{ours}...{theirs}"]
    ).values()
    return [t.line for t in found if t.side == "<"], [t.line for t in found if t.side == ">"]


def conflicts(
    git: Git, ours: str, theirs: str, paths: Sequence[str], pattern: re.Pattern[str]
) -> tuple[Conflict, ...]:
    """Who changed each of the conflicting `paths` on either side."""
    return tuple(
        Conflict(
            path,
            tuple(log(git, [ours], [theirs], pattern, "--no-merges", paths=[f":(literal){path}"])),
            tuple(log(git, [theirs], [ours], pattern, "--no-merges", paths=[f":(literal){path}"])),
        )
        for path in paths
    )


def changed_files(git: Git, old: str, new: str) -> list[tuple[str, str]]:
    """(letter, path) of each file that differs between two trees: A added, D deleted, M modified, T type."""
    return [(meta[4], path) for meta, path in changes(git, old, new)]


def left_behind(
    git: Git,
    source: str,
    target: str,
    beyond: Sequence[CommitLine],
    owned: Sequence[str],
) -> list[CommitLine]:
    """Those of `beyond`, the commits that only `target` has, that `source` lacks also as a cherry-pick.

    Merges do not count, nor do commits of owned paths alone.
    """
    plain = [line for line in beyond if not line.merge]
    if not plain:
        return []
    paths = [".", *(f":(exclude,literal){p}" for p in owned)] if owned else []
    form = ["log", "-z", "--no-merges", "--cherry-pick", "--right-only", "--format=%H"]
    text = git.out(*form, "--end-of-options", f"{source}...{target}", "--", *paths, config=CONFIG)
    kept = set(text.split("\0"))
    return [line for line in plain if line.commit in kept]
