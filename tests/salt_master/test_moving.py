"""Files are written over and made what they were: bytes, owner, mode, times and attributes."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from saltbranch.base.errors import SaltbranchError
from saltbranch.salt_master import moving


def state(path: Path) -> tuple[object, ...]:
    """All that has to be the same."""
    st = path.lstat()
    link = os.readlink(path) if path.is_symlink() else None
    return (path.read_bytes(), link, st.st_mode, st.st_uid, st.st_gid, path.stat().st_mtime_ns)


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    """A file with odd rights, and a link to one that lies elsewhere."""
    folder = tmp_path / "etc"
    (folder / "master.d").mkdir(parents=True)
    (folder / "master").write_bytes(b"a: \xff\r\nno end")
    (folder / "master").chmod(0o604)
    with contextlib.suppress(PermissionError):
        os.chown(folder / "master", 1234, 2345)
    os.utime(folder / "master", ns=(1_000_000_123, 2_000_000_456))
    (tmp_path / "elsewhere").write_text("b: 1\n")
    (folder / "master.d" / "b.conf").symlink_to(tmp_path / "elsewhere")
    with contextlib.suppress(OSError):
        os.setxattr(folder / "master", "user.note", b"kept")
    return folder


def moved(etc: Path, folder: Path) -> list[Path]:
    """Write over both files, and one that was not there; the paths."""
    paths = [etc / "master.d" / "ours.conf", etc / "master", etc / "master.d" / "b.conf"]
    moving.keep(str(folder), {str(path): ["new: 1\n"] for path in paths})
    for path in paths:
        moving.write(str(path), "new: 1\n", 0o644)
    return paths


def test_everything_is_as_it_was(etc: Path, tmp_path: Path) -> None:
    files = [etc / "master", etc / "master.d" / "b.conf"]
    before = [state(path) for path in files]
    times = [etc.stat().st_mtime_ns, (etc / "master.d").stat().st_mtime_ns]
    paths = moved(etc, tmp_path / "backup")
    assert {path.read_text() for path in paths} == {"new: 1\n"}
    assert state(etc / "master")[2:5] == before[0][2:5]  # owner and mode are kept meanwhile, too
    assert (etc / "master.d" / "b.conf").is_symlink()
    restored = moving.restore(str(tmp_path / "backup"))
    assert [state(path) for path in files] == before
    assert [etc.stat().st_mtime_ns, (etc / "master.d").stat().st_mtime_ns] == times
    assert not paths[0].exists() and not restored.edited
    assert not moving.has_begun(str(tmp_path / "backup"))
    with contextlib.suppress(OSError):
        assert os.getxattr(etc / "master", "user.note") == b"kept"


def test_what_somebody_wrote_meanwhile_is_kept(etc: Path, tmp_path: Path) -> None:
    moved(etc, tmp_path / "adopt" / "backup")
    (etc / "master").write_text("new: 1\nmine: 2\n")
    restored = moving.restore(str(tmp_path / "adopt" / "backup"))
    assert (etc / "master").read_bytes() == b"a: \xff\r\nno end"
    kept = Path(restored.edited[str(etc / "master")])
    assert kept.read_text() == "new: 1\nmine: 2\n"
    assert kept.stat().st_mode & 0o077 == 0 and kept.parent.stat().st_mode & 0o077 == 0


def test_copies_are_for_their_owner_alone_and_a_damaged_one_restores_nothing(
    etc: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "backup"
    moved(etc, folder)
    assert folder.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())
    (folder / "2").write_text("x")
    with pytest.raises(SaltbranchError, match="damaged"):
        moving.restore(str(folder))
    assert (etc / "master").read_text() == "new: 1\n"
