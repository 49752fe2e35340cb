"""Conflicts: resolved by a person in a scratch worktree, far from everything that Salt serves.

What is going on is read from git (worktrees, the index); beside it lies one file of ours in the
worktree's git folder, which says what the merge is for.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass

from saltbranch.base import files
from saltbranch.base.errors import RefusedError, UsageError
from saltbranch.git import identity
from saltbranch.git.mirror import remove_tree
from saltbranch.git.program import Git, failed, quoted
from saltbranch.promote.plan import Plan
from saltbranch.repository.workplace import Workplace

_FILE = "saltbranch.json"


@dataclass(frozen=True, slots=True)
class Resolution:
    """A conflict that is being resolved: `source` is merged into `branch`, whose head is `old`, in `folder`."""

    verb: str
    branch: str
    old: str
    source: str
    folder: str
    git_dir: str = ""


def found(work: Workplace) -> list[Resolution]:
    """All that are open in this repository, also those whose folder was removed by hand."""
    base = f"{work.git.directory}/worktrees"
    result = []
    for name in sorted(os.listdir(base)) if os.path.isdir(base) else ():
        data = files.read_or_none(f"{base}/{name}/{_FILE}")
        try:
            fields = json.loads(data or b"")
            result.append(Resolution(**{**fields, "git_dir": f"{base}/{name}"}))
        except (ValueError, TypeError):
            continue  # somebody else's worktree
    return result


def find_or_none(work: Workplace, verb: str) -> Resolution | None:
    """The open one of a verb."""
    return next((r for r in found(work) if r.verb == verb), None)


def find(work: Workplace, verb: str) -> Resolution:
    """The open one of a verb. Raises RefusedError when there is none."""
    resolution = find_or_none(work, verb)
    if resolution:
        return resolution
    others = "; ".join(f"{r.verb} in {r.folder}" for r in found(work))
    raise RefusedError(
        f"no conflict of {verb} is being resolved" + (f" (open: {others})" if others else ""),
        hint=f"saltbranch {verb} --resolve DIR begins",
    )


def begin(work: Workplace, plan: Plan, folder: str) -> tuple[Resolution, list[str]]:
    """Make a worktree at `folder` with the conflict in it; the paths to resolve.

    Raises RefusedError, UsageError, GitError.
    """
    target = plan.target
    if not plan.is_conflict:
        raise RefusedError(
            f"{target.source_name} merges into {target.branch} without a conflict",
            hint=f"saltbranch {plan.verb}, without --resolve",
        )
    other = find_or_none(work, plan.verb)
    if other:
        raise RefusedError(
            f"this conflict is being resolved already, in {other.folder}",
            hint=f"saltbranch {plan.verb} --continue, or --abort",
        )
    if work.repo.place:
        work.repo.place.refuse_writing()
    path = os.path.abspath(folder)
    _check_folder(work, path)
    added = work.git.run("worktree", "add", "--quiet", "--detach", "--", path, target.old)
    if added.code != 0:
        raise failed(added, path)
    git_dir = _git_dir(path)
    resolution = Resolution(
        verb=plan.verb,
        branch=target.branch,
        old=target.old,
        source=target.source,
        folder=path,
        git_dir=git_dir,
    )
    files.write_atomic(f"{git_dir}/{_FILE}", json.dumps(asdict(resolution)))
    tree = Git(path, work_tree=True)
    merged = tree.run(
        "merge", "--no-ff", "--no-commit", "--no-edit", "--quiet", target.theirs,
        config=(*identity.identity(work.git), "rerere.enabled=true", "merge.conflictStyle=diff3"),
    )  # fmt: skip
    paths = _unmerged(tree)
    if merged.code not in (0, 1) or (merged.code == 1 and not paths):
        abort(work, resolution)
        raise failed(merged, path)
    return resolution, paths


def _check_folder(work: Workplace, path: str) -> None:
    root = os.path.realpath(work.config.root)
    if work.serves and f"{os.path.realpath(path)}/".startswith(f"{root}/"):
        raise UsageError(f"{path} is below the root {root}", hint="name a folder elsewhere")
    if _git_dir(path).startswith(f"{work.git.directory}/worktrees/"):
        raise UsageError(
            f"{path} is a worktree of this repository already",
            hint=f"name a new folder; if it is no longer in use: git worktree remove --force {quoted(path)}",
        )
    if os.path.lexists(path) and (not os.path.isdir(path) or os.listdir(path)):
        raise UsageError(f"{path} is there already and not empty", hint="name a new folder")


def _git_dir(path: str) -> str:
    """What the file `.git` of a worktree names; empty for all that is not a worktree."""
    try:
        data = files.read_or_none(f"{path}/.git") or b""
    except (IsADirectoryError, NotADirectoryError):
        return ""
    return data.decode("utf-8", "surrogateescape").removeprefix("gitdir: ").strip()


def _unmerged(tree: Git) -> list[str]:
    names = tree.out("diff", "--name-only", "--diff-filter=U", "-z").split("\0")
    return sorted({n for n in names if n})


def finished_tree(work: Workplace, resolution: Resolution) -> str:
    """The tree that the person made of the conflict. Raises RefusedError when something is left to do."""
    folder = resolution.folder
    again = f"then saltbranch {resolution.verb} --continue"
    if not _is_ours(resolution):
        raise RefusedError(
            f"{folder}, where the conflict was to be resolved, is gone", hint=_anew(resolution)
        )
    tree = Git(folder, work_tree=True)
    unmerged = _unmerged(tree)
    if unmerged:
        raise RefusedError(
            f"not resolved yet in {folder}: {', '.join(map(repr, unmerged[:10]))}",
            hint=f"edit them, git add them, {again}",
        )
    if tree.run("diff-files", "--quiet").code != 0:
        raise RefusedError(
            f"{folder} has changes that are not staged, so they would be left out",
            hint=f"git add them, or git restore them, {again}",
        )
    _refuse_markers(tree, resolution, again)
    _refuse_no_merge(work, tree, resolution)
    tree.run("rerere", config=("rerere.enabled=true",))  # for the case that it has to be done again
    return tree.out("write-tree").strip()


def _anew(resolution: Resolution) -> str:
    return f"saltbranch {resolution.verb} --abort, then --resolve DIR anew"


def _is_ours(resolution: Resolution) -> bool:
    """Whether the folder is still the worktree that was made for it."""
    return _git_dir(resolution.folder) == resolution.git_dir


def _refuse_no_merge(work: Workplace, tree: Git, resolution: Resolution) -> None:
    """A merge that was never begun, or was given up, would look like one that takes nothing of the source."""
    head = tree.out("rev-parse", "--verify", "HEAD").strip()
    sides = [head] if head != resolution.old else [head, tree.commit_or_none("MERGE_HEAD")]
    for wanted in (resolution.old, resolution.source):
        if not any(side and work.git.is_ancestor(wanted, side) for side in sides):
            raise RefusedError(
                f"in {resolution.folder} no merge of {resolution.source[:12]} into {resolution.old[:12]} is under way:"
                " it was given up, or never begun",
                hint=_anew(resolution),
            )


def _refuse_markers(tree: Git, resolution: Resolution, again: str) -> None:
    """`git diff --check` names lines with conflict markers (git-diff(1)); white space is not our business."""
    args = ("diff", "--check", resolution.old)
    said = tree.run(
        *args, config=("core.whitespace=-trailing-space,-space-before-tab,-blank-at-eof",)
    )
    marked = [line for line in said.text.splitlines() if line.endswith("leftover conflict marker")]
    if marked:
        raise RefusedError(
            f"{resolution.folder} has conflict markers left: {'; '.join(marked[:5])}",
            hint=f"fix and git add them, {again}",
        )


def abort(work: Workplace, resolution: Resolution) -> bool:
    """Remove the worktree and all that belongs to it, in whatever state it is.

    A folder that is something else by now is left alone: False.
    """
    ours = _is_ours(resolution)
    if ours:
        removed = work.git.run("worktree", "remove", "--force", "--force", "--", resolution.folder)
        if removed.code != 0:
            remove_tree(resolution.folder)
    # Not `git worktree prune`, which forgets other people's worktrees on disks that are not mounted now.
    if os.path.isdir(resolution.git_dir):
        remove_tree(resolution.git_dir)
    return ours or not os.path.lexists(resolution.folder)
