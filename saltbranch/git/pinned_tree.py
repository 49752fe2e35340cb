"""A tree with the files of its submodules in it, as one tree of git.

Made of the trees that are there: nothing is checked out, only the folders above each submodule are written anew. So one
checkout brings all files, compares all of them, and takes away what was there before; and whoever reads trees reads
this one like any other. A submodule in a submodule stays what it is, an empty folder.
"""

from __future__ import annotations

import os

from saltbranch.base.errors import GitError
from saltbranch.git.program import Git, failed
from saltbranch.git.submodules import FILE, LINK_MODE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_FOLDER = b"40000"


def with_objects(git: Git, folders: Iterable[str]) -> Git:
    """`git` that sees the objects of other repositories, too. folders: their git folders.

    Nothing but objects is read there: neither configuration nor refs.
    """
    added = [_as_entry(f"{folder}/objects") for folder in dict.fromkeys(folders)]
    if not added:
        return git
    known = git.env.get("GIT_ALTERNATE_OBJECT_DIRECTORIES")
    together = ":".join([*([known] if known else []), *added])
    return git.with_env(GIT_ALTERNATE_OBJECT_DIRECTORIES=together)


def _as_entry(path: str) -> str:
    """One path as git reads it in a list of them (git(1), GIT_ALTERNATE_OBJECT_DIRECTORIES)."""
    if ":" not in path and not path.startswith('"') and path.isprintable():
        return path
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def compose(git: Git, commit: str, pinned: Mapping[str, str]) -> str:
    """The hash of the tree of `commit` with the trees of `pinned` in it; the new objects are written by `git`.

    pinned: path of a submodule, without control characters, to its commit; `git` sees the objects of all (see
    `with_objects`). Raises GitError, also where one of them is missing.
    """
    above = sorted({"", *(folder for path in pinned for folder in _above(path))})
    names = [f"{commit}:{folder}" for folder in above]
    found = _trees(git, names + [f"{oid}^{{tree}}" for oid in pinned.values()])
    if not pinned:
        return found[0][0]
    width = len(commit) // 2
    entries = {
        folder: _entries(data, width) for folder, (_, data) in zip(above, found, strict=False)
    }
    new = {path: oid for path, (oid, _) in zip(pinned, found[len(above) :], strict=True)}
    for depth in sorted({_depth(folder) for folder in above}, reverse=True):
        level = [folder for folder in above if _depth(folder) == depth]
        for folder in level:
            for name, oid in _below(new, folder):
                _replace(
                    entries[folder],
                    name,
                    oid,
                    path=f"{folder}/{name}".lstrip("/"),
                    commit=commit,
                    pinned=pinned,
                )
        new |= zip(level, _write(git, [entries[folder] for folder in level]), strict=True)
    return new[""]


def recompose(git: Git, before: str, composed: str, commit: str) -> str | None:
    """The tree of `commit` with the submodules that the tree `composed` of the commit `before` has, and which it pins,
    too; None where that cannot be told from the top folder alone. Raises GitError.

    It is what `compose` makes, without a look at the submodules.
    """
    names = [f"{before}^{{tree}}", composed, f"{commit}^{{tree}}"]
    if before == commit:
        return composed
    old, made, new = (_entries(data, len(commit) // 2) for _, data in _trees(git, names))
    if new.get(FILE) != old.get(FILE):
        return None
    for name, entry in made.items():
        if entry != old.get(name):
            if new.get(name) != old.get(name):
                return None
            new[name] = entry
    return _write(git, [new])[0]


def _above(path: str) -> list[str]:
    """The folders above `path`, the root as the empty word."""
    parts = path.split("/")
    return ["/".join(parts[:n]) for n in range(len(parts))]


def _depth(folder: str) -> int:
    return folder.count("/") + 1 if folder else 0


def _below(new: Mapping[str, str], folder: str) -> list[tuple[str, str]]:
    begin = f"{folder}/" if folder else ""
    rest = [(p[len(begin) :], oid) for p, oid in new.items() if p and p.startswith(begin)]
    return [(name, oid) for name, oid in rest if "/" not in name]


def _replace(
    entries: dict[str, tuple[bytes, str]],
    name: str,
    oid: str,
    *,
    path: str,
    commit: str,
    pinned: Mapping[str, str],
) -> None:
    mode, _ = entries.get(name, (b"", ""))
    wanted = LINK_MODE.encode() if path in pinned else _FOLDER
    if mode != wanted:
        raise GitError(f"{path!r} of {commit[:12]} is not what it was a moment ago")
    entries[name] = _FOLDER, oid


def _trees(git: Git, names: list[str]) -> list[tuple[str, bytes]]:
    """Hash and content of trees. Raises GitError."""
    done = git.run("cat-file", "--batch", stdin=os.fsencode("".join(f"{n}\n" for n in names)))
    if done.code != 0:
        raise failed(done, git.directory)
    found, at = [], 0
    for name in names:
        end = done.out.index(b"\n", at)
        words = done.out[at:end].rsplit(b" ", 2)
        if len(words) != 3 or words[1] != b"tree" or not words[2].isdigit():
            raise GitError(
                f"git has no tree {name} in {git.directory}",
                hint="the repository is damaged, or lacks what was to be fetched",
            )
        size = int(words[2])
        found.append((words[0].decode(), done.out[end + 1 : end + 1 + size]))
        at = end + 1 + size + 1
    return found


def _entries(data: bytes, width: int) -> dict[str, tuple[bytes, str]]:
    """Name to mode and hash, of a tree as git keeps it."""
    found, at = {}, 0
    while at < len(data):
        end = data.index(b"\0", at)
        mode, _, name = data[at:end].partition(b" ")
        found[os.fsdecode(name)] = (mode, data[end + 1 : end + 1 + width].hex())
        at = end + 1 + width
    return found


_KINDS = {_FOLDER: b"tree", LINK_MODE.encode(): b"commit"}


def _write(git: Git, trees: list[dict[str, tuple[bytes, str]]]) -> list[str]:
    """Write `trees`; their hashes. Raises GitError."""
    text = b""
    for entries in trees:
        for name, (mode, oid) in entries.items():
            kind = _KINDS.get(mode, b"blob")
            text += b"%s %s %s\t%s\0" % (
                mode, kind, oid.encode(), os.fsencode(name),
            )  # fmt: skip
        text += b"\0"
    done = git.run("mktree", "-z", "--missing", "--batch", stdin=text)
    hashes = done.text.split()
    if done.code != 0 or len(hashes) != len(trees):
        raise failed(done, git.directory)
    return hashes
