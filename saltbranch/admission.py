"""Which commits may be served: what would break a saltenv or open it to others is refused beforehand.

Loaded by a sync that has something to switch.
"""

from __future__ import annotations

from saltbranch.errors import GitError, RefusedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from saltbranch.git import Git
    from saltbranch.mirror import Mirror

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

    has: whether the commit holds a folder. Raises RefusedError.
    """
    if not has(states_dir):
        raise RefusedError(
            f"commit {commit[:12]} has no folder {states_dir}/",
            hint="push a commit that has it, or mend states_dir: in saltbranch.yaml",
        )
    if had_pillar and not has(pillar_dir):
        raise RefusedError(
            f"commit {commit[:12]} has no folder {pillar_dir}/, which what is served has: every minion"
            " would lose its pillar",
            hint="push a commit that has it (an empty top.sls in it will do if that is meant)",
        )


def refusal(
    git: Git, commit: str, proven: str | None, states_dir: str, pillar_dir: str, *, had_pillar: bool
) -> str | None:
    """Why no master serves `commit`; None where one would. Raises GitError.

    proven: a commit that passed before. had_pillar: there was pillar before.
    """

    def has(folder: str) -> bool:
        return git.blob_or_none(commit, folder) is not None

    try:
        refuse_unsafe_links(git, commit, proven, pillar_dir)
        refuse_empty(commit, states_dir, pillar_dir, had_pillar=had_pillar, has=has)
    except RefusedError as err:
        return f"{err.message} ({err.hint})"
    return None


def refuse_unsafe_links(git: Git, commit: str, proven: str | None, pillar_dir: str) -> list[str]:
    """Refuse `commit` when a symlink in it leads out of the tree, or into the pillar.

    Salt's file server follows links as the master's user, so such a link would hand /etc/shadow to
    every minion. proven: a commit that passed before; then only what changed since is looked at,
    which is enough because each link is judged alone: leading ``..`` parts from its own (real)
    folder, then names only. Returns the submodules found. Raises RefusedError, GitError.
    """
    args = ("diff-tree", "-r", "-z", "--no-renames", "--diff-filter=AMT")
    done = git.run(*args, proven or _EMPTY_TREE, commit)
    if done.code != 0:
        # A mirror that was made anew lacks a proven commit that no branch has any more.
        text = git.out(*args, _EMPTY_TREE, commit)
    else:
        text = done.text
    parts = text.split("\0")
    modules = []
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
    return modules


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
            return "climbs up again after going down, so where it ends depends on other links"
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
