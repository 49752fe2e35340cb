"""The mark of a slot that holds its commit, nothing else and nothing less, and the folders that were in it then.

Loaded where something is switched. With the mark a look at the folders of a slot, without git, says whether somebody
created or removed a file in it.
"""

from __future__ import annotations

import os
import time

from saltbranch.base import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from saltbranch.git.pinned_tree import Change
    from saltbranch.git.program import Git

STAMP = "saltbranch-finished"
_FOLDERS = ("040000", "160000")  # a submodule that stays empty is a folder on disk


def folders_of(git: Git, tree: str) -> frozenset[str]:
    """All folders of `tree`, the top one as the empty word. Raises GitError."""
    listed = git.out("ls-tree", "-r", "-d", "-z", "--full-tree", "--name-only", tree)
    return frozenset((*listed.split("\0"), ""))


def after(gitdir: str, commit: str, changes: Iterable[Change]) -> frozenset[str] | None:
    """The folders of what differs by `changes` from the slot with the git folder `gitdir`, which is at `commit`.

    None where it is at another one.
    """
    known = noted(gitdir, commit)
    if known is None:
        return None
    told = [(path, mode in _FOLDERS) for path, mode, _ in changes]
    gone = {path for path, is_folder in told if not is_folder}
    return known - gone | {path for path, is_folder in told if is_folder}


def mark(gitdir: str, commit: str, folders: Iterable[str]) -> None:
    """Leave the mark, with a time later than that of the index, which is written after all files.

    File times advance in steps of some milliseconds. What happens in the slot from now on must be
    later than the mark or at its step, what happened before it earlier. folders: all of the slot.
    """
    path = f"{gitdir}/{STAMP}"
    files.write_atomic(path, "\0".join([_stamp(commit), *folders]), durable=False)
    for _ in range(50):
        if os.stat(path).st_mtime_ns > os.stat(f"{gitdir}/index").st_mtime_ns:
            return
        time.sleep(0.001)
        os.utime(path)


def noted(gitdir: str, commit: str) -> frozenset[str] | None:
    """The folders of a slot that was finished at `commit`, and that we did not touch since; else None."""
    data = files.read_or_none(f"{gitdir}/{STAMP}")
    stamp, *folders = os.fsdecode(data or b"").split("\0")
    # A version before noted none, and the top one is among them always.
    return frozenset(folders) if stamp == _stamp(commit) and "" in folders else None


def _stamp(commit: str) -> str:
    """What says that a slot was finished at `commit`, since this machine was started.

    After a power cut the newest files may be empty, so nothing older than that is believed.
    """
    return f"{commit} {files.boot_id()}\n"
