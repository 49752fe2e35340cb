"""A control repository for tests: written by ``git fast-import``, one process for a commit."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_IDENTITY = "Ann <ann@example.com>"
_BEGIN = 1_767_225_600  # 2026-01-01T00:00:00Z


@dataclass(frozen=True, slots=True)
class Link:
    """A symlink in a commit."""

    target: str


@dataclass(frozen=True, slots=True)
class Submodule:
    """A gitlink in a commit."""

    commit: str = "1" * 40


@dataclass(frozen=True, slots=True)
class Script:
    """A file with the executable bit."""

    text: str


Content = str | bytes | Link | Submodule | Script | None
"""What a path of a commit holds; None removes it."""

Tree = dict[str, tuple[str, str]]
"""Path to mode and object id, as ``git ls-tree -r`` has them."""

_HASH = re.compile(r"[0-9a-f]{40}")
_trees: dict[str, Tree] = {}
"""By the hash of a commit, in whichever repository: the same hash is the same tree."""


class Remote:
    """A bare repository. Identity and dates are fixed, so the same steps give the same hashes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = _BEGIN
        if not path.exists():
            subprocess.run(
                ["git", "init", "--quiet", "--bare", "--template=", "-b", "master", path],
                check=True,
            )
            # After each push git would start another process, to find that there is nothing to pack.
            with (path / "config").open("a") as config:
                config.write("[receive]\n\tautogc = false\n")

    def copy(self, path: Path) -> Remote:
        """The same repository once more, to go its own way."""
        shutil.copytree(self.path, path)
        twin = Remote(path)
        twin.clock = self.clock
        return twin

    def git(self, *args: str, stdin: bytes = b"") -> str:
        """stdout of ``git args`` in this repository."""
        argv = ["git", f"--git-dir={self.path}", *args]
        done = subprocess.run(argv, input=stdin, stdout=subprocess.PIPE, check=True)
        return os.fsdecode(done.stdout).strip()

    def commit(
        self,
        branch: str,
        files: Mapping[str, Content],
        *,
        parents: tuple[str, ...] | None = None,
        tree: str | None = None,
        message: str = "change",
    ) -> str:
        """Add a commit to `branch` that changes `files`; its hash.

        parents: instead of the head of the branch. tree: start from that commit's tree.
        """
        if parents is None:
            head = self.head_or_none(branch)
            parents = (head,) if head else ()
        self.clock += 60
        ref = os.fsencode(f"refs/heads/{branch}")
        lines = [b"reset " + ref, b"", b"commit " + ref, b"mark :1"]
        lines += [
            f"committer {_IDENTITY} {self.clock} +0000".encode(),
            *_data(os.fsencode(f"{message}\n")),
        ]
        lines += [
            b"%s %s" % (b"merge" if n else b"from", p.encode()) for n, p in enumerate(parents)
        ]
        if tree is not None:
            lines.append(f'M 040000 {self.git("rev-parse", f"{tree}^{{tree}}")} ""'.encode())
        for path, content in files.items():
            lines += _change(path, content)
        lines += [b"", b"get-mark :1", b""]
        return self.git("fast-import", "--quiet", "--force", stdin=b"\n".join(lines))

    def rewrite(self, branch: str, files: Mapping[str, Content]) -> str:
        """Replace the last commit of `branch` by another one, as ``commit --amend`` and a forced push do."""
        parents = self.git("rev-list", "--parents", "-1", self.head(branch)).split()[1:]
        return self.commit(branch, files, parents=tuple(parents), tree=self.head(branch))

    def merge(self, source: str, target: str) -> str:
        """Merge `source` into `target`, taking the tree of `source`."""
        parents = (self.head(target), self.head(source))
        return self.commit(target, {}, parents=parents, tree=parents[1])

    def set_branch(self, branch: str, commit: str) -> None:
        """Let `branch`, new or not, name `commit`."""
        self.git("update-ref", f"refs/heads/{branch}", commit)

    def delete_branch(self, branch: str) -> None:
        """Remove `branch`."""
        self.git("update-ref", "-d", f"refs/heads/{branch}")

    def head(self, branch: str) -> str:
        """The commit that `branch` names."""
        ref = f"refs/heads/{branch}"
        return self._in_its_file(ref) or self.git("rev-parse", "--verify", ref)

    def head_or_none(self, branch: str) -> str | None:
        """The commit that `branch` names, if there is such a branch."""
        ref = f"refs/heads/{branch}"
        return (
            self._in_its_file(ref)
            or self.git("for-each-ref", "--format=%(objectname)", ref)
            or None
        )

    def _in_its_file(self, ref: str) -> str | None:
        """What the ref's file says, asked ten thousand times. None: git is to be asked."""
        try:
            said = (self.path / ref).read_text().strip()
        except (OSError, ValueError):  # packed, none, or odd
            return None
        return said if _HASH.fullmatch(said) else None

    def tree(self, commit: str) -> Tree:
        """All files of `commit`, submodules left out."""
        if commit in _trees:
            return dict(_trees[commit])
        found = {}
        for line in self.git("ls-tree", "-r", "-z", "--full-tree", commit).split("\0"):
            if line:
                meta, path = line.split("\t", 1)
                mode, kind, oid = meta.split()
                if kind != "commit":
                    found[path] = (mode, oid)
        if _HASH.fullmatch(commit):
            _trees[commit] = dict(found)
        return found


def _change(path: str, content: Content) -> list[bytes]:
    quoted = b'"%s"' % b"".join(_quoted(byte) for byte in os.fsencode(path))
    match content:
        case None:
            return [b"D " + quoted]
        case Submodule(commit):
            return [b"M 160000 %s %s" % (commit.encode(), quoted)]
        case Link(target):
            return [b"M 120000 inline " + quoted, *_data(os.fsencode(target))]
        case Script(text):
            return [b"M 100755 inline " + quoted, *_data(os.fsencode(text))]
        case _:
            data = content if isinstance(content, bytes) else os.fsencode(content)
            return [b"M 100644 inline " + quoted, *_data(data)]


def _quoted(byte: int) -> bytes:
    return bytes([byte]) if 32 < byte < 127 and byte not in b'"\\' else b"\\%03o" % byte


def _data(data: bytes) -> list[bytes]:
    return [b"data %d" % len(data), data]
