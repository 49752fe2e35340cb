"""Which commits may be served: what would break a saltenv or open it to others is refused beforehand.

Loaded by a sync that has something to switch.
"""

from __future__ import annotations

import os

from saltbranch.base.errors import GitError, RefusedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from saltbranch.git.mirror import Mirror
    from saltbranch.git.program import Git

# A Git LFS pointer (docs/spec.md of git-lfs): how it begins, and how many bytes it may have.
LFS_BEGIN = b"version https://git-lfs.github.com/spec/"
LFS_SHORTEST, LFS_LONGEST = 100, 1024

# What git calls the tree without files, in repositories with SHA-1 names.
_EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


def is_rewritten(mirror: Mirror, old: str, new: str) -> bool:
    """Whether `new` does not contain `old`, so that following it would drop commits. Raises GitError."""
    try:
        return not mirror.git.is_ancestor(old, new)
    except GitError:
        if not mirror.is_whole(new):
            raise
        return True  # the old commit is unknown since the mirror was rebuilt: it is in no branch any more


def refuse_empty(
    commit: str, states_dir: str, pillar_dir: str, *, had_pillar: bool, has: Callable[[str], bool]
) -> None:
    """Refuse a commit without states, or one that would take away all pillar at once.

    has: whether the commit holds a folder with files. Raises RefusedError.
    """
    if not has(states_dir):
        raise RefusedError(
            f"commit {commit[:12]} has no folder {states_dir}/ with files in it (a submodule or a link is none)",
            hint="push a commit that has it, or fix states_dir: in saltbranch.yaml",
        )
    if had_pillar and not has(pillar_dir):
        raise RefusedError(
            f"commit {commit[:12]} has no folder {pillar_dir}/ with files in it (a submodule or a link is"
            " none), which what is served has: every minion would lose its pillar",
            hint="push a commit that has it (an empty top.sls in it will do if that is meant)",
        )


def has_files(top: str, folder: str) -> bool:
    """Whether `folder` below `top` is a folder with a file in it.

    A link is none, nor is what is empty, as a submodule is here: Salt would serve nothing from it.
    """
    path = top
    for part in folder.split("/"):
        path = f"{path}/{part}"
        if os.path.islink(path):
            return False
    return any(names for _, _, names in os.walk(path))


def list_has_files(paths: Iterable[str], folder: str) -> bool:
    """The same of a list of files and links, submodules left out."""
    begin = "".join(f"{part}/" for part in folder.split("/") if part not in ("", "."))
    return any(path.startswith(begin) for path in paths)


def commit_has_files(git: Git, commit: str, folder: str) -> bool:
    """The same of a commit that is not checked out. Raises GitError."""
    path = "/".join(part for part in folder.split("/") if part not in ("", "."))
    literal = git.with_env(GIT_LITERAL_PATHSPECS="1")
    listed = literal.out("ls-tree", "-r", "-z", "--full-tree", commit, "--", f"{path}/")
    return any(" blob " in line.partition("\t")[0] for line in listed.split("\0"))


def refusal(
    git: Git, commit: str, proven: str | None, states_dir: str, pillar_dir: str, *, had_pillar: bool
) -> str | None:
    """Why no master serves `commit`; None where one would. Raises GitError.

    proven: a commit that passed before. had_pillar: there was pillar before.
    """

    def has(folder: str) -> bool:
        return commit_has_files(git, commit, folder)

    try:
        refuse_unsafe_links(git, commit, proven, pillar_dir)
        refuse_empty(commit, states_dir, pillar_dir, had_pillar=had_pillar, has=has)
    except RefusedError as err:
        return f"{err.message} ({err.hint})"
    return None


def refuse_unsafe_links(
    git: Git, commit: str, proven: str | None, pillar_dir: str, *, tree: str | None = None
) -> tuple[list[str], list[str]]:
    """Refuse `commit` when a symlink in it leads out of the tree, or into the pillar.

    Salt's file server follows links as the master's user, so such a link would hand /etc/shadow to
    every minion. proven: a commit that passed before; then only what changed since is looked at,
    which is enough because each link is judged alone: leading ``..`` parts from its own (real)
    folder, then names only. tree: what is served of the commit, where that is more than its own files; then
    `proven` is a tree, too. Returns the submodules and the files found. Raises RefusedError, GitError.
    """
    args = ("diff-tree", "-r", "-z", "--no-renames", "--diff-filter=AMT")
    done = git.run(*args, proven or _EMPTY_TREE, tree or commit)
    if done.code != 0:
        # A mirror that was made anew lacks a proven commit that no branch has any more.
        text = git.out(*args, _EMPTY_TREE, tree or commit)
    else:
        text = done.text
    parts = text.split("\0")
    modules, names = [], []
    for meta, path in zip(parts[::2], parts[1::2], strict=False):
        _, mode, _, oid, _ = meta.split(" ")
        if mode == "160000":
            modules.append(path)
        elif mode == "120000":
            target = git.out("cat-file", "blob", oid)
            if problem := link_problem(path, target, pillar_dir):
                raise RefusedError(
                    f"commit {commit[:12]} holds the symlink {path!r} -> {target!r}, which {problem}",
                    hint="remove the link, or let it point to a file below its own folder tree",
                )
        else:
            names.append(path)
    return modules, names


def lfs_pointers(top: str, paths: Iterable[str], folders: Sequence[str]) -> list[str]:
    """Those of `paths` below `folders` that hold a Git LFS pointer and not the file that it stands for.

    They are read below `top` as they are served, so a filter that fetched the file has done so.
    """
    below = tuple(f"{folder}/" for folder in folders)
    return [p for p in paths if p.startswith(below) and is_lfs_pointer(f"{top}/{p}")]


def is_lfs_pointer(path: str) -> bool:
    """Whether the file `path` is a Git LFS pointer."""
    try:
        if not LFS_SHORTEST <= os.stat(path).st_size <= LFS_LONGEST:
            return False
        with open(path, "rb") as file:
            return file.read(len(LFS_BEGIN)) == LFS_BEGIN
    except OSError:
        return False


def link_problem(path: str, target: str, pillar_dir: str) -> str | None:
    """What is wrong with a symlink `path` -> `target` in a served tree; None when nothing is."""
    if target.startswith("/"):
        return "leaves the checkout (it is absolute)"
    if "\0" in target or not target:
        return "points nowhere"
    depth = path.count("/")
    up = 0
    names: list[str] = []
    for part in target.split("/"):
        if part in ("", "."):
            continue
        if part != "..":
            names.append(part)
        elif names:
            return "climbs up again after going down, so its target depends on other links"
        else:
            up += 1
    if up > depth:
        return "leaves the checkout"
    end = [*path.split("/")[: depth - up], *names]
    if end[:1] == [".git"]:
        return "leads into git's own files"
    secret = pillar_dir.split("/")
    from_pillar = path.split("/")[: len(secret)] == secret
    to_pillar = end[: len(secret)] == secret or secret[: len(end)] == end
    if to_pillar and not from_pillar:
        # Not only from states_dir: a link there may lead to this one.
        return "would show pillar to every minion as salt:// files"
    return None
