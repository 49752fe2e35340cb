"""Results of compiling, kept by the content of everything that they were made from.

An entry is found by the minion (its grains, pillar and returns), the options, Salt's version and ours,
and counts for a tree in which every file that was read, or looked for and not found, is the same. So a
commit that touches nothing of a minion costs it nothing, whatever the branch. Entries are private
(they hold names of pillar keys, never values) and written by rename, so runs may share the folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import IO

from saltbranch.compiler.kept_values import Chunks, checksum
from saltbranch.compiler.model import (
    FORMAT,
    Brief,
    Compiled,
    Minion,
    Reads,
    decoded,
    digest,
    encoded,
)
from saltbranch.compiler.reads import reads_in
from saltbranch.compiler.tree import Tree

_VARIANTS = 6
"""How many trees' results are kept for one minion: a few branches and the last commits of each."""
_LARGEST = 512 << 20
_DAY = 86400


def folder_of(root: str) -> str:
    """Where what is compiled is kept: below the root where we may write there, else in the user's cache."""
    state = f"{root}/state"
    if os.path.isdir(state) and os.access(state, os.W_OK):
        return f"{state}/compiled"
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return f"{base}/saltbranch/compiled"


class CompileCache:
    """The folder `path`; made when it is first written to."""

    def __init__(self, path: str | None, *, write: bool = True) -> None:
        """path: None for a cache that keeps nothing. write: false to use only what is there."""
        self.path = path
        self._write = write
        self._key: str | None = None
        self._known: dict[str, _Kept] = {}
        self._listed: dict[str, list[str]] = {}
        self._states: dict[bytes, _State] = {}
        self._holding: dict[tuple[Tree, bytes], bool] = {}
        # The same by the names of entries, which say what they were made from: those that do not fit need no look.
        self._fits: dict[tuple[Tree, str], bool] = {}
        self._put: dict[tuple[Tree, Reads], tuple[bytes, str]] = {}
        self._notes: dict[str, dict[str, object]] = {}
        self._written = False

    def key(self) -> str:
        """The secret with which values are made digests: the same as long as the cache lives."""
        if self._key is None:
            try:
                self._key = self._stored_key() if self.path else secrets.token_hex(32)
            except OSError:  # nothing can be written there, so nothing will be kept
                self._key = secrets.token_hex(32)
        return self._key

    def _stored_key(self) -> str:
        name = f"{self.path}/key"
        if found := _key_in(name):
            return found
        made = secrets.token_hex(32)
        if not self._write:
            return made
        self._make()
        fresh = f"{name}.{os.getpid()}"
        with _aside(fresh) as file:
            file.write(made.encode())
        try:
            os.link(fresh, name)  # whoever comes first
            os.unlink(fresh)
        except FileExistsError:
            if found := _key_in(name):
                os.unlink(fresh)
                return found
            os.rename(fresh, name)  # a damaged one would stay for ever
        return _key_in(name) or made

    def _make(self) -> None:
        if self.path:
            os.makedirs(self.path, mode=0o700, exist_ok=True)
            os.chmod(self.path, 0o700)

    def get(self, base: str, tree: Tree) -> Compiled | None:
        """The result kept for `base` (see `base_of`) that holds for `tree`; the same object each time.

        Its chunks are decoded when somebody looks at one, who may get a DamagedError.
        """
        for name in self._names(base):
            if self._fits.get((tree, os.path.basename(name))) is False:
                continue
            kept = self._read(base, name)
            if kept and self._holds(kept.state, tree, name):
                if time.time() - kept.used > _DAY and self._write:
                    _touch(name)
                return kept.result
        return None

    def _holds(self, state: bytes, tree: Tree, name: str) -> bool:
        """Whether `state`, as it was written down, is that of `tree`; most minions of a fleet have the same one."""
        if (tree, state) not in self._holding:
            holds = tree.holds(self._states[state].mapping)
            self._holding[tree, state] = self._fits[tree, os.path.basename(name)] = holds
        return self._holding[tree, state]

    def put(self, base: str, tree: Tree, result: Compiled) -> None:
        """Keep `result`, which was made from `tree`."""
        if self.path is None or not self._write or result.low is not None:
            return
        state, stem = self._state(tree, result.reads)
        folder = self._folder(base)
        name = f"{folder}/{stem}"
        try:
            self._make()
            os.makedirs(folder, mode=0o700, exist_ok=True)
            _replace(name, _written(base, state, result))
            self._written = True
            self._known.pop(name, None)
            self._listed.pop(base, None)
            for old in self._names(base)[_VARIANTS:]:
                os.unlink(old)
        except OSError:
            pass  # a cache that cannot be written is not a reason to fail

    def _state(self, tree: Tree, reads: Reads) -> tuple[bytes, str]:
        """What a result was made from, as it is written down, and the name of entries for it."""
        if (tree, reads) not in self._put:
            state = tree.state_of(reads)
            self._put[tree, reads] = encoded(state), digest(state)[:32]
        return self._put[tree, reads]

    def notes(self, name: str) -> dict[str, object]:
        """What `note` kept under `name`; empty when it cannot be read, or was kept under another key."""
        if name not in self._notes and self.path is not None:
            try:
                with open(f"{self.path}/{name}-{self._of_key()}", "rb") as file:
                    found = json.loads(file.read())
                self._notes[name] = found if isinstance(found, dict) else {}
            except (OSError, ValueError, RecursionError):
                pass
        return self._notes.get(name, {})

    def note(self, name: str, data: dict[str, object]) -> None:
        """Keep `data`, plain data that holds no secret, as it stands for this run and the next ones."""
        self._notes[name] = data
        if self.path is None or not self._write:
            return
        place = f"{self.path}/{name}-{self._of_key()}"
        try:
            self._make()
            _replace(place, json.dumps(data).encode())
        except OSError:
            pass  # as in `put`

    def _of_key(self) -> str:
        return digest(["notes", FORMAT, self.key()])[:16]

    def tidy(self) -> None:
        """After something was written, remove what was not used for a month, and the oldest while all of it
        is too large.
        """
        if self.path is None or not self._written:
            return
        found = []
        for folder, _, names in os.walk(self.path):
            for name in names:
                if name != "key":
                    try:
                        info = os.stat(f"{folder}/{name}")
                        found.append((info.st_mtime, info.st_size, f"{folder}/{name}"))
                    except OSError:
                        continue
        total = sum(size for _, size, _ in found)
        for when, size, name in sorted(found):
            if total <= _LARGEST and when > time.time() - 30 * _DAY:
                break
            total -= size
            try:
                os.unlink(name)
            except OSError:
                pass

    def _folder(self, base: str) -> str:
        return f"{self.path}/{base[:2]}/{base[2:40]}"

    def _names(self, base: str) -> list[str]:
        """The entries of `base`, the one used last first."""
        if self.path is None:
            return []
        if base not in self._listed:
            folder = self._folder(base)
            try:
                names = [f"{folder}/{n}" for n in os.listdir(folder) if not n.endswith(".new")]
                if len(names) > 1:
                    names.sort(key=lambda name: -os.stat(name).st_mtime)
            except OSError:
                return []
            self._listed[base] = names
        return self._listed[base]

    def _read(self, base: str, name: str) -> _Kept | None:
        if name not in self._known:
            try:
                with open(name, "rb", buffering=0) as file:
                    used = os.fstat(file.fileno()).st_mtime
                    self._known[name] = self._decoded(base, file.readall(), used, name)
            except (OSError, ValueError, RecursionError):
                return None
        return self._known[name]

    def _decoded(self, base: str, data: bytes, used: float, name: str) -> _Kept:
        """What `_written` made `data` of for `base`. Raises ValueError for anything else."""
        check, _, rest = data.partition(b"\n")
        if check != checksum(base.encode(), rest):
            raise ValueError("damaged")
        state, head, chunks = rest.split(b"\n", 2)
        if state not in self._states:
            mapping = decoded(state, dict[str, str | None])
            self._states[state] = _State(mapping, reads_in(mapping))
        found = decoded(head, _Head)
        # It is nobody's yet, and `replace` would take as long as all else here.
        object.__setattr__(found.result, "chunks", Chunks(chunks, found.brief, name))
        object.__setattr__(found.result, "reads", self._states[state].reads)
        return _Kept(state, found.result, used)


