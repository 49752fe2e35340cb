"""A commit on the branch that is checked out in a clone which changes one pin of a formula, and nothing else.

The person's own changes, staged or not, stay what they are: the commit is made of HEAD by an index of our own, and in
theirs only the pin and .gitmodules move. Killed in between, a run leaves these two staged, and the next one goes on.
"""

from __future__ import annotations

import os
import posixpath
import tempfile
from dataclasses import dataclass

from saltbranch.base import files
from saltbranch.base.errors import RefusedError
from saltbranch.git import merge
from saltbranch.git.program import Git, quoted
from saltbranch.git.signing import NOBODY, Signer
from saltbranch.git.tree import contents

GITMODULES = ".gitmodules"
_PIN, _FILE = "160000", "100644"


@dataclass(frozen=True, slots=True)
class PinEdit:
    """What a pin becomes. name: of the submodule. commit: None where it is removed. url: empty where it stays."""

    path: str
    name: str
    commit: str | None
    url: str = ""


@dataclass(frozen=True, slots=True)
class _Entry:
    """What git has at a path; "" for both where there is nothing."""

    mode: str = ""
    oid: str = ""


def write(clone: Git, objects: Git, edit: PinEdit, message: str, signed: Signer = NOBODY) -> str:
    """Commit `edit` on top of HEAD; the new commit. clone: git in the work tree. objects: by its git folder.

    Raises RefusedError where the person's own changes are in the way, GitError.
    """
    head = _head(clone)
    rows, text = _rows(clone, objects, head, edit)
    _stage(clone, rows)
    if text is not None:
        _write_gitmodules(clone, text)
    commit = merge.write_commit(objects, _tree(clone, head, rows), [head], message, signed)
    clone.out("update-ref", "-m", "saltbranch formula", "HEAD", commit, head)
    return commit


def check(clone: Git, objects: Git, edit: PinEdit) -> None:
    """Raise RefusedError where `write` would, GitError. Nothing but an object is written."""
    _rows(clone, objects, _head(clone), edit)


def _head(clone: Git) -> str:
    return clone.out("rev-parse", "--verify", "HEAD^{commit}").strip()


def _rows(
    clone: Git, objects: Git, head: str, edit: PinEdit
) -> tuple[dict[str, _Entry], bytes | None]:
    """What the index gets, and the text of .gitmodules where that changes. Raises RefusedError, GitError."""
    refuse_unfinished(clone)
    before, text = _known(objects, head, GITMODULES), None
    if before.mode not in ("", _FILE, "100755"):
        raise RefusedError(
            f"{GITMODULES} of HEAD is no plain file", hint="commit a file there first"
        )
    _refuse_below_files(clone, head, edit.path)
    pin_before = _known(objects, head, edit.path)
    pin = _Entry(_PIN, edit.commit) if edit.commit else _Entry()
    after = before
    if edit.url or not edit.commit:
        old = contents(clone, [before.oid])[before.oid] if before.oid else b""
        text = _edited(clone, old, edit)
        after = _Entry(_FILE, _blob(clone, text)) if text.strip() else _Entry()
        _refuse_other(clone, GITMODULES, (before, after))
        _refuse_on_disk(clone, (old, text))
    _refuse_other(clone, edit.path, (pin_before, pin))
    return {GITMODULES: after, edit.path: pin}, text


def refuse_unfinished(clone: Git) -> None:
    """Raise RefusedError while a merge, rebase or the like is under way."""
    for name in ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply"):
        path = clone.out("rev-parse", "--git-path", name).rstrip("\n")
        if os.path.lexists(os.path.join(clone.directory, path)):
            raise RefusedError(
                f"a merge or rebase is under way in {clone.directory} ({name})",
                hint="finish it first, or give it up: git status tells how",
            )


def _known(objects: Git, commit: str, path: str) -> _Entry:
    """What `commit` has at `path`."""
    for line in merge.listed(objects, commit, [path]):
        meta, _, found = line.partition("\t")
        mode, _, oid = meta.split(" ")
        if found == path:
            return _Entry(mode, oid)
        raise RefusedError(
            f"{path!r} is a folder with files of its own in HEAD", hint="choose another --path"
        )
    return _Entry()


def _refuse_below_files(clone: Git, head: str, path: str) -> None:
    """git would put the pin in the place of a file or link above it."""
    literal = Git(clone.directory, work_tree=True)
    literal.env = {**clone.env, "GIT_LITERAL_PATHSPECS": "1"}
    parts = path.split("/")
    above = ["/".join(parts[:n]) for n in range(1, len(parts))]
    if not above:
        return
    listed = literal.out("ls-tree", "-z", "--full-tree", head, "--", *above).split("\0")
    files_there = {row.partition("\t")[2] for row in listed if row and " tree " not in row}
    listed = literal.out("ls-files", "-z", "--full-name", "--", *above).split("\0")
    files_there |= set(above).intersection(listed)
    for name in sorted(files_there.intersection(above)):
        raise RefusedError(
            f"{name} is a file, link or formula, not a folder", hint="choose another --path"
        )


