"""The side of a worker that is believed: hands out minions, and takes in what their forks answer.

A worker and its forks are one program that runs a branch's code sooner or later, so it is told as little
as will do. The worker gets no minion at all: what one is, and the key for its digests, is in a file in
memory that only its fork reads. The fork answers here and not to the worker, so no later fork inherits it.

What a fork reads it tells here *before* it uses it (`tracking`), through a socket: what was sent cannot be
taken back, nor can anybody open a socket a second time. So code that lies is in the list of what was
read before it could, and the result counts only for trees that hold that code (see compiler/cache.py).
"""

from __future__ import annotations

import array
import contextlib
import hashlib
import json
import os
import re
import select
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from saltbranch.compiler.model import (
    UNKEPT,
    Chunk,
    Compiled,
    Minion,
    Reads,
    compiled_from_json,
    failed,
)
from saltbranch.compiler.reads import is_inner, reads_of

_MIB = 1 << 20
_LARGEST = 64 * _MIB
"""Bytes of result that one minion may have."""
_MOST_READ = 4 * _MIB
"""Bytes of names that it may tell to have read."""
_LATE = 5
"""So many minions in a row that do not end in time: neither will the others, and a run has to end."""
_MODULE = re.compile(r"salt\.loaded\.int\.[a-z]+\.[a-z0-9_]+", re.ASCII)
_LINES = 20_000
_LONGEST_NAMES, _LONGEST_PATTERN, _MOST_LEARNT = 2000, 200, 2000
_ASKER_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Work:
    """What the dispatcher has to know of the tree. files: its regular files, by path. folders: those below
    which files count. key: the cache's. texts: what its encrypted messages hold. seconds: for one minion.
    """

    files: frozenset[str]
    folders: tuple[str, ...]
    key: str
    texts: Mapping[str, bytes]
    seconds: float


@dataclass(slots=True)
class _Fork:
    """A minion that is being compiled, as far as it is heard. lines: what it said, the last one open."""

    number: int
    answer: socket.socket
    trace: socket.socket
    lines: list[bytearray] = field(default_factory=lambda: [bytearray()])
    told: bytearray = field(default_factory=bytearray)
    ciphers: set[str] = field(default_factory=set)
    size: int = 0

    def close(self) -> None:
        self.answer.close()
        self.trace.close()

    def said(self, kind: bytes) -> bytes | None:
        """The last of its lines of that kind, the open one aside."""
        return next((bytes(x[1:]) for x in self.lines[-2::-1] if x[:1] == kind), None)


def derived(key: str, *words: str) -> str:
    """A secret of its own for `words`, from which `key` cannot be told."""
    text = json.dumps(words).encode()
    return hashlib.blake2b(text, key=bytes.fromhex(key), digest_size=32).hexdigest()


def values_key(key: str, minion: Minion) -> str:
    """The secret with which values of `minion` are made digests."""
    return derived(key, "values", minion.saltenv, minion.id)


