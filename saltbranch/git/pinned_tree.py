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
    from collections.abc import Collection, Iterable, Mapping

    Change = tuple[str, str, str]

# A Change: path, mode and hash of what is there now, as `git diff-tree -t` tells them. GONE: the mode of nothing.
FOLDER_MODE, GONE = "040000", "000000"
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


class TreeWithPins:
    """A tree with submodules in it. tree: its hash. folders: those above a submodule, the root as the empty word, each
    as git keeps it. Kept beside the files (see `moved_on`).
    """

    __slots__ = ("folders", "tree")

    def __init__(self, tree: str, folders: Mapping[str, bytes]) -> None:
        self.tree = tree
        self.folders = folders


def compose(git: Git, commit: str, pinned: Mapping[str, str]) -> TreeWithPins:
    """The tree of `commit` with the trees of `pinned` in it; the new objects are written by `git`.

    pinned: path of a submodule, without control characters, to its commit; `git` sees the objects of all (see
    `with_objects`). Raises GitError, also where one of them is missing.
    """
    above = sorted({"", *(folder for path in pinned for folder in _above(path))})
    names = [f"{commit}:{folder}" for folder in above]
    found = _trees(git, names + [f"{oid}^{{tree}}" for oid in pinned.values()])
    if not pinned:
        return TreeWithPins(found[0][0], {"": found[0][1]})
    width = len(commit) // 2
    entries = {
        folder: _entries(data, width) for folder, (_, data) in zip(above, found, strict=False)
    }
    new = {path: oid for path, (oid, _) in zip(pinned, found[len(above) :], strict=True)}
    for path in (*above[1:], *pinned):
        folder, _, name = path.rpartition("/")
        wanted = LINK_MODE.encode() if path in pinned else _FOLDER
        if entries[folder].get(name, (b"", ""))[0] != wanted:
            raise GitError(f"{path!r} of {commit[:12]} is not what it was a moment ago")
    return _written(git, entries, new, set(above))


def moved_on(
    git: Git, made: TreeWithPins, pinned: Collection[str], changes: Iterable[Change]
) -> TreeWithPins | None:
    """What `compose` makes of a commit that pins what that of `made` pins; None where it does not.

    changes: all that is different between the two commits, folders too. Of the submodules nothing is read, and of the
    commit nothing more. Raises GitError.
    """
    width = len(made.tree) // 2
    entries = {folder: _entries(data, width) for folder, data in made.folders.items()}
    touched: set[str] = set()
    for path, mode, oid in sorted(changes, key=lambda change: change[1] != GONE):
        folder, _, name = path.rpartition("/")
        if path == FILE or path in pinned or (path in entries and mode != FOLDER_MODE):
            return None
        if path in entries or folder not in entries:
            continue
        touched |= {folder, *_above(folder)} if folder else {""}
        if mode == GONE:
            entries[folder].pop(name, None)
        else:
            entries[folder][name] = os.fsencode(mode).lstrip(b"0"), oid
    if not touched:
        return made
    return _written(git, entries, {}, touched)


def _written(
    git: Git,
    entries: Mapping[str, dict[str, tuple[bytes, str]]],
    new: dict[str, str],
    touched: Collection[str],
) -> TreeWithPins:
    """The tree of which `entries` are the folders above submodules, those of `touched` written anew.

    new: path to hash of what goes into them.
    """
    for path, oid in new.items():
        folder, _, name = path.rpartition("/")
        entries[folder][name] = _FOLDER, oid
    for depth in sorted({_depth(folder) for folder in touched}, reverse=True):
        level = [folder for folder in touched if _depth(folder) == depth]
        hashes = _write(git, [entries[folder] for folder in level])
        for path, oid in zip(level, hashes, strict=True):
            if not path:
                return TreeWithPins(oid, {name: _content(held) for name, held in entries.items()})
            folder, _, name = path.rpartition("/")
            entries[folder][name] = _FOLDER, oid
    raise AssertionError("no tree without its root")


def _above(path: str) -> list[str]:
    """The folders above `path`, the root as the empty word."""
    parts = path.split("/")
    return ["/".join(parts[:n]) for n in range(len(parts))]


def _depth(folder: str) -> int:
    return folder.count("/") + 1 if folder else 0


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


def _content(entries: Mapping[str, tuple[bytes, str]]) -> bytes:
    """The same as git keeps it, in any order."""
    return b"".join(
        b"%s %s\0%s" % (mode, os.fsencode(name), bytes.fromhex(oid))
        for name, (mode, oid) in entries.items()
    )


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
