"""The submodule of a formula in a clone: checked out by git itself, so that `git submodule` knows it afterwards."""

from __future__ import annotations

import copy
import os

from saltbranch.base.errors import RefusedError
from saltbranch.git.program import Git, mask, quoted
from saltbranch.git.submodules import Pin
from saltbranch.repository import formula_remote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from saltbranch.repository.workplace import Say


def is_checked_out(clone: Git, path: str) -> bool:
    """Whether the submodule at `path` has files of its own here, and is no link to elsewhere."""
    folder = f"{clone.directory}/{path}"
    inside = os.path.realpath(folder) == os.path.join(os.path.realpath(clone.directory), path)
    return inside and os.path.lexists(f"{folder}/.git")


def refuse_own_changes(clone: Git, pin: Pin) -> None:
    """Raise RefusedError where somebody works in the submodule: moving it would lose that out of sight."""
    if not is_checked_out(clone, pin.path):
        return
    inner = _inside(clone, pin.path)
    folder = f"{clone.directory}/{pin.path}"
    if inner.out("status", "--porcelain", "--ignore-submodules", "--no-renames"):
        raise RefusedError(
            f"{folder} has changes that are not committed",
            hint=f"commit and push them there, or: git -C {quoted(folder)} stash --include-untracked",
        )
    head = inner.commit_or_none("HEAD")
    if (
        head
        and head != pin.commit
        and not inner.out("for-each-ref", "--count=1", f"--contains={head}")
    ):
        raise RefusedError(
            f"{folder} is at {head[:12]}, a commit that no branch has",
            hint=f"keep it: git -C {quoted(folder)} branch NAME",
        )


def _inside(clone: Git, path: str) -> Git:
    return Git(f"{clone.directory}/{path}", work_tree=True)


def check_out(clone: Git, pin: Pin, timeout: float, say: Say | None) -> tuple[str, ...]:
    """Check the submodule of `pin` out as the index has it; what is left to do where that fails.

    By `git submodule update --init`, but no hook and no command of .git/config runs, and nothing nested is fetched.
    """
    path = pin.path
    literal = formula_remote.transport(clone, pin.address) if pin.address else copy.copy(clone)
    literal.env = {**literal.env, "GIT_LITERAL_PATHSPECS": "1"}
    words = ("--init", "--checkout", *(("--progress",) if say else ("--quiet",)))
    done = literal.run("submodule", "update", *words, "--", path, timeout=timeout, progress=say)
    if done.code == 0:
        return ()
    why = mask(done.complaint).splitlines()
    last = why[-1] if why else f"git ended with {done.code}"
    return (
        f"{path} is not checked out here ({last}): git submodule update --init -- {quoted(path)}",
    )


def leave(clone: Git, path: str) -> None:
    """Empty the folder of a submodule without changes, and let git forget it; its objects stay. Raises GitError."""
    if is_checked_out(clone, path):
        literal = Git(clone.directory, work_tree=True)
        literal.env = {**clone.env, "GIT_LITERAL_PATHSPECS": "1"}
        literal.out("submodule", "--quiet", "deinit", "--", path)


def remove_folder(clone: Git, path: str) -> None:
    """Remove the folder where it is empty, and those above it that are empty then, too."""
    folder = f"{clone.directory}/{path}"
    if os.path.islink(folder):
        return
    while folder != clone.directory:
        try:
            os.rmdir(folder)
        except OSError:
            return
        folder = os.path.dirname(folder)
