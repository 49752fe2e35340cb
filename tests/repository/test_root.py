"""Whose a new root becomes, when several start at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from saltbranch.base.errors import RefusedError
from saltbranch.repository.root import open_root, owner_of


@pytest.mark.parametrize("names", ["aaaa", "abab"])
def test_several_that_start_together_agree_on_one_owner(tmp_path: Path, names: str) -> None:
    for number in range(30):
        root = tmp_path / f"root{number}"
        for name in set(names):
            (tmp_path / f"{name}.yaml").write_text(f"remote: /srv/git/salt.git\nroot: {root}\n")
        ready = Barrier(len(names))

        def start(name: str, ready: Barrier = ready) -> bool:
            ready.wait(timeout=60)
            try:
                return open_root(str(tmp_path / f"{name}.yaml"), write=True) is not None
            except RefusedError:
                return False

        with ThreadPoolExecutor(len(names)) as pool:
            own = dict(zip(range(len(names)), pool.map(start, names), strict=True))
        owner = Path(owner_of(str(root))).stem
        assert own == {i: name == owner for i, name in enumerate(names)}