def _written(base: str, state: bytes, result: Compiled) -> bytes:
    """An entry: a checksum, what it was made from, what equal sides need of the result, and its chunks, a line each.

    The checksum is of `base`, too: an entry that stands under another one is not that one's.
    """
    bare = replace(result, chunks=(), reads=Reads(), cached=True)
    rest = b"\n".join((state, encoded(_Head(bare, result.brief)), encoded(list(result.chunks))))
    return checksum(base.encode(), rest) + b"\n" + rest


@dataclass(frozen=True, slots=True)
class _Head:
    """A result without its chunks. brief: what can be said of them."""

    result: Compiled
    brief: Brief


@dataclass(frozen=True, slots=True)
class _State:
    """What entries were made from, see `Tree.state_of`. reads: the same without what was found."""

    mapping: Mapping[str, str | None]
    reads: Reads


@dataclass(frozen=True, slots=True)
class _Kept:
    """One entry. state: what it was made from, as it was written down. used: when it was last."""

    state: bytes
    result: Compiled
    used: float


_KEY = re.compile(r"[0-9a-f]{64}")


def _key_in(name: str) -> str | None:
    """The key that stands in the file `name`; None where there is none, or something else."""
    try:
        with open(name, encoding="latin-1") as file:
            text = file.read().strip()
    except OSError:
        return None
    return text if _KEY.fullmatch(text) else None


def _replace(name: str, data: bytes) -> None:
    """Write the file `name` by a rename. Raises OSError, and leaves nothing then."""
    fresh = f"{name}.{os.getpid()}.new"
    with _aside(fresh) as file:
        file.write(data)
    os.rename(fresh, name)


@contextlib.contextmanager
def _aside(name: str) -> Iterator[IO[bytes]]:
    """A new private file, which is removed where it cannot be written whole."""
    try:
        with open(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            yield file
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def _touch(name: str) -> None:
    try:
        os.utime(name)
    except OSError:
        pass


def base_of(minion: Minion, shared: str) -> str:
    """What a result depends on apart from files. shared: see `pool.Frame.fingerprint`."""
    return digest([FORMAT, minion.digest(), shared])
