"""What is parsed once is given back as it was, and never after the file changed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saltbranch.compiler.cache import base_of
from saltbranch.config.minions import Matcher
from saltbranch.preview import fleet_cache
from saltbranch.preview.fleet import DiskFolder, read_folder
from saltbranch.preview.fleet_cache import FleetCache

GROUPS = {"test": (Matcher("glob", "*"),)}


def version(fleet: Path, name: str) -> str:
    return DiskFolder(str(fleet)).files()[name]


def written(path: Path, text: str, age: float = 60) -> Path:
    path.write_text(text)
    then = path.stat().st_mtime - age
    os.utime(path, (then, then))
    return path


@pytest.fixture
def old_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """The inode's own time cannot be set back, so nothing counts as young."""
    monkeypatch.setattr(fleet_cache, "_YOUNG", -1.0)


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    folder = tmp_path / "fleet"
    folder.mkdir()
    written(folder / "web1.yaml", "grains: {os: Debian, born: 2026-01-02}\n")
    written(folder / "web2.yaml", "grains: {os: Debian}\nrecorded: 17\n")
    written(folder / "web3.yaml", "grains: {os: Debian}\npillar: {password: hunter22}\n")
    return folder


@pytest.mark.usefixtures("old_enough")
def test_a_fleet_is_the_same_from_the_cache(fleet: Path, tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    plain = read_folder(DiskFolder(str(fleet)), GROUPS, {})
    assert read_folder(DiskFolder(str(fleet)), GROUPS, {}, cache) == plain
    assert read_folder(DiskFolder(str(fleet)), GROUPS, {}, cache) == plain
    kept = FleetCache(cache, str(fleet))
    assert kept.get("web2.yaml", version(fleet, "web2.yaml")) == {
        "grains": {"os": "Debian", "id": "web2"},
        "recorded": 17,
    }
    found = read_folder(DiskFolder(str(fleet)), GROUPS, {}, cache)[0]
    assert [base_of(m, "") for m in found] == [base_of(m, "") for m in plain[0]]
    assert len({base_of(m, "") for m in found}) == 3
    assert kept.get("web1.yaml", version(fleet, "web1.yaml")) is None  # JSON knows no dates
    assert kept.path is not None
    assert os.stat(kept.path).st_mode & 0o077 == 0
    assert "hunter22" not in Path(kept.path).read_text()


@pytest.mark.usefixtures("old_enough")
def test_a_changed_file_is_read_again(fleet: Path, tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    read_folder(DiskFolder(str(fleet)), GROUPS, {}, cache)
    written(fleet / "web2.yaml", "grains: {os: Ubuntu}\nrecorded: 17\n")
    found = {
        m.id: m.grains["os"] for m in read_folder(DiskFolder(str(fleet)), GROUPS, {}, cache)[0]
    }
    assert found["web2"] == "Ubuntu"


def test_a_file_that_may_still_change_is_not_kept(fleet: Path, tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    read_folder(DiskFolder(str(fleet)), GROUPS, {}, cache)
    assert FleetCache(cache, str(fleet))._kept == {}


@pytest.mark.usefixtures("old_enough")
@pytest.mark.parametrize("text", ["", "{", "[1]", '{"x": 1}', "\0"])
def test_a_damaged_cache_counts_as_empty(fleet: Path, tmp_path: Path, text: str) -> None:
    cache = str(tmp_path / "cache")
    read_folder(DiskFolder(str(fleet)), GROUPS, {}, cache)
    path = FleetCache(cache, str(fleet)).path
    assert path is not None
    Path(path).write_text(text)
    assert len(read_folder(DiskFolder(str(fleet)), GROUPS, {}, cache)[0]) == 3


@pytest.mark.usefixtures("old_enough")
def test_a_cache_with_another_letter_counts_as_empty(fleet: Path, tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    read_folder(DiskFolder(str(fleet)), GROUPS, {}, cache)
    path = FleetCache(cache, str(fleet)).path
    assert path is not None
    text = Path(path).read_text()
    assert "Debian" in text
    Path(path).write_text(text.replace("Debian", "Debiam"))
    minions, _ = read_folder(DiskFolder(str(fleet)), GROUPS, {}, cache)
    assert {m.grains["os"] for m in minions} == {"Debian"}


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text() | st.dates(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=8,
)


@given(values)
def test_what_is_kept_survives_being_written_down(value: Any) -> None:
    import msgspec

    data = {"grains": value}
    if fleet_cache._survives(data):
        assert repr(msgspec.json.decode(msgspec.json.encode(data))) == repr(data)
