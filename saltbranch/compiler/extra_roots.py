"""The files of `extra_roots`, folders of a master outside of the repository, which Salt looks into last.

Copied once in a run, before anything is compiled: both sides of a comparison have the same files, and what was read is
what results are kept for, by content. Only what minions may read there anyway is copied: regular files that nobody but
root can replace, no link that leads out.
"""

from __future__ import annotations

import functools
import os
import posixpath
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from saltbranch.base import ownership, scratch
from saltbranch.base.text import some
from saltbranch.compiler.tree import Tree
from saltbranch.config.model import Config
from saltbranch.config.roots import STATES, Roots
from saltbranch.git.links import end_of
from saltbranch.git.program import Git
from saltbranch.git.tree import contents
from saltbranch.repository.formulas import Formulas

MOST_FILES, LARGEST = 50_000, 256 << 20  # files and bytes of all folders
_DEEPEST = 40
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class ExtraRoots:
    """files: name below Salt's root to where the file is, and its copy. said: what was not read, and why."""

    files: Mapping[str, tuple[str, str]]
    said: tuple[str, ...] = ()


NOTHING = ExtraRoots({})


def of(config: Config | None, formulas: Formulas) -> ExtraRoots:
    """Those of `config`, which count on the master that serves them. formulas: of the repository at hand."""
    folders = config.extra_roots if config else ()
    if formulas.listed is not None or not folders:
        return read(folders)
    return ExtraRoots({}, (f"extra_roots: are not read in a clone: {some(folders, 3)}",))


@functools.cache
def read(folders: tuple[str, ...]) -> ExtraRoots:
    """The files of all `folders`, the first that has a name counts; read once in a process."""
    if not folders:
        return NOTHING
    reader = _Reader(scratch.kept("saltbranch-scratch-tree-extra-"))
    for folder in folders:
        reader.read(folder)
    return ExtraRoots(reader.files, tuple(reader.said))


class _Reader:
    def __init__(self, copies: str) -> None:
        self.copies = copies
        self.files: dict[str, tuple[str, str]] = {}
        self.said: list[str] = []
        self.folders: set[str] = set()
        self.bytes = 0
        self.left: list[str] = []

    def read(self, folder: str) -> None:
        begun = False
        try:
            if os.geteuid() == 0 and (who := ownership.writer_or_none(folder)):
                self.said.append(f"extra_roots: {folder} is not read: {who}")
                return
            real = os.path.realpath(folder)
            for name, path in _walk(real, real, "", self.left):
                begun = True
                if not self._is_taken(name) and not self._copy(name, path):
                    self.said.append(
                        f"extra_roots: not all of {folder} is read: more than {MOST_FILES} files or"
                        f" {LARGEST >> 20} MiB"
                    )
                    break
        except OSError as err:
            what = f"not all of {folder} is" if begun else f"{folder} is not"
            self.said.append(f"extra_roots: {what} read: {err.strerror or err}")
        if self.left:
            self.said.append(
                f"extra_roots: not read of {folder}, since somebody else can write it, or it leads out of"
                f" there or is no file: {some(self.left, 3)}"
            )
            self.left = []

    def _is_taken(self, name: str) -> bool:
        """Whether a folder before has it, or has a file on the way to it. Top files are our own."""
        if name == "top.sls" or name in self.files or name in self.folders:
            return True
        return any(way in self.files for way in _above(name))

    def _copy(self, name: str, path: str) -> bool:
        """False where that is too much."""
        target = f"{self.copies}/{len(self.files)}"
        try:
            source = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            self.left.append(name)
            return True
        with open(source, "rb") as file, open(target, "wb") as copy:
            if not _is_sound(os.fstat(source), stat.S_ISREG):
                self.left.append(name)
                return True
            while data := file.read(_CHUNK):
                self.bytes += len(data)
                if self.bytes > LARGEST:
                    return False
                copy.write(data)
        self.files[name] = path, target
        self.folders.update(_above(name))
        return len(self.files) <= MOST_FILES


def _is_sound(st: os.stat_result, is_kind: Callable[[int], bool]) -> bool:
    """Whether it is of a kind, and root need not fear that somebody else put it there."""
    if not is_kind(st.st_mode):
        return False
    if os.geteuid() != 0:
        return True
    return st.st_uid == 0 and not st.st_mode & (stat.S_IWOTH | (stat.S_IWGRP if st.st_gid else 0))


def _walk(
    top: str, folder: str, begin: str, left: list[str], way: tuple[str, ...] = ()
) -> Iterator[tuple[str, str]]:
    """Name below the root and place of each file, links inside of `top` followed as Salt does."""
    # Two links to a folder above them would be followed in each other 2 ** _DEEPEST times.
    if folder in way or len(way) > _DEEPEST or not _is_sound(os.stat(folder), stat.S_ISDIR):
        left.append(begin or folder)
        return
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        name = f"{begin}{entry.name}"
        if entry.name == ".git" or "\n" in entry.name:
            continue
        path = os.path.realpath(entry.path) if entry.is_symlink() else entry.path
        if entry.is_symlink() and not path.startswith(f"{top}/"):
            left.append(name)
        elif os.path.isdir(path):
            yield from _walk(top, path, f"{name}/", left, (*way, folder))
        else:
            yield name, path


def let_in(tree: Tree, roots: Roots, extra: ExtraRoots, git: Git) -> None:
    """Put the files into `tree` that it has not itself; what has no place there is in its `left_out`.

    Salt looks for a name in one root after the other, so it finds a file here below a folder that is a link in the
    branch, too. git: the same repository, writing new objects elsewhere. Raises GitError.
    """
    prefix = roots.prefix(STATES)
    fitting, lost = {}, []
    beside = _Beside(tree)
    for name, found in extra.files.items():
        path = f"{prefix}/{name}"
        if path in beside.files:
            continue
        if beside.has_place(path):
            fitting[path] = found
        else:
            lost.append(name)
    if lost:
        tree.left_out = (
            "extra_roots: left out here, though Salt finds them, since the branch has a file where they have a"
            f" folder, a folder where they have a file, or a link that leads around them: {some(lost, 3)}",
        )
    if not fitting:
        return
    text = "".join(f"{copy}\n" for _, copy in fitting.values())
    oids = git.out("hash-object", "-w", "--no-filters", "--stdin-paths", stdin=text.encode())
    tree.take_in(
        git,
        {
            path: (oid, place, copy)
            for (path, (place, copy)), oid in zip(fitting.items(), oids.split(), strict=True)
        },
    )


class _Beside:
    """The names that a tree has. files: of regular files, those that links show, too."""

    def __init__(self, tree: Tree) -> None:
        oids = {path[:-1]: tree.entries[path[:-1]][1] for path in tree.links}
        held = contents(tree.git, oids.values()) if oids else {}
        links = {path: os.fsdecode(held[oid]) for path, oid in oids.items()}
        self.files = {path for path in tree.entries if path not in links} | {*tree.shown}
        self.folders = {above for path in (*self.files, *links) for above in _above(path)}
        ends = {path: end_of(path, links) for path in links}
        # No folder can be put in the place of a link that leads out, or to a folder that it is in.
        self.around = {
            path
            for path, end in ends.items()
            if end in (None, ".") or f"{path}/".startswith(f"{end}/")
        }

    def has_place(self, path: str) -> bool:
        """Whether a file can be put there, with all that the tree has itself still in place."""
        if path in self.folders or path in self.around:
            return False
        return not any(way in self.files or way in self.around for way in _above(path))


def _above(path: str) -> Iterator[str]:
    while path := posixpath.dirname(path):
        yield path