class Dispatcher:
    """Serves one worker, which has the other end of `control`, until all `minions` are done or it is gone.

    results: by position. at_work: handed out and not heard of since, the first one first.
    """

    def __init__(
        self,
        control: socket.socket,
        minions: Sequence[Minion],
        work: Work,
        forks: int,
        tell: Callable[[int], None],
    ) -> None:
        """forks: so many minions at a time. tell: called with how many more are done."""
        self.control, self.minions, self.work, self.tell = control, minions, work, tell
        self.limit = forks
        self.waiting = deque(range(len(minions)))
        self.again: deque[int] = deque()
        self.at_work: dict[int, _Fork] = {}
        self.results: dict[int, Compiled] = {}
        self.spent: Mapping[str, Any] = {}
        self.is_ready = self.has_begun = False
        self.late = 0
        self.tried: dict[int, str] = {}
        self.learnt: set[tuple[str, str]] = set()

    def serve(self, job: bytes) -> None:
        """To the end. job: how to compile, see `pool`. Raises nothing: whoever misbehaves has no result."""
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        self.poll = poll
        try:
            with _in_memory(job) as file:
                self._send({"job": len(job)}, [file.fileno()])
            while self._is_heard():
                pass
        except OSError:
            pass  # the worker is gone
        finally:
            for fork in self.at_work.values():
                fork.close()
            with contextlib.suppress(OSError):
                self.control.shutdown(socket.SHUT_RDWR)  # whatever it waits for will not come

    def _is_heard(self) -> bool:
        """Wait for the next thing that is said; False when the worker has ended."""
        own = self.control.fileno()
        for fd, _ in self.poll.poll():
            if fd == own:
                data = self.control.recv(_MIB)
                if not data:
                    return False
                self._reported(json.loads(data))
                continue
            fork = next((f for f in self.at_work.values() if f.answer.fileno() == fd), None)
            if fork is not None and self._listened(fork) is False:
                self.poll.unregister(fd)  # it has closed it; the worker will say that it ended
        return True

    # To the worker

    def _hand_out(self) -> None:
        """Let the worker have as many minions as it may be at."""
        while self.is_ready and len(self.at_work) < self.limit:
            if not self.waiting:
                if self.at_work or not self.again:
                    break
                # One that ended without a result while others were at work may be their victim.
                self.waiting, self.again, self.limit = self.again, deque(), 1
            number = self.waiting.popleft()
            if self.late >= _LATE:
                why = f"not tried: {_LATE} minions before it did not end in {self.work.seconds:g} s"
                why = self.tried.get(number, why)
                self._done(number, failed(self.minions[number].id, why))
                continue
            self._start(number)
        if self.is_ready and not self.at_work and not self.waiting and not self.again:
            self.is_ready = False
            with contextlib.suppress(OSError):
                self.control.shutdown(socket.SHUT_WR)

    def _start(self, number: int) -> None:
        minion = self.minions[number]
        keys = {
            "values": values_key(self.work.key, minion),
            "words": derived(self.work.key, "words"),
        }
        job = json.dumps({"minion": minion.as_job(), "keys": keys}, default=str).encode()
        (answer, theirs), (trace, told) = socket.socketpair(), socket.socketpair()
        answer.settimeout(0)
        trace.settimeout(0)
        self.at_work[number] = _Fork(number, answer, trace)
        with _in_memory(job) as file, theirs, told:
            self._send({"number": number}, [file.fileno(), theirs.fileno(), told.fileno()])
        self.poll.register(answer, select.POLLIN)

    def _send(self, message: Mapping[str, Any], fds: Sequence[int] = ()) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.control.sendmsg([json.dumps(message).encode()], rights)

    def _teach(self, made: Mapping[str, Any]) -> None:
        """Tell the worker by their names which modules of Salt, which templates and which patterns of the
        tree were wanted; it makes them itself, from files that no fork can write.
        """
        modules = [m for m in _texts(made.get("modules")) if _MODULE.fullmatch(m)]
        templates = [
            item
            for item in made.get("templates") or ()
            if len(_texts(item)) == 3
            and item[0] in self.work.files
            and len(item[1]) + len(item[2]) < _LONGEST_NAMES
        ]
        patterns = [p for p in _texts(made.get("patterns")) if len(p) < _LONGEST_PATTERN]
        for kind, items in (
            ("modules", modules),
            ("templates", templates),
            ("patterns", patterns),
        ):
            new = [i for i in items if (kind, str(i)) not in self.learnt][:_MOST_LEARNT]
            self.learnt.update((kind, str(i)) for i in new)
            for start in range(0, len(new), 20):
                self._send({"learn": kind, "items": new[start : start + 20]})

    # From the worker

    def _reported(self, said: Mapping[str, Any]) -> None:
        if "salt" in said:
            self.is_ready = self.has_begun = True
        elif "cpu" in said:
            self.spent = said
        elif (fork := self.at_work.pop(said["number"], None)) is not None:
            self._ended(fork, said)
        self._hand_out()

    def _ended(self, fork: _Fork, said: Mapping[str, Any]) -> None:
        with contextlib.suppress(KeyError):
            self.poll.unregister(fork.answer)
        while self._listened(fork):
            pass
        minion, number = self.minions[fork.number], fork.number
        result = self._result(fork, minion)
        fork.close()
        self.late = 0 if result else self.late + 1 if said["late"] else self.late
        if result is None and said["again"] and number not in self.tried:
            # It may be another one's victim: it gets another chance when it is alone.
            self.again.append(number)
            self.tried[number] = str(said["why"])
            return
        self._done(number, result or failed(minion.id, str(said["why"])))

    def _done(self, number: int, result: Compiled) -> None:
        self.results[number] = result
        self.tell(1)

    # From forks

    def _listened(self, fork: _Fork) -> bool | None:
        """Take in what a fork says; None when there is nothing now, False when there will be nothing more.

        Nothing now may be where poll(2) spoke of the descriptor of one that has ended meanwhile.
        """
        self._drain(fork)
        try:
            data = fork.answer.recv(_MIB)
        except BlockingIOError:
            return None
        except OSError:
            return False
        fork.size += len(data)
        if not data or fork.size > _LARGEST:
            return False
        first, *more = data.split(b"\n")
        fork.lines[-1] += first
        for line in more:
            if fork.lines[-1][:1] == b"?":
                self._decipher(fork, fork.lines[-1][1:].decode("ascii", "replace"))
            if len(fork.lines) < _LINES:
                fork.lines.append(bytearray())
            fork.lines[-1] += line
        return True

    def _drain(self, fork: _Fork) -> None:
        """Take in what it told to read. It says an empty line when there is no more room for that."""
        with contextlib.suppress(OSError):
            while data := fork.trace.recv(_MIB):
                if len(fork.told) <= _MOST_READ:
                    fork.told += data

    def _decipher(self, fork: _Fork, name: str) -> None:
        """Give out what one message of the tree holds, to the one minion that asked for it."""
        fork.ciphers.add(name)
        text = self.work.texts.get(name)
        reply = memoryview(b"-\n" if text is None else b"+%s\n" % text.hex().encode())
        end = time.monotonic() + _ASKER_SECONDS
        while reply and time.monotonic() < end:
            try:
                reply = reply[fork.answer.send(reply) :]
            except BlockingIOError:
                select.select([], [fork.answer], [], 1)
            except OSError:
                return

    def _result(self, fork: _Fork, minion: Minion) -> Compiled | None:
        """What came of it; None without a result. None of it is believed blindly."""
        if fork.size > _LARGEST:
            return failed(minion.id, "compiling was stopped: its result is too large")
        if len(fork.told) > _MOST_READ:
            return failed(minion.id, "compiling was stopped: it reads too much")
        try:
            if (broken := fork.said(b"b")) is not None:
                return failed(minion.id, broken.decode("utf-8", "replace").strip()[:500])
            result = compiled_from_json(fork.said(b"r") or b"")
            made = json.loads(fork.said(b"m") or b"{}")
        except (ValueError, RecursionError):
            return None
        if result.minion != minion.id:
            return failed(minion.id, "the result is another minion's")
        if not isinstance(made, dict):
            made = {}
        self._teach(made)
        reads = reads_of(bytes(fork.told), self.work.folders, fork.ciphers)
        if reads is None or made.get("keep") is not True:
            why = made.get("unkept")
            reads = Reads(unkept=why if isinstance(why, str) and why in UNKEPT else "outside")
        return replace(
            result,
            chunks=tuple(map(self._placed, result.chunks)),
            cached=False,
            reads=reads,
        )

    def _placed(self, chunk: Chunk) -> Chunk:
        """`chunk` with no places but those inside the tree."""
        path = chunk.path if chunk.path in self.work.files else ""
        sources = tuple(filter(is_inner, chunk.sources))
        content = tuple(c for c in chunk.content if not c.source or is_inner(c.source))
        kept = (
            path == chunk.path,
            len(sources) == len(chunk.sources),
            len(content) == len(chunk.content),
        )
        if all(kept):
            return chunk
        return replace(chunk, path=path, sources=sources, content=content)


def _texts(value: Any) -> list[str]:
    return [v for v in value if isinstance(v, str)] if isinstance(value, list) else []


@contextlib.contextmanager
def _in_memory(data: bytes) -> Any:
    """A file that is nowhere, with `data` in it."""
    fd = os.memfd_create("minion", os.MFD_CLOEXEC)
    with open(fd, "w+b", buffering=0) as file:
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]
        file.seek(0)
        yield file
