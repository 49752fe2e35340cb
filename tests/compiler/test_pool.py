"""How minions are shared out to workers, and a cache that cannot be written."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from saltbranch.compiler import pool
from saltbranch.compiler.cache import CompileCache
from saltbranch.compiler.model import Minion


@given(
    st.lists(st.sampled_from(["test", "stage", "prod"]), min_size=1, max_size=1200),
    st.integers(1, 40),
)
def test_every_minion_is_in_one_share_of_its_saltenv(saltenvs: list[str], workers: int) -> None:
    minions = {n: Minion(f"m{n}", saltenv, {}) for n, saltenv in enumerate(saltenvs)}
    shares = pool._shares(minions, workers)
    assert sorted(n for share in shares for n in share) == [*minions]
    for share in shares:
        assert len({minions[n].saltenv for n in share}) == 1
        assert 1 <= len(share) <= pool._SHARE
    # One worker for each saltenv is enough while there are few.
    if workers == 1 and len(minions) <= pool._SHARE:
        assert len(shares) == len(set(saltenvs))


def test_a_cache_that_cannot_be_written_has_a_key_all_the_same() -> None:
    cache = CompileCache("/proc/nobody/writes/here")
    assert len(cache.key()) == 64
    assert cache.key() == cache.key() != CompileCache("/proc/nobody/writes/here").key()
