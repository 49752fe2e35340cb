"""Objects of a repository, asked of one `git cat-file --batch-command` (git 2.36) and not of a process each.

It starts with the first question and ends with the verb (program.let_go), or with this process: its input closes. git
looks for each ref and object when it is asked, so what a fetch has brought meanwhile is found. What cannot be
answered here (NoAnswer) is asked of a process of its own: what git complains of, and how it ends, is said there.
Loaded where something is asked: not by a sync that finds nothing new.
"""

from __future__ import annotations

import _thread
import os

from saltbranch.base import proc
from saltbranch.base.errors import SaltbranchError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from saltbranch.git.program import Git

_KILL: Final = 9  # signal(7)
_HEX: Final = frozenset("0123456789abcdef")
_LENGTHS: Final = (40, 64)  # of a hash in full
_LONGEST: Final = 4000  # bytes of a question: a pipe takes them at once
_MOST: Final = 4  # such processes at a time
_BATCH: Final = ("cat-file", "--batch-command")
KINDS: Final = ("commit", "tree", "blob", "tag")
_NEAR: Final = 12  # commits
FEW: Final = 50  # questions; more are cheaper all at once


class NoAnswer(Exception):  # noqa: N818 - it is none of ours that people see
    """git did not say; whoever asks starts a process for it."""


class _Reader:
    """The process. identity: of a folder in there, as `_identity` has it."""

    __slots__ = ("_in", "_out", "_owner", "_pid", "_rest", "identity")

    def __init__(self, argv: list[str], env: dict[str, str], identity: tuple[int, int]) -> None:
        self.identity = identity
        self._owner = os.getpid()
        self._rest = b""
        in_r, self._in = os.pipe()
        self._out, out_w = os.pipe()
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        actions = [(os.POSIX_SPAWN_DUP2, fd, to) for to, fd in enumerate((in_r, out_w, nowhere))]
        self._pid = 0
        try:
            self._pid = proc.spawn(argv, env, actions)
        except SaltbranchError as err:
            self.close()
            raise NoAnswer from err
        finally:
            for fd in (in_r, out_w, nowhere):
                os.close(fd)

    @property
    def is_ours(self) -> bool:
        """Whether this process started it, and not the one that it is a fork of."""
        return self._owner == os.getpid()

    def ask(self, question: str) -> tuple[str, str, int] | None:
        """Hash, kind and size of the object that ``info NAME`` names; None where git has none of that name."""
        data = os.fsencode(question)
        if b"\n" in data or len(data) > _LONGEST:
            raise NoAnswer
        try:
            os.write(self._in, data + b"\n")
            while b"\n" not in self._rest:
                self._read()
        except BrokenPipeError as err:
            raise NoAnswer from err
        line, _, self._rest = self._rest.partition(b"\n")
        if line.endswith((b" missing", b" ambiguous")):
            return None
        words = line.decode("ascii", "replace").split(" ")
        if len(words) != 3 or not is_hash(words[0]) or not words[2].isdigit():
            raise NoAnswer
        return words[0], words[1], int(words[2])

    def content(self, name: str) -> tuple[str, bytes] | None:
        """Kind and content of an object; None where git has none of that name."""
        found = self.ask(f"contents {name}")
        if found is None:
            return None
        _, kind, size = found
        chunks, have = [self._rest], len(self._rest)
        while have <= size:
            self._rest = b""
            self._read()
            chunks.append(self._rest)
            have += len(self._rest)
        data = b"".join(chunks)
        self._rest = data[size + 1 :]
        return kind, data[:size]

    def _read(self) -> None:
        data = os.read(self._out, 1 << 16)
        if not data:
            raise NoAnswer  # it ended
        self._rest += data

    def close(self) -> None:
        """End it; may be called again. It only reads, so it leaves nothing behind."""
        if self._in < 0:
            return
        os.close(self._in)
        os.close(self._out)
        self._in = -1
        if self._pid and self.is_ours:
            proc.end(self._pid, _KILL)


_readers: dict[tuple[str, ...], _Reader] = {}
_lock = _thread.allocate_lock()


def close_all() -> None:
    """End all processes of this module."""
    with _lock:
        while _readers:
            _readers.popitem()[1].close()


def is_hash(name: str) -> bool:
    """Whether `name` is the hash of an object in full."""
    return len(name) in _LENGTHS and _HEX.issuperset(name)


def commit_or_none(git: Git, name: str) -> str | None:
    """The commit that `name` stands for. Raises NoAnswer, also for what is neither a full ref nor a hash."""
    if not (is_hash(name) or name.startswith("refs/")):
        raise NoAnswer  # what words mean is rev-parse's to say
    found = _asked(git, f"info {name}^{{commit}}")
    return found[0] if found else None


def entry_or_none(git: Git, tree: str, path: str) -> tuple[str, str] | None:
    """Mode, as `git ls-tree` writes it, and hash of what is at `path`; None where there is nothing. Raises NoAnswer.

    tree: the hash of a commit or tree, in full.
    """
    parts = path.split("/")
    if not is_hash(tree) or any(part in ("", ".", "..") for part in parts):
        raise NoAnswer
    mode, oid = "040000", tree
    for part in parts:
        if mode != "040000":
            return None
        found = entries(git, oid).get(os.fsencode(part))
        if found is None:
            return None
        mode, oid = found
    return mode, oid


