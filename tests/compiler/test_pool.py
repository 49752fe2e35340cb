"""How minions are shared out to workers, and a cache that cannot be written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saltbranch.compiler import pool
from saltbranch.compiler.cache import CompileCache
from saltbranch.compiler.dispatcher import Dispatcher
from saltbranch.compiler.model import Minion
from tests.support.compiling import Lab, minion
from tests.support.remote import Content


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


# Jinja says of the second that it nests too deep, and the third is no text at all.
_ODD = {
    "salt/deep.sls": b"{{ " + b"(" * 5000 + b"1" + b")" * 5000 + b" }}\n",
    "salt/bytes.sls": b"\xff\xfe{{ 1 }}\n",
    "salt/broken.sls": b"{% if %}\n",
}


def _noted(monkeypatch: pytest.MonkeyPatch) -> list[Dispatcher]:
    """The dispatchers that are made from now on."""
    made: list[Dispatcher] = []

    class Noted(Dispatcher):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            made.append(self)

    monkeypatch.setattr(pool, "Dispatcher", Noted)
    return made


@pytest.mark.parametrize("number", [2, 3])
def test_sls_files_are_compiled_before_many_minions_want_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    made = _noted(monkeypatch)
    files = {
        f"salt/s{n}.sls": f"s{n}:\n  test.nop:\n    - a: {{{{ grains.id }}}}\n".encode()
        for n in range(7)
    }
    top = "base:\n  '*': [" + ", ".join(f"s{n}" for n in range(7)) + "]\n"
    lab = Lab(
        tmp_path, {**files, **_ODD, "salt/top.sls": top.encode(), "pillar/top.sls": b"base: {}\n"}
    )
    minions = [minion(f"m{n}", []) for n in range(number)]
    found = pool.compile_fleet(lab.frame, lab.tree(), minions, jobs=1, cache=CompileCache(None))
    assert [(len(r.chunks), r.errors) for r in found.values()] == [(7, ())] * number
    wanted = [item for kind, item in made[0].learnt if kind == "templates" and "salt/s" in item]
    assert len(wanted) == (0 if len(files) + 5 <= 4 * number else 7)


def test_what_is_said_to_be_likely_decides_on_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _noted(monkeypatch)
    files: dict[str, Content] = {
        f"salt/s{n}.sls": f"s{n}:\n  test.nop:\n    - a: {{{{ grains.id }}}}\n" for n in range(9)
    }
    lab = Lab(tmp_path, {**files, "salt/top.sls": "base: {'*': [s0, s1]}\n"})
    said = ["salt/s0.sls", "salt/s8.sls", "salt/none.sls", "../etc/passwd", "pillar/x.sls"]
    found = [lab.compile([minion("m1")], likely=likely)["m1"] for likely in (None, said, [])]
    assert all(r.result == "ok" and r.low == found[0].low and len(r.low) == 2 for r in found)
    assert all(r.reads == found[0].reads for r in found)
    learnt = [{i for kind, i in d.learnt if kind == "templates" and "salt/s" in i} for d in made]
    assert ["s1.sls" in str(names) for names in learnt] == [True] * 3
    assert ["s0.sls" in str(names) for names in learnt] == [True, False, True]
