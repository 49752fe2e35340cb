"""Merges in the object database: no work tree, no index of anybody, no ref (git-merge-tree(1))."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from saltbranch.base.errors import RefusedError
from saltbranch.git import signing
from saltbranch.git.identity import identity
from saltbranch.git.program import Git, failed
from saltbranch.git.signing import NOBODY, Signer

Kind = Literal["up-to-date", "fast-forward", "merge", "conflict"]
"""What merging a commit into another comes to."""

UP_TO_DATE: Final = "up-to-date"
FAST_FORWARD: Final = "fast-forward"
MERGE: Final = "merge"
CONFLICT: Final = "conflict"

# So that a merge comes out the same for everybody, whatever they configured.
CONFIG = (
    "core.attributesFile=/dev/null",
    "merge.conflictStyle=merge",
    "merge.renames=true",
    "merge.directoryRenames=conflict",
    "merge.renormalize=false",
    "merge.renameLimit=7000",
    "diff.renames=true",
)


@dataclass(frozen=True, slots=True)
class Merged:
    """What merging a commit into another gives. tree: of the result. conflicts: paths.

    theirs: the commit to merge when somebody resolves the conflict by hand: the source, with the kept paths as the
    target has them. said: what people should know of it, a line each.
    """

    kind: Kind
    tree: str
    conflicts: tuple[str, ...] = ()
    theirs: str = ""
    said: tuple[str, ...] = ()


def merge(git: Git, ours: str, theirs: str, keep: Sequence[str] = ()) -> Merged:
    """Merge the commit `theirs` into the commit `ours`; the paths `keep` stay as `ours` has them.

    Raises RefusedError for unrelated histories, GitError.
    """
    found = git.run("merge-base", "--end-of-options", ours, theirs)
    base = found.text.split("\n")[0].strip()
    if found.code == 1 and not found.err:
        raise _unrelated(ours, theirs)
    if found.code != 0:
        raise failed(found, git.directory)
    if base == theirs:
        return Merged(UP_TO_DATE, tree_of(git, ours), theirs=theirs)
    if base == ours:
        substitute = with_kept(git, theirs, ours, keep)
        kind: Kind = FAST_FORWARD if substitute == theirs else MERGE
        return Merged(kind, tree_of(git, substitute), theirs=substitute)
    return merge_trees(git, ours, theirs, keep)


def merge_trees(git: Git, ours: str, theirs: str, keep: Sequence[str] = ()) -> Merged:
    """The same by a merge commit, for a `theirs` that is known to have something that `ours` lacks."""
    substitute = with_kept(git, theirs, ours, keep)
    # In a clone git takes .gitattributes from the folder one stands in, whatever is merged (attr.c, with an
    # explicit --git-dir that is the root of the work tree); the git folder itself has none.
    done = git.run(
        "-C", git.directory, "merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", ours, substitute,
        config=CONFIG,
    )  # fmt: skip
    if done.code not in (0, 1):
        raise _unrelated(ours, theirs) if b"unrelated" in done.err else failed(done, git.directory)
    tree, *paths = done.text.rstrip("\0").split("\0")
    if done.code == 1:
        return Merged(CONFLICT, tree, tuple(sorted({p for p in paths if p})), substitute)
    return Merged(MERGE, tree, theirs=substitute)


def stages(git: Git, ours: str, theirs: str, path: str) -> dict[int, tuple[str, str]]:
    """Mode and blob of the file `path`, which conflicts, by stage: 1 the common one, 2 ours, 3 theirs.

    Raises GitError.
    """
    done = git.run(
        "-C", git.directory, "merge-tree", "--write-tree", "--no-messages", "-z", ours, theirs, config=CONFIG,
    )  # fmt: skip
    if done.code not in (0, 1):
        raise failed(done, git.directory)
    found = {}
    for line in done.text.split("\0")[1:]:
        meta, _, name = line.partition("\t")
        if name == path:
            mode, oid, stage = meta.split(" ")
            found[int(stage)] = mode, oid
    return found


def _unrelated(ours: str, theirs: str) -> RefusedError:
    return RefusedError(
        f"{ours[:12]} and {theirs[:12]} have no common history",
        hint="was one of the branches made anew? Bring it back, or join the two by hand once:"
        " git merge --allow-unrelated-histories",
    )


def with_kept(git: Git, theirs: str, ours: str, keep: Sequence[str]) -> str:
    """A commit on top of `theirs` in which the paths `keep` are as in `ours`; `theirs` where they are already.

    A merge driver would not do: git runs it only for files that both sides changed (gitattributes(5)).
    """
    if not keep:
        return theirs
    lines = [listed(git, commit, keep) for commit in (theirs, ours)]
    if lines[0] == lines[1]:
        return theirs
    gone = [f"0 {'0' * 40}\t{line.partition(chr(9))[2]}" for line in lines[0]]
    with tempfile.TemporaryDirectory(prefix="saltbranch-") as folder:
        scratch = Git(git.directory)
        scratch.env = {**git.env, "GIT_INDEX_FILE": f"{folder}/index"}
        scratch.out("read-tree", f"{theirs}^{{tree}}", config=CONFIG)
        text = "".join(f"{line}\0" for line in [*gone, *lines[1]])
        scratch.out("update-index", "-z", "--index-info", config=CONFIG, stdin=os.fsencode(text))
        tree = scratch.out("write-tree", config=CONFIG).strip()
    return write_commit(git, tree, [theirs], "Paths that belong to the target\n")


def listed(git: Git, commit: str, keep: Sequence[str]) -> list[str]:
    """The files of `commit` at or below the paths `keep`, as git-ls-tree(1) has them. Raises GitError."""
    listed = Git(git.directory)
    listed.env = {**git.env, "GIT_LITERAL_PATHSPECS": "1"}
    text = listed.out("ls-tree", "-r", "-z", "--full-tree", commit, "--", *keep)
    return [line for line in text.split("\0") if line]


def without(git: Git, commit: str, paths: Sequence[str], like: str) -> str:
    """The tree of `commit` with `paths` as in the commit `like`; that of `commit` where there are none."""
    return tree_of(git, with_kept(git, commit, like, paths))


def changes(git: Git, old: str, new: str) -> list[tuple[list[str], str]]:
    """Of each file that differs between two trees: old and new mode, old and new hash, letter; path. Raises GitError.

    The letter: A added, D deleted, M modified, T type.
    """
    words = ("diff-tree", "-r", "-z", "--raw", "--no-renames", old, new)
    parts = git.once(("changes", old, new), lambda: git.out(*words, config=CONFIG)).split("\0")
    pairs = zip(parts[::2], parts[1::2], strict=False)
    return [(meta.removeprefix(":").split(" "), path) for meta, path in pairs]


def tree_of(git: Git, commit: str) -> str:
    """The tree of a commit. Raises GitError."""
    return git.tree_of(commit)


def write_commit(
    git: Git, tree: str, parents: Sequence[str], message: str, signed: Signer = NOBODY
) -> str:
    """A commit in the object database. Raises GitError, RefusedError where it cannot be signed."""
    args = [word for parent in parents for word in ("-p", parent)]
    if signed.commits:
        whole = replace(signed, config=(*signed.config, *identity(git)))
        words = ("commit-tree", "-S", *args, "-F", "-", tree)
        text = message.encode("utf-8", "replace")
        return whole.run(git, "the merge commit", "commit.gpgSign", *words, stdin=text).text.strip()
    done = git.out(
        "commit-tree", *args, "-F", "-", tree,
        config=(*identity(git), "commit.gpgSign=false"), stdin=message.encode("utf-8", "replace"),
    )  # fmt: skip
    return done.strip()


def write_tag(
    git: Git, name: str, commit: str, message: str, *, now: float, signed: Signer = NOBODY
) -> str:
    """An annotated tag in the object database (git-mktag(1)). Raises GitError, RefusedError."""
    from saltbranch.git.identity import identity, who

    if signed.tags:
        return signing.write_signed_tag(
            git, signed, name, commit, message=message, person=identity(git), now=now
        )
    tagger = re.sub(r"[\r\n\0]", " ", who(git))
    text = (
        f"object {commit}\ntype commit\ntag {name}\ntagger {tagger} {int(now)} +0000\n\n{message}\n"
    )
    return git.out("mktag", stdin=text.encode("utf-8", "replace")).strip()
