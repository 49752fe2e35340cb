"""What a merge brings: its commits, its conflicts, and what it leaves behind."""

from __future__ import annotations

import re
from collections.abc import Sequence

from saltbranch.base import tickets
from saltbranch.base.tickets import CommitLine
from saltbranch.git.merge import CONFIG
from saltbranch.git.program import Git
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
    names = [*include, *(f"^{c}" for c in exclude)]
    return [line for _, line in _log(git, names, pattern, options, paths)]


def both_sides(
    git: Git, ours: str, theirs: str, pattern: re.Pattern[str]
) -> tuple[list[CommitLine], list[CommitLine]]:
    """The commits that only `ours` has, and those that only `theirs` has, children first. Raises GitError."""
    found = _log(git, [f"{ours}...{theirs}"], pattern, ("--left-right",), ())
    sides: tuple[list[CommitLine], list[CommitLine]] = ([], [])
    for side, line in found:
        sides[side == ">"].append(line)
    return sides


def _log(
    git: Git,
    names: Sequence[str],
    pattern: re.Pattern[str],
    options: Sequence[str],
    paths: Sequence[str],
) -> list[tuple[str, CommitLine]]:
    args = ["log", "-z", "--topo-order", "--format=%m%H%n%P%n%an%n%s%n%b", *options]
    args += ["--end-of-options", *names, "--", *paths]
    found = []
    for entry in git.out(*args, config=("log.showSignature=false",)).split("\0"):
        if not entry:
            continue
        commit, parents, author, subject, body = (entry.split("\n", 4) + [""] * 4)[:5]
        merge = " " in parents
        line = CommitLine(
            commit[1:], subject, author, body,
            merge=merge,
            tickets=tickets.of_message(subject, body, pattern, merge=merge),
            parents=tuple(parents.split()),
        )  # fmt: skip
        found.append((commit[0], line))
    return found


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
    words = git.out(
        "diff-tree", "-r", "-z", "--name-status", "--no-renames", old, new, config=CONFIG
    ).split("\0")
    return [(words[n], words[n + 1]) for n in range(0, len(words) - 1, 2)]


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
