"""stdout for a reader that may leave early: ``saltbranch diff prod | head -1`` ends with diff's own exit code."""

from __future__ import annotations

import io
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO


class _Pipe(io.FileIO):
    """Writes to a pipe until nobody reads it, from then on to nowhere."""

    def write(self, data: object, /) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return super().write(data)  # type: ignore[arg-type]


def unread(stdout: TextIO) -> TextIO:
    """`stdout`, or what stands for it where it may be a pipe."""
    try:
        number = stdout.fileno()
    except (OSError, ValueError):
        return stdout
    if os.isatty(number):
        return stdout
    stdout.flush()
    raw = io.BufferedWriter(_Pipe(number, "w", closefd=False))
    return io.TextIOWrapper(raw, encoding=stdout.encoding, errors=stdout.errors)
