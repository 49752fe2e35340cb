"""Which states a difference tells: as many as Salt's two answers differ in."""

from __future__ import annotations

from pathlib import Path

import pytest

from saltbranch.compiler.cache import CompileCache
from saltbranch.preview import difference, low_diff
from tests.support.compiling import Lab, minion


def _told(folder: Path, old: str, new: str) -> difference.Difference:
    top = b"base:\n  '*':\n    - one\n"
    lab = Lab(folder, {"salt/top.sls": top, "pillar/top.sls": b"{}\n", "salt/one.sls": old})
    cache, trees, sides = CompileCache(None), [], []
    for text in (old, new):
        lab.commit({"salt/one.sls": text})
        sides.append(lab.one(minion("web1"), cache=cache))
        trees.append(lab.tree())
    said = low_diff.compare("test", sides[0], sides[1], (trees[0], trees[1]), states_dir="salt")
    assert said.difference is not None
    return said.difference


@pytest.mark.parametrize(("one", "other"), [("[/a]", "[/a, /b]"), ("[/a]", "[/c, /a, /b]")])
def test_one_more_of_names_removes_no_state(tmp_path: Path, one: str, other: str) -> None:
    state = "x:\n  file.directory:\n    - names: {}\n"
    told = _told(tmp_path / "more", state.format(one), state.format(other))
    names = {f"x | file.directory #{n}" for n in other.strip("[]").split(", ") if n != "/a"}
    assert {s.key for s in told.added} == names
    assert not told.removed
    assert not told.changed
    told = _told(tmp_path / "fewer", state.format(other), state.format(one))
    assert {s.key for s in told.removed} == names
    assert not told.added
    assert not told.changed


def test_what_changes_of_the_one_that_stays_is_a_change(tmp_path: Path) -> None:
    state = "x:\n  file.directory:\n    - names: {}\n    - mode: '{}'\n"
    told = _told(tmp_path, state.format("[/a]", "0755"), state.format("[/a, /b]", "0700"))
    assert [list(s.arguments) for s in told.changed] == [["mode"]]
    assert len(told.added) == 1
    assert not told.removed
