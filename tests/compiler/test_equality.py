"""Ours and Salt's own answer are the same: pillar and low chunks, arguments and order included."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from saltbranch.compiler.cache import CompileCache
from tests.support import budget
from tests.support.compiling import Lab, Pair, minion, sample_files, sample_minions
from tests.support.edits import EDITS, Files, random_minion


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("equality"))


def test_the_sample_is_what_salt_call_says(lab: Lab) -> None:
    minions = sample_minions()
    ours = lab.compile(minions)
    for who in budget.some(minions, 1, lambda m: m.id == "master-all"):
        low = lab.salt_call(who, "state.show_lowstate")
        assert ours[who.id].result == "ok", ours[who.id].error
        assert ours[who.id].low == low
        pillar = lab.salt_call(who, "pillar.items", "unmask=True")
        assert ours[who.id].plain_pillar == pillar


def test_the_same_process_gives_the_same_answer_in_any_order(lab: Lab) -> None:
    minions = sample_minions()
    forward = lab.compile(minions)
    back = lab.compile(minions[::-1])
    alone = {who.id: lab.one(who) for who in minions[:2]}
    for who in minions:
        assert forward[who.id].low == back[who.id].low
    for name, result in alone.items():
        assert result.low == forward[name].low


# Random edits


def _compare_after_edits(lab: Lab, seed: int) -> bool:
    """Whether Salt had an error, after both were found to agree."""
    rng = random.Random(seed)
    files: Files = sample_files()
    for _ in range(rng.randrange(1, 4)):
        edit = rng.choice(EDITS)
        living = {p: c for p, c in files.items() if c is not None}
        edit(rng, living)
        files = {**files, **living}
    tree = lab.remote.git("rev-parse", "master~0")
    lab.remote.commit("master", files)
    who = random_minion(rng)
    pair = Pair(lab.one(who), lab.salts_own([who])[who.id])
    try:
        pair.assert_equal()
    except AssertionError as err:
        raise AssertionError(f"seed {seed}, after {tree}: {err}") from err
    return pair.salt_failed


def _run(tmp_path: Path, seeds: Sequence[int]) -> None:
    failed = 0
    for seed in seeds:
        failed += _compare_after_edits(Lab(tmp_path / str(seed)), seed)
    # Were nearly all of them errors, little would have been compared.
    assert failed < 0.7 * len(seeds)


def test_random_edits_give_what_salt_gives(tmp_path: Path) -> None:
    _run(tmp_path, budget.some(range(1000, 1012), 5))


@pytest.mark.slow
def test_many_random_edits_give_what_salt_gives(tmp_path: Path) -> None:
    _run(tmp_path, range(200))


# The cache


def test_cached_results_are_the_fresh_ones_whatever_is_edited(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    cache = CompileCache(str(tmp_path / "cache"))
    minions = sample_minions()[:3]
    rng = random.Random(7)
    hits = 0
    for _ in range(budget.examples(8, 5)):
        files: Files = dict(sample_files())
        rng.choice(EDITS)(rng, files)
        lab.commit(files)
        kept = lab.compile(minions, cache=cache, plain=False)
        key = cache.key()
        fresh_cache = CompileCache(None)
        fresh_cache._key = key
        fresh = lab.compile(minions, cache=fresh_cache, plain=False)
        for who in minions:
            hits += kept[who.id].cached
            assert kept[who.id].chunks == fresh[who.id].chunks
            assert kept[who.id].pillar == fresh[who.id].pillar
            assert kept[who.id].errors == fresh[who.id].errors
    assert hits > 0


def test_a_custom_module_that_appears_is_noticed(tmp_path: Path) -> None:
    """The highstate asked for a function that was not there: no file says so, only a listing does."""
    lab = Lab(tmp_path, {"salt/top.sls": b"base:\n  '*':\n    - one\n", "pillar/top.sls": b"{}\n"})
    asks = b"{{ salt['later.value']() if 'later.value' in salt else 'none' }}:\n  test.nop\n"
    lab.commit({"salt/one.sls": asks, "salt/_modules/other.py": b"def value():\n    return 1\n"})
    cache, who = CompileCache(str(tmp_path / "cache")), minion("web1")
    assert lab.one(who, cache=cache, plain=False).chunks[0].key == "none | test.nop"
    lab.commit({"salt/_modules/later.py": b"def value():\n    return 'there'\n"})
    after = lab.one(who, cache=cache, plain=False)
    assert not after.cached
    assert after.chunks[0].key == "there | test.nop"