def _edited(clone: Git, old: bytes, edit: PinEdit) -> bytes:
    """The text of .gitmodules with the edit, written by git-config(1)."""
    with tempfile.TemporaryDirectory(prefix="saltbranch-") as folder:
        path = f"{folder}/modules"
        with open(path, "wb") as file:
            file.write(old)
        section = f"submodule.{edit.name}"
        if edit.commit:
            for key, value in (("path", edit.path), ("url", edit.url)):
                clone.out("config", "--file", path, f"{section}.{key}", value)
        else:
            clone.run("config", "--file", path, "--remove-section", section)
        with open(path, "rb") as file:
            return file.read()


def _blob(clone: Git, text: bytes) -> str:
    return clone.out("hash-object", "-w", "--no-filters", "--stdin", stdin=text).strip()


def _refuse_other(clone: Git, path: str, allowed: tuple[_Entry, _Entry]) -> None:
    """What is staged at `path` has to be what HEAD has, or what it becomes."""
    literal = Git(clone.directory, work_tree=True)
    literal.env = {**clone.env, "GIT_LITERAL_PATHSPECS": "1"}
    rows = literal.out("ls-files", "-z", "--stage", "--full-name", "--", f"{path}").split("\0")
    there = {}
    for row in filter(None, rows):
        meta, _, found = row.partition("\t")
        mode, oid, _ = meta.split(" ")
        there[found] = _Entry(mode, oid)
    if there.get(path, _Entry()) not in allowed or set(there) - {path}:
        raise RefusedError(
            f"{path} has changes in the index of {clone.directory} that are not committed",
            hint=f"commit them first, or take them back: git restore --staged {quoted(path)}",
        )


def _refuse_on_disk(clone: Git, allowed: tuple[bytes, bytes]) -> None:
    path = f"{clone.directory}/{GITMODULES}"
    is_plain = os.path.isfile(path) and not os.path.islink(path)
    if os.path.lexists(path) and not is_plain:
        raise RefusedError(f"{path} is no plain file", hint="remove it, or move it away")
    there = files.read_or_none(path) or b""
    if there.replace(b"\r\n", b"\n") not in allowed:
        raise RefusedError(
            f"{path} has changes that are not committed",
            hint="commit them first, or take them back: git restore .gitmodules",
        )


def _stage(clone: Git, rows: dict[str, _Entry], index: Git | None = None) -> None:
    """Put `rows` into the index, the person's where no other is given."""
    gone = "0" * 40
    text = "".join(f"{row.mode or '0'} {row.oid or gone}\t{path}\0" for path, row in rows.items())
    (index or clone).out("update-index", "-z", "--index-info", stdin=os.fsencode(text))


def _tree(clone: Git, head: str, rows: dict[str, _Entry]) -> str:
    """The tree of `head` with `rows`, by an index of our own."""
    with tempfile.TemporaryDirectory(prefix="saltbranch-") as folder:
        scratch = Git(clone.directory, work_tree=True)
        scratch.env = {**clone.env, "GIT_INDEX_FILE": f"{folder}/index"}
        scratch.out("read-tree", f"{head}^{{tree}}")
        _stage(clone, rows, scratch)
        return scratch.out("write-tree").strip()


def _write_gitmodules(clone: Git, text: bytes) -> None:
    path = f"{clone.directory}/{GITMODULES}"
    if text.strip():
        files.write_atomic(path, text.decode("utf-8", "surrogateescape"), mode=0o644)
    elif os.path.lexists(path):
        os.unlink(path)


def path_problem(clone: Git, path: str) -> str:
    """Why no formula can be put at `path`, relative to the clone's root; empty where it can."""
    parts = path.split("/")
    if not path or path.startswith(("/", "-", ":")) or posixpath.normpath(path) != path:
        return "it is not a plain path below the root of the repository"
    if any(
        p in ("..", ".") or p.lower().rstrip(". ") == ".git" or p.startswith("-") for p in parts
    ):
        return "it holds '..', '.git', or a part that starts with '-'"
    if not all(c.isascii() and (c.isalnum() or c in "._-/+") for c in path):
        return "letters, digits and ._+-/ are allowed"
    if parts[0].lower().startswith(".git"):
        return "names that begin with .git are git's own"
    above = clone.directory
    for part in parts[:-1]:
        above = f"{above}/{part}"
        if os.path.islink(above) or (os.path.lexists(above) and not os.path.isdir(above)):
            return f"{above} is a symlink or a file"
    return ""