def entries(git: Git, tree: str) -> dict[bytes, tuple[str, str]]:
    """Name to mode and hash of what is right inside `tree`, the hash of a commit or tree. Raises NoAnswer."""
    kind, data = _content(git, f"{tree}^{{tree}}")
    if kind != "tree":
        raise NoAnswer
    width, at, found = len(tree) // 2, 0, {}
    while at < len(data):
        middle, end = data.index(b" ", at), data.index(b"\0", at)
        mode = _mode(data[at:middle])
        found[data[middle + 1 : end]] = mode, data[end + 1 : end + 1 + width].hex()
        at = end + 1 + width
    return found


def has_files(git: Git, tree: str, path: str) -> bool:
    """Whether `path` in `tree`, the hash of a commit or tree, is a folder with a file or link in it.

    Raises NoAnswer.
    """
    found = entry_or_none(git, tree, path)
    waiting = [found[1]] if found and found[0] == "040000" else []
    while waiting:
        inside = entries(git, waiting.pop()).values()
        if any(mode not in ("040000", "160000") for mode, _ in inside):
            return True
        waiting += [oid for mode, oid in inside if mode == "040000"]
    return False


def _mode(written: bytes) -> str:
    """As git shows it, however an old tree has it (canon_mode in git's tree-walk.c)."""
    number = int(written, 8)
    if number >> 12 == 0o10:  # a plain file
        return "100755" if number & 0o100 else "100644"
    return {0o12: "120000", 0o04: "040000"}.get(number >> 12, "160000")


def blob(git: Git, oid: str) -> bytes:
    """The content of the blob `oid`, a hash in full. Raises NoAnswer."""
    kind, data = _content(git, oid)
    if kind != "blob":
        raise NoAnswer
    return data


def tree_of(git: Git, name: str) -> str:
    """The tree of the commit `name`, a hash in full, or the tree itself. Raises NoAnswer."""
    if not is_hash(name):
        raise NoAnswer
    found = _asked(git, f"info {name}^{{tree}}")
    if found is None:
        raise NoAnswer
    return found[0]


def is_ancestor(git: Git, ancestor: str, descendant: str) -> bool:
    """Whether `ancestor` is contained in `descendant`, both hashes of commits in full. Raises NoAnswer.

    Only near ones are looked for here, and both are to be commits that are here: git walks better further back.
    """
    if not git.is_bare or os.path.exists(f"{git.directory}/shallow"):
        raise NoAnswer  # there commits have not the parents that stand in them
    if commit_or_none(git, ancestor) != ancestor:
        raise NoAnswer
    waiting, seen = [descendant], {descendant}
    for _ in range(_NEAR):
        if not waiting:
            return False
        if (commit := waiting.pop(0)) == ancestor:
            return True
        kind, data = _content(git, commit)
        if kind != "commit":
            raise NoAnswer
        head = data.partition(b"\n\n")[0].decode("utf-8", "replace").split("\n")[1:]
        parents = [line[7:] for line in head if line.startswith("parent ")]
        waiting += (new := [parent for parent in parents if parent not in seen])
        seen.update(new)
    raise NoAnswer


def info_or_none(git: Git, name: str) -> tuple[str, str] | None:
    """Hash and kind, one of KINDS, of what `name`, ``HASH`` or ``HASH:PATH``, stands for; None where it is not here.

    Raises NoAnswer.
    """
    if not is_hash(name.partition(":")[0]):
        raise NoAnswer
    found = _asked(git, f"info {name}")
    return found[:2] if found else None


def _content(git: Git, name: str) -> tuple[str, bytes]:
    if not is_hash(name.partition("^")[0]):
        raise NoAnswer
    with _lock:
        reader = _reader(git)
        try:
            found = reader.content(name)
        except BaseException:
            _drop(reader)  # half an answer may be in its pipe
            raise
    if found is None:
        raise NoAnswer
    return found


def _asked(git: Git, question: str) -> tuple[str, str, int] | None:
    with _lock:
        reader = _reader(git)
        try:
            return reader.ask(question)
        except BaseException:
            _drop(reader)
            raise


def _drop(reader: _Reader) -> None:
    for key, known in list(_readers.items()):
        if known is reader:
            del _readers[key]
    reader.close()


def _reader(git: Git) -> _Reader:
    """The process for the repository of `git`, whose folder is still the one that it was started for."""
    if git.is_limited or not git.directory.startswith("/"):
        raise NoAnswer
    key = (
        git.directory,
        str(git.is_bare),
        *(f"{k}={v}" for k, v in git.env.items() if k.startswith("GIT_")),
    )
    identity = _identity(f"{git.directory}/{'objects' if git.is_bare else '.git'}")
    found = _readers.get(key)
    if found and (found.identity != identity or not found.is_ours):
        _drop(found)
        found = None
    if found is None:
        if len(_readers) >= _MOST:
            _drop(next(iter(_readers.values())))
        # Named by its environment: who looks for a git that still works here (git/mirror.py) looks at the words of
        # the command line, and one that only reads is in nobody's way.
        words = [word for word in git.command(*_BATCH) if not word.startswith("--git-dir=")]
        env = {**git.env, "GIT_DIR": git.directory} if git.is_bare else git.env
        found = _readers[key] = _Reader(words, env, identity)
    return found


def _identity(path: str) -> tuple[int, int]:
    """Of a folder of the repository: one that is made anew at the same place is another one."""
    try:
        state = os.stat(path)
    except OSError as err:
        raise NoAnswer from err
    return state.st_dev, state.st_ino
