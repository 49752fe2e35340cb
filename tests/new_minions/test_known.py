"""Which minions are known, and who is said to have started, as files."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from saltbranch.new_minions import known
from saltbranch.new_minions.known import KNOWN, Entry, Known


@pytest.fixture
def root(tmp_path: Path) -> str:
    (tmp_path / "state").mkdir()
    return str(tmp_path)


def test_word_of_many_at_once_is_kept_until_it_is_taken(root: str) -> None:
    names = [f"web{n}, é'\n" for n in range(200)]
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda name: known.note_started(root, name), [*names, *names]))

    taken = known.started(root)
    assert sorted(taken) == sorted(names)
    known.note_started(root, "late")
    known.forget_started(root, taken)
    assert known.started(root) == ["late"]
    known.forget_started(root, ["late"])
    assert not known.has_started(root)


def test_what_is_no_word_goes_away(root: str) -> None:
    known.note_started(root, "web1")
    with open(f"{known.folder(root)}/started", "ab") as file:
        file.write(b'{"a": 1}\n\xff\xfe\n"torn')

    assert known.started(root) == ["web1"]
    known.forget_started(root, ["web1"])
    assert not known.has_started(root)


def test_a_flood_does_not_fill_the_disk(root: str) -> None:
    Path(known.folder(root)).mkdir()
    spool = Path(known.folder(root)) / "started"
    spool.write_bytes(b'"x"\n' * (1 << 19))
    size = spool.stat().st_size

    known.note_started(root, "web1")

    assert spool.stat().st_size == size


def test_a_key_is_what_the_master_accepted_under_that_name(tmp_path: Path) -> None:
    folder = tmp_path / "minions"
    folder.mkdir()
    (tmp_path / "secret").write_text("x")
    (folder / "web, 1").write_text("a key")
    (folder / ".key_cache").write_text("x")

    assert known.key_of(str(tmp_path), "web, 1")
    for name in ("", ".", "..", "../secret", "web\0", ".key_cache", "web2", "é" * 300):
        assert known.key_of(str(tmp_path), name) is None


def test_minions_whose_key_is_gone_are_remembered_up_to_a_number(root: str) -> None:
    found = Known({f"gone{n}": Entry("k", KNOWN) for n in range(10_050)})
    found.minions["here"] = Entry("k", KNOWN)

    known.forget_gone(found, ["here"])
    known.save(root, found)

    assert len(found.minions) == 10_001
    assert "gone0" not in found.minions and "gone10049" in found.minions
    assert known.load(root) == found
    assert json.loads(Path(known.path(root)).read_text())["version"] == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"key": 1},
        {"stage": []},
        {"jid": None},
        {"at": "0"},
        {"seen": 0},
        {"had": 1},
        {"starts": "1"},
    ],
)
def test_a_record_with_a_value_of_another_kind_counts_for_nothing(
    tmp_path: Path, wrong: dict[str, object]
) -> None:
    root = str(tmp_path)
    known.save(root, known.Known({"web1": known.Entry("a")}))
    path = Path(known.path(root))
    data = json.loads(path.read_text())
    data["minions"]["web1"] |= wrong
    path.write_text(json.dumps(data))
    assert known.load(root) is None
