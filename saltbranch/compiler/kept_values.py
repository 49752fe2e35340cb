"""What is kept, as bytes that are decoded when somebody looks into it: of most minions of a run nobody does."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

from saltbranch.base.errors import SaltbranchError
from saltbranch.compiler.model import Brief, Chunk, decoded


def checksum(*parts: bytes) -> bytes:
    """Tells damage: what a disk or a crash does, nothing that somebody means to do."""
    value = 0
    for part in parts:
        value = zlib.crc32(part, value)
    return b"%08x" % value


class DamagedError(SaltbranchError):
    """A file of the cache holds what cannot have been written there."""


class Chunks(Sequence[Chunk]):
    """The chunks of a result that was kept. brief: what can be said without them."""

    __slots__ = ("_chunks", "_place", "_text", "brief")

    def __init__(self, text: bytes, brief: Brief, place: str) -> None:
        """text: as `encoded`. place: the file that it is from. Whoever looks at one may get a DamagedError."""
        self.brief = brief
        self._text, self._place = text, place
        self._chunks: tuple[Chunk, ...] | None = None

    def _all(self) -> tuple[Chunk, ...]:
        text = self._text  # first: another thread may decode it and let it go meanwhile
        if self._chunks is None:
            try:
                found = decoded(text, tuple[Chunk, ...])
            except (ValueError, RecursionError):
                found = ()
            if len(found) != self.brief.number:
                raise DamagedError(
                    f"{self._place} is not as it was written",
                    hint="remove that file: the minion is compiled again then",
                )
            self._chunks, self._text = found, b""
        return self._chunks

    def __len__(self) -> int:
        return self.brief.number

    def __iter__(self) -> Iterator[Chunk]:
        return iter(self._all())

    @overload
    def __getitem__(self, index: int) -> Chunk: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Chunk]: ...

    def __getitem__(self, index: int | slice) -> Chunk | Sequence[Chunk]:
        return self._all()[index]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (tuple, Chunks)):
            return NotImplemented
        return self is other or self._all() == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._all())


class Grains(Mapping[str, Any]):
    """Grains that were kept. digest: stands for them, see `model.digest`."""

    __slots__ = ("_grains", "_text", "digest")

    def __init__(self, text: bytes, digest: str) -> None:
        """text: JSON, of a mapping with names as keys."""
        self._text, self.digest = text, digest
        self._grains: dict[str, Any] | None = None

    def _all(self) -> dict[str, Any]:
        text = self._text  # first, as in `Chunks`
        if self._grains is None:
            self._grains = decoded(text, dict[str, Any])
            self._text = b""
        return self._grains

    def __getitem__(self, key: str) -> Any:
        return self._all()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __eq__(self, other: object) -> bool:
        return self._all() == (other._all() if isinstance(other, Grains) else other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._all())
