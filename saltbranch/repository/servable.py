"""Which commits may be served: what would break a saltenv or open it to others is refused beforehand.

Loaded by a sync that has something to switch.
"""

from __future__ import annotations

import os

from saltbranch.base.errors import GitError, RefusedError
from saltbranch.config.roots import KEYS, PILLAR, STATES, is_above, is_in, is_surely_in
from saltbranch.git import objects

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from saltbranch.config.roots import Parts, Roots
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
    commit: str, roots: Roots, *, had_pillar: bool, has: Callable[[str], bool]
) -> None:
    """Refuse a commit without states, or one that would take away all pillar at once.

    has: whether the commit holds files of a kind, states or pillar. Raises RefusedError.
    """
    if not has(STATES):
        raise RefusedError(
            f"commit {commit[:12]} has {_nothing_in(roots, STATES)} (a submodule or a link is none)",
            hint="push a commit that has it, or fix states_dir: in saltbranch.yaml",
        )
    if had_pillar and not has(PILLAR):
        raise RefusedError(
            f"commit {commit[:12]} has {_nothing_in(roots, PILLAR)} (a submodule or a link is"
            " none), which what is served has: every minion would lose its pillar",
            hint="push a commit that has it (an empty top.sls in it will do if that is meant)",
        )


def _nothing_in(roots: Roots, kind: str) -> str:
    if word := roots.word(kind):
        return f"no folder {word}/ with files in it"
    return f"no files in the folders of {KEYS[kind]}: {roots.told(kind)}"


def has_files(top: str, folder: str, apart: Collection[str] = ()) -> bool:
    """Whether `folder` below `top` is a folder with a file in it.

    A link is none, nor is what is empty: Salt would serve nothing from it. apart: paths of submodules, whose files
    do not count, as they do not for those who have only the commit (`refusal`).
    """
    path = top
    for part in folder.split("/"):
        path = f"{path}/{part}"
        if os.path.islink(path):
            return False
    pinned = {f"{top}/{one}" for one in apart}
    for place, folders, names in os.walk(path):
        if place in pinned:
            folders.clear()
        elif names:
            return True
    return False


def list_has_files(paths: Iterable[str], folder: str) -> bool:
    """The same of a list of files and links, submodules left out."""
    begin = "".join(f"{part}/" for part in folder.split("/") if part not in ("", "."))
    return any(path.startswith(begin) for path in paths)


def list_has(paths: Iterable[str], roots: Roots, kind: str) -> bool:
    """Whether a list of files and links, submodules left out, holds files of `kind`. Raises RefusedError."""
    if word := roots.word(kind):
        return list_has_files(paths, word)
    from saltbranch.repository.composition import InCommit, names

    return bool(names(roots, kind, InCommit(paths)))


def commit_has(git: Git, commit: str, roots: Roots, kind: str) -> bool:
    """The same of a commit that is not checked out. Raises RefusedError, GitError."""
    if word := roots.word(kind):
        return commit_has_files(git, commit, word)
    listed = git.out("ls-tree", "-r", "-z", "--full-tree", commit).split("\0")
    files = (line.partition("\t") for line in listed if " blob " in line)
    return list_has([path for _, _, path in files], roots, kind)


def commit_has_files(git: Git, commit: str, folder: str) -> bool:
    """The same of a commit that is not checked out. Raises GitError."""
    path = "/".join(part for part in folder.split("/") if part not in ("", "."))
    try:
        return objects.has_files(git, commit, path)
    except objects.NoAnswer:
        pass
    literal = git.with_env(GIT_LITERAL_PATHSPECS="1")
    listed = literal.out("ls-tree", "-r", "-z", "--full-tree", commit, "--", f"{path}/")
    return any(" blob " in line.partition("\t")[0] for line in listed.split("\0"))


def refusal(
    git: Git, commit: str, proven: str | None, roots: Roots, *, had_pillar: bool
) -> str | None:
    """Why no master serves `commit`; None where one would. Raises GitError.

    proven: a commit that passed before. had_pillar: there was pillar before.
    """

    def has(kind: str) -> bool:
        return commit_has(git, commit, roots, kind)

    try:
        refuse_unsafe_links(git, commit, proven, roots)
        refuse_empty(commit, roots, had_pillar=had_pillar, has=has)
    except RefusedError as err:
        return f"{err.message} ({err.hint})"
    return None


