"""A program on a terminal of its own, which reads keys and shows lines as for a person."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import subprocess
import termios
import time
from collections.abc import Sequence
from types import TracebackType

_COLOR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class OnTerminal:
    """A program whose input and output are one terminal; ^C is a key of it. A context manager."""

    def __init__(self, argv: Sequence[str]) -> None:
        self.ours, theirs = pty.openpty()
        # Lines stay whole.
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, b"\x32\x00\x90\x01\x00\x00\x00\x00")
        self.process = subprocess.Popen(
            argv,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)
        self.seen = ""

    def __enter__(self) -> OnTerminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.ours)

    def until(self, text: str, seconds: float = 120) -> str:
        """Wait until `text` is shown; what was shown since the last time, up to it."""
        end = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < end and self._read(), (text, self.seen)
        before, found, self.seen = self.seen.partition(text)
        return before + found

    def type(self, keys: str) -> None:
        """Press these keys."""
        os.write(self.ours, keys.encode())

    def end(self, seconds: float = 120) -> tuple[int, str]:
        """Wait for the end; the exit code, and what was shown since the last time."""
        while self._read(seconds):
            pass
        return self.process.wait(seconds), self.seen

    def _read(self, seconds: float = 120) -> bool:
        ready, _, _ = select.select([self.ours], [], [], seconds)
        assert ready, self.seen
        try:
            data = os.read(self.ours, 65536)
        except OSError:  # the other end is closed
            return False
        self.seen += _COLOR.sub("", data.decode("utf-8", "replace")).replace("\r\n", "\n")
        return bool(data)
