"""A folder of caches for one test, that knows of Salt's state functions already: listing them takes a second."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import pytest

from saltbranch.check import salt_language


def use(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Keep caches in `folder` while `patch` lasts; no results are in there yet."""
    ours = folder / "saltbranch"
    ours.mkdir(parents=True)
    for name, data in _catalogue():
        (ours / name).write_bytes(data)
    patch.setenv("XDG_CACHE_HOME", str(folder))


@functools.cache
def _catalogue() -> tuple[tuple[str, bytes], ...]:
    """The names and contents of what `check` keeps of this Salt (tests/check/test_salt_language.py)."""
    with tempfile.TemporaryDirectory() as folder:
        salt_language.catalogue(folder)
        return tuple((path.name, path.read_bytes()) for path in Path(folder).iterdir())
