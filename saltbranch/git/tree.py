"""The files of one commit, read with two git processes and without a work tree.

Or the files of a clone's work tree, where the caller asks for what is not committed yet.
"""

from __future__ import annotations

import copy
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

from saltbranch.base import scratch
from saltbranch.base.errors import GitError
from saltbranch.git.program import Git, failed

BlobKind = Literal["file", "link", "submodule"]
_OF_MODE: dict[str, BlobKind] = {"160000": "submodule", "120000": "link"}

# Larger ones are listed and not read: nobody writes states of this size.
LARGEST = 1 << 20
# Of all files together.
_LARGEST_SUM = 512 << 20


@dataclass(frozen=True, slots=True)
class Blob:
    """One file. data: what it holds (of a symlink: its target); None when it was not read.

    size: bytes.
    """

    path: str
    kind: BlobKind
    size: int
    data: bytes | None


def read_commit(git: Git, commit: str, wanted: Callable[[str], bool]) -> dict[str, Blob]:
    """All files of `commit` by path; the content of links, and of those below LARGEST that are `wanted`.

    Raises GitError.
    """
    entries = list(_entries(git.out("ls-tree", "-r", "-z", "-l", "--full-tree", commit, "--")))
    chosen = {
        oid: size
        for kind, oid, size, path in entries
        if kind != "submodule" and size <= LARGEST and (kind == "link" or wanted(path))
    }
    if sum(chosen.values()) > _LARGEST_SUM:
        raise GitError(
            f"commit {commit[:12]} holds more than {_LARGEST_SUM >> 20} MiB below the folders to check",
            hint="see that states_dir and pillar_dir name the right folders",
        )
    found = contents(git, chosen)
    return {
        path: Blob(path, kind, size, found.get(oid) if kind == "link" or wanted(path) else None)
        for kind, oid, size, path in entries
    }


def _entries(text: str) -> Iterable[tuple[BlobKind, str, int, str]]:
    for line in text.split("\0"):
        if line:
            meta, path = line.split("\t", 1)
            mode, what, oid, size = meta.split()
            if what == "tree":
                continue
            kind = _OF_MODE.get(mode, "file")
            yield kind, oid, int(size) if size.isdigit() else 0, path


def files_in(git: Git, commit: str, folder: str, wanted: Callable[[str], bool]) -> dict[str, str]:
    """Name to blob of the files right inside `folder` that are `wanted` by name; larger ones left out.

    Raises GitError.
    """
    text = git.out("ls-tree", "-z", "-l", "--full-tree", commit, "--", f"{folder}/")
    return {
        path.rpartition("/")[2]: oid
        for kind, oid, size, path in _entries(text)
        if kind == "file" and size <= LARGEST and wanted(path.rpartition("/")[2])
    }


def files_below(git: Git, name: str, folder: str) -> dict[str, str]:
    """Path below `folder` to blob of all files in there, of the commit or tree `name`; no links, none above LARGEST.

    Raises GitError.
    """
    literal = copy.copy(git)
    literal.env = {**git.env, "GIT_LITERAL_PATHSPECS": "1"}
    begin = f"{folder}/"
    text = literal.out("ls-tree", "-r", "-z", "-l", "--full-tree", name, "--", begin)
    return {
        path[len(begin) :]: oid
        for kind, oid, size, path in _entries(text)
        if kind == "file" and size <= LARGEST and path.startswith(begin)
    }


def contents(git: Git, oids: Iterable[str]) -> dict[str, bytes]:
    """The content of blobs. Raises GitError."""
    asked = list(dict.fromkeys(oids))
    done = git.run(
        "cat-file", "--batch", stdin="".join(f"{oid}\n" for oid in asked).encode("ascii")
    )
    if done.code != 0:
        raise failed(done, git.directory)
    found, at = {}, 0
    for oid in asked:
        end = done.out.index(b"\n", at)
        words = done.out[at:end].split()
        if len(words) != 3:
            raise GitError(
                f"git has no object {oid} in {git.directory}",
                hint="the repository is damaged, or a partial clone; look with: git fsck",
            )
        at = end + 1 + int(words[2]) + 1
        found[oid] = done.out[end + 1 : at - 1]
    return found