class Changed:
    """What a commit changes. modules, names: paths of its submodules and files; links: path to hash of its symlinks.

    entries: of everything, folders too, path, mode and hash (git/pinned_tree.py); None where that cannot be told.
    """

    __slots__ = ("entries", "links", "modules", "names")

    def __init__(self, text: str, *, is_all: bool) -> None:
        """text: what git diff-tree -t -z says."""
        parts = text.split("\0")
        self.modules: list[str] = []
        self.names: list[str] = []
        self.links: dict[str, str] = {}
        entries = []
        for meta, path in zip(parts[::2], parts[1::2], strict=False):
            _, mode, _, oid, _ = meta.split(" ")
            entries.append((path, mode, oid))
            if mode == "160000":
                self.modules.append(path)
            elif mode == "120000":
                self.links[path] = oid
            elif mode not in ("040000", "000000"):
                self.names.append(path)
        self.entries = entries if is_all else None


def refuse_unsafe_links(
    git: Git, commit: str, proven: str | None, roots: Roots, *, tree: str | None = None
) -> Changed:
    """Refuse `commit` when a symlink in it leads out of the tree, into the pillar, or to what no minion is to read.

    Salt's file server follows links as the master's user, so such a link would hand /etc/shadow to
    every minion. proven: a commit that passed before; then only what changed since is looked at,
    which is enough because each link is judged alone: leading ``..`` parts from its own (real)
    folder, then names only. tree: what is served of the commit, where that is more than its own files; then
    `proven` is a tree, too. Returns what changed. Raises RefusedError, GitError.
    """
    args = ("diff-tree", "-r", "-t", "-z", "--no-renames", "--diff-filter=AMTD")
    done = git.run(*args, proven or _EMPTY_TREE, tree or commit)
    if done.code != 0:
        # A mirror that was made anew lacks a proven commit that no branch has any more.
        changed = Changed(git.out(*args, _EMPTY_TREE, tree or commit), is_all=False)
    else:
        changed = Changed(done.text, is_all=proven is not None)
    for path, oid in changed.links.items():
        target = os.fsdecode(git.blob(oid))
        if problem := link_problem(path, target, roots):
            raise RefusedError(
                f"commit {commit[:12]} holds the symlink {path!r} -> {target!r}, which {problem}",
                hint="remove the link, or let it point to a file below its own folder tree",
            )
    return changed


def lfs_pointers(top: str, paths: Iterable[str], roots: Roots) -> list[str]:
    """Those of `paths` in `roots` that hold a Git LFS pointer and not the file that it stands for.

    They are read below `top` as they are served, so a filter that fetched the file has done so.
    """
    return [
        path
        for path in paths
        if is_lfs_pointer(f"{top}/{path}")  # by its size first: roots are many patterns
        and any(roots.name_of(kind, path) is not None for kind in KEYS)
    ]


def is_lfs_pointer(path: str) -> bool:
    """Whether the file `path` is a Git LFS pointer."""
    try:
        if not LFS_SHORTEST <= os.stat(path).st_size <= LFS_LONGEST:
            return False
        with open(path, "rb") as file:
            return file.read(len(LFS_BEGIN)) == LFS_BEGIN
    except OSError:
        return False


def link_problem(path: str, target: str, roots: Roots) -> str | None:
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
    return _shows(tuple(path.split("/")), tuple(end), roots)


def _shows(start: Parts, end: Parts, roots: Roots) -> str | None:
    """What a link from `start` to `end` would show to minions that are not to see it."""
    secret, others = roots.secret, roots.unserved
    # Not only from the states: a link there may lead to this one.
    if _leads_to(end, secret) and not is_surely_in(start, secret):
        return "would show pillar to every minion as salt:// files"
    if _leads_to(end, others) and not is_surely_in(start, (*secret, *others)):
        return "would show every minion what is not for them (tests, fleet, hidden files)"
    return None


def _leads_to(end: Parts, patterns: tuple[Parts, ...]) -> bool:
    return is_in(end, patterns) or is_above(end, patterns)
