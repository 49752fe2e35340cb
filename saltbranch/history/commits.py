"""Commits as the reading verbs need them, each question one git call; none of the user's git configuration counts."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from saltbranch.base import tickets
from saltbranch.base.tickets import CommitLine
from saltbranch.git.program import Git, failed
from saltbranch.history import reverts
from saltbranch.history.graph import Graph
from saltbranch.history.reverts import Links

# Comparing patches stops at so many commits that change the same paths, and at so many paths of one commit.
MOST_CANDIDATES = 300
MOST_PATHS = 2000
_DAY = 86400


@dataclass(frozen=True, slots=True)
class CommitTold:
    """A commit as people want to see it. time: the committer's, seconds since 1970. side: ``<`` or ``>`` where two
    histories are told apart (``--left-right``), else ``>``.
    """

    line: CommitLine
    time: float
    side: str = ">"

    def as_dict(self) -> dict[str, object]:
        """Plain data."""
        return self.line.as_dict()


def read_graph(git: Git, starts: Iterable[str]) -> Graph:
    """All commits that `starts` contain. Raises GitError."""
    args = ("rev-list", "--timestamp", "--parents", "--topo-order", "--stdin")
    return Graph(git.out(*args, stdin=_lines(starts)).splitlines())


def log(
    git: Git,
    pattern: re.Pattern[str],
    *options: str,
    revisions: Iterable[str],
    paths: Sequence[str] = (),
) -> dict[str, CommitTold]:
    """Hash to commit, as `git log` with `options` lists those of `revisions`. Raises GitError.

    The one reader of commits: all verbs say the same author and subject. paths: pathspecs.
    """
    form = "--format=%m%H%n%P%n%ct%n%an%n%s%n%b"
    args = ("log", "-z", form, *options, "--stdin", "--", *paths)
    found = {}
    for entry in git.out(*args, stdin=_lines(revisions)).split("\0"):
        if not entry:
            continue
        marked, parents, time, author, subject, body = (entry.split("\n", 5) + [""] * 5)[:6]
        commit = marked[1:]
        merge = " " in parents
        named = tickets.of_message(subject, body, pattern, merge=merge)
        line = CommitLine(
            commit, subject, author, body, merge=merge,
            tickets=named, parents=tuple(parents.split()),
        )  # fmt: skip
        found[commit] = CommitTold(line, float(time), marked[:1])
    return found


def told(git: Git, pattern: re.Pattern[str], commits: Iterable[str]) -> dict[str, CommitTold]:
    """Each of `commits`, without its history. Raises GitError."""
    wanted = list(commits)
    return log(git, pattern, "--no-walk=unsorted", revisions=wanted) if wanted else {}


def read_links(git: Git, graph: Graph, starts: Iterable[str]) -> Links:
    """What the messages in the history of `starts` say of cherry-picks and reverts. Raises GitError."""
    args = ("log", "-z", "--fixed-strings", "--grep=(cherry picked from commit ",
            "--grep=This reverts commit ", "--format=%H%n%B", "--stdin")  # fmt: skip
    entries = git.out(*args, stdin=_lines(starts)).split("\0")
    pairs = (entry.partition("\n") for entry in entries if entry)
    return reverts.read_links({commit: text for commit, _, text in pairs}, graph)


def same_patch(git: Git, commit: str, starts: Iterable[str]) -> frozenset[str]:
    """The commits in the history of `starts` with the same patch as `commit` (git-patch-id(1) --stable).

    Only commits that change exactly the same paths are compared, and none that is older than what `commit` was
    written: a cherry-pick keeps the author's date. Raises GitError.
    """
    written = git.out("show", "-s", "--format=%at", "--end-of-options", commit)
    paths = _paths(git, [commit]).get(commit, frozenset())
    if not paths or len(paths) > MOST_PATHS:
        return frozenset()
    # Whatever has all the paths has this one, which is likely to change rarely.
    rare = max(paths, key=lambda path: (path.count("/"), len(path), path))
    args = (
        "rev-list",
        "--no-merges",
        "--full-history",
        f"--since={int(written) - _DAY}",
        "--stdin",
    )
    touching = git.out(*args, "--", f":(literal){rare}", stdin=_lines(starts)).split()
    alike = [c for c, found in _paths(git, touching).items() if found == paths]
    keys = patch_keys(git, dict.fromkeys([commit, *alike[:MOST_CANDIDATES]]))
    mine = keys.get(commit)
    return frozenset(c for c, key in keys.items() if mine and key == mine)


def look_alikes(git: Git, commit: str, starts: Iterable[str]) -> list[str]:
    """Commits in the history of `starts` with author, author's date and subject of `commit`, which a cherry-pick keeps.

    Raises GitError.
    """
    form = "%at %ae%n%s"
    mine = git.out("show", "-s", f"--format={form}", "--end-of-options", commit)
    since = int(mine.split(" ", 1)[0]) - _DAY
    args = ("log", "-z", "--no-merges", f"--since={since}", f"--format=%H {form}", "--stdin")
    entries = git.out(*args, stdin=_lines(starts)).split("\0")
    pairs = (entry.partition(" ") for entry in entries)
    return [found for found, _, rest in pairs if rest == mine.rstrip("\n") and found != commit]


def patch_keys(git: Git, commits: Iterable[str]) -> dict[str, str]:
    """Commit to a text that is the same for commits with the same patch. Merges have none. Raises GitError."""
    args = (
        "diff-tree",
        "-p",
        "--full-index",
        "--no-renames",
        "--no-ext-diff",
        "--no-textconv",
        "--stdin",
    )
    done = git.run(*args, "--root", stdin=_lines(commits))
    if done.code != 0:
        raise failed(done, git.directory)
    ids = git.out("patch-id", "--stable", stdin=done.out).splitlines()
    binary = _binary(done.out)
    pairs = (line.split() for line in ids)
    return {commit: f"{key} {binary.get(commit, '')}" for key, commit in pairs}


def _binary(patches: bytes) -> dict[str, str]:
    """Commit to the new object ids of its binary files, of which patch-id sees nothing but the names."""
    found: dict[str, str] = {}
    commit, index = "", ""
    for line in patches.split(b"\n"):
        if len(line) == 40 and not line.strip(b"0123456789abcdef"):
            commit = line.decode()
        elif line.startswith(b"index "):
            index = line.decode("ascii", "replace")
        elif line.startswith(b"Binary files "):
            found[commit] = found.get(commit, "") + index
    return found


def _paths(git: Git, commits: Sequence[str]) -> dict[str, frozenset[str]]:
    """Commit to the paths that it changes against its parent."""
    if not commits:
        return {}
    args = ("diff-tree", "-r", "-z", "--root", "--no-renames", "--name-only", "--stdin")
    found: dict[str, set[str]] = {}
    asked, commit = set(commits), ""
    for word in git.out(*args, stdin=_lines(commits)).split("\0"):
        if word in asked:  # with -z the hash is a word among the paths
            commit = word
            found[commit] = set()
        elif word:
            found[commit].add(word)
    return {commit: frozenset(paths) for commit, paths in found.items()}


def last_change(git: Git, head: str, path: str) -> str | None:
    """The last commit in the history of `head` that changed `path`. Raises GitError."""
    args = ("rev-list", "-1", "--end-of-options", head, "--", f":(literal){path}")
    return git.out(*args).strip() or None


def object_at(git: Git, commit: str, path: str) -> str | None:
    """The object id of the file or folder `path` in `commit`."""
    args = ("ls-tree", "-z", "--full-tree", commit, "--", path.rstrip("/"))
    listed = Git(git.directory)
    listed.env = {**git.env, "GIT_LITERAL_PATHSPECS": "1"}
    words = listed.out(*args).partition("\t")[0].split()
    return words[2] if len(words) == 3 else None


def _lines(words: Iterable[str]) -> bytes:
    return b"".join(os.fsencode(f"{word}\n") for word in words)