def read_work_tree(git: Git, folder: str, wanted: Callable[[str], bool]) -> dict[str, Blob]:
    """The files of the clone `folder` as they stand on disk, those that git ignores left out.

    Links are not followed. Raises GitError.
    """
    args = ("ls-files", "-z", "-t", "--cached", "--others", "--exclude-standard", "--full-name")
    tagged = dict.fromkeys(filter(None, git.out(*args).split("\0")))
    found, absent = {}, set()
    for tag, _, path in (entry.partition(" ") for entry in tagged):
        if (blob := _on_disk(folder, path, wanted)) is not None:
            found[path] = blob
        elif tag == "S":
            absent.add(path)
    return {**found, **_from_index(git, absent, wanted)} if absent else found


def _from_index(git: Git, paths: set[str], wanted: Callable[[str], bool]) -> dict[str, Blob]:
    """The files that a sparse clone leaves out of its work tree."""
    found, oids = {}, {}
    for line in filter(None, git.out("ls-files", "-z", "--stage", "--full-name").split("\0")):
        meta, path = line.split("\t", 1)
        mode, oid, _ = meta.split()
        if path in paths:
            kind = _OF_MODE.get(mode, "file")
            found[path] = Blob(path, kind, 0, None)
            if kind == "link" or (kind == "file" and wanted(path)):
                oids[path] = oid
    data = contents(git, oids.values())
    for path, oid in oids.items():
        size = len(data[oid])
        found[path] = replace(found[path], size=size, data=data[oid] if size <= LARGEST else None)
    return found


@contextmanager
def of_work_tree(git: Git, folder: str) -> Iterator[tuple[Git, str]]:
    """The clone `folder` as it stands on disk, as a tree: git that knows it, and its hash.

    The index and the new objects are in a temporary folder that ends with the context, so nothing of
    the clone is written to. Raises GitError.
    """
    with scratch.folder("saltbranch-scratch-tree-") as made:
        index, objects = (
            os.path.join(folder, git.out("rev-parse", "--git-path", name).rstrip("\n"))
            for name in ("index", "objects")
        )
        aside = Git(git.directory, work_tree=True)
        aside.env = {
            **git.env,
            "GIT_INDEX_FILE": f"{made.path}/index",
            "GIT_OBJECT_DIRECTORY": f"{made.path}/objects",
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": objects,
        }
        os.mkdir(f"{made.path}/objects")
        # With what the user's index knows, git reads only the files that changed.
        if os.path.exists(index):
            shutil.copyfile(index, f"{made.path}/index")
        # What the check asks is not whether line ends survive; and what a sparse clone leaves out stays.
        aside.out("add", "--all", "--sparse", "--", ":/", config=("core.safecrlf=false",))
        yield aside, aside.out("write-tree").strip()


def _on_disk(folder: str, path: str, wanted: Callable[[str], bool]) -> Blob | None:
    full = f"{folder}/{path}"
    try:
        # Not through a folder that is a link by now: git tracked real folders there.
        if os.path.realpath(os.path.dirname(full)) != os.path.normpath(
            os.path.join(os.path.realpath(folder), os.path.dirname(path))
        ):
            return None
        state = os.lstat(full)
        if stat.S_ISLNK(state.st_mode):
            return Blob(path, "link", state.st_size, os.fsencode(os.readlink(full)))
        if stat.S_ISDIR(state.st_mode):
            return Blob(path, "submodule", 0, None)
        if not stat.S_ISREG(state.st_mode):
            return None
        data = None
        if wanted(path) and state.st_size <= LARGEST:
            fd = os.open(full, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(fd, "rb") as file:
                data = file.read(LARGEST + 1)[:LARGEST]
    except OSError:
        return None  # removed, or not ours to read
    return Blob(path, "file", state.st_size, data)
