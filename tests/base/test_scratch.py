"""Folders that hold secrets for a while: gone when a run ends, and when the next one begins."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from saltbranch.base import scratch

HOLD = """
import os, sys, time
sys.path.insert(0, sys.argv[2])
from saltbranch.base import proc
from saltbranch.base import scratch
with scratch.folder("saltbranch-scratch-compile-", sys.argv[1]) as made:
    open(made.path + "/secret", "w").write("4711")
    print(made.path, flush=True)
    if len(sys.argv) > 3:
        with made.lent():
            proc.run(["sleep", "2"], {})
    time.sleep(60)
"""


def held(folder: Path, *more: str) -> tuple[subprocess.Popen[str], Path]:
    argv = [sys.executable, "-c", HOLD, str(folder), str(Path(__file__).parents[2]), *more]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def killed(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


# From the end of the listing on, so that it meets whoever removes from the beginning on.
BACKWARDS = """
import contextlib, os, sys
names = os.listdir(sys.argv[1])
print("listed", flush=True)
for name in reversed(names):
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{sys.argv[1]}/{name}")
"""


def test_what_a_killed_run_left_goes_when_the_next_one_begins(tmp_path: Path) -> None:
    process, left = held(tmp_path)
    with scratch.folder("saltbranch-scratch-tree-", str(tmp_path)) as made:
        assert (left / "secret").exists()  # that run goes on
        assert os.stat(made.path).st_mode & 0o777 == 0o700
    killed(process)
    assert (left / "secret").exists()
    with scratch.folder("saltbranch-scratch-tree-", str(tmp_path)) as made:
        assert os.listdir(tmp_path) == [os.path.basename(made.path)]
    assert os.listdir(tmp_path) == []


def test_a_program_that_goes_on_writing_keeps_its_folder_until_it_ends(tmp_path: Path) -> None:
    process, left = held(tmp_path, "lent")
    time.sleep(0.3)
    killed(process)
    scratch.sweep(str(tmp_path))
    assert left.exists()
    end = time.monotonic() + 20
    while left.exists() and time.monotonic() < end:
        time.sleep(0.1)
        scratch.sweep(str(tmp_path))
    assert not left.exists()


def test_only_our_own_is_swept_and_no_link_is_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").touch()
    place = tmp_path / "tmp"
    place.mkdir()
    (place / "saltbranch-scratch-compile-link").symlink_to(outside)
    (place / "saltbranch-scratch-tree-file").touch()
    (place / "saltbranch-other").mkdir()
    (place / "saltbranch-scratch-compile-old").mkdir()
    (place / "saltbranch-scratch-compile-old" / "link").symlink_to(outside)
    scratch.sweep(str(place))
    assert (outside / "file").exists()
    assert sorted(os.listdir(place)) == [
        "saltbranch-other", "saltbranch-scratch-compile-link", "saltbranch-scratch-tree-file",
    ]  # fmt: skip


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make folders of others")
def test_what_belongs_to_others_stays(tmp_path: Path) -> None:
    other = tmp_path / "saltbranch-scratch-compile-theirs"
    other.mkdir()
    os.chown(other, 65534, 65534)
    scratch.sweep(str(tmp_path))
    assert other.exists()


def test_it_is_removed_when_something_goes_wrong_in_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError), scratch.folder("saltbranch-scratch-tree-", str(tmp_path)):  # noqa: PT011
        raise ValueError
    assert os.listdir(tmp_path) == []


def test_it_goes_while_another_process_removes_what_is_in_it(tmp_path: Path) -> None:
    with scratch.folder("sb-keys-", str(tmp_path)) as made:
        for number in range(3000):
            Path(made.path, str(number)).touch()
        argv = [sys.executable, "-c", BACKWARDS, made.path]
        other = subprocess.Popen(argv, stdout=subprocess.PIPE)
        assert other.stdout
        other.stdout.readline()
    other.communicate()
    assert other.returncode == 0
    assert os.listdir(tmp_path) == []


def test_names_that_are_listed_and_never_found_do_not_hold_a_run_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As file systems over a network do whose listing is out of date: here, for anything that is removed.
    tries = []

    def unlink(path: str, **_how: object) -> None:
        tries.append(path)
        assert len(tries) < 10_000
        raise FileNotFoundError(path)

    with pytest.raises(FileNotFoundError), scratch.folder("sb-keys-", str(tmp_path)) as made:  # noqa: PT012
        Path(made.path, "ghost").touch()
        monkeypatch.setattr(os, "unlink", unlink)
    monkeypatch.undo()


def test_what_older_versions_left_goes_after_a_day(tmp_path: Path) -> None:
    for name in ("saltbranch-compile-old", "saltbranch-compile-new", "sb-gpg-17-old"):
        (tmp_path / name / "tree").mkdir(parents=True)
        if name.endswith("old"):
            os.utime(tmp_path / name, (time.time() - 2 * 86400,) * 2)
    scratch.sweep(str(tmp_path))
    assert os.listdir(tmp_path) == ["saltbranch-compile-new"]


def test_memory_is_taken_where_there_is_room_and_nobody_said_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)
    if scratch._is_tmpfs(scratch._MEMORY):
        room = os.statvfs(scratch._MEMORY)
        free = room.f_bavail * room.f_frsize
        assert scratch.in_memory(0) == (scratch._MEMORY if free > scratch._SPARE else None)
        assert scratch.in_memory(free // 2) is None
    monkeypatch.setattr(scratch, "_MEMORY", str(tmp_path))
    assert scratch.in_memory(0) is None  # it is on a disk, or at least no file system of its own
    monkeypatch.setattr(scratch, "_MEMORY", str(tmp_path / "none"))
    assert scratch.in_memory(0) is None
    monkeypatch.undo()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert scratch.in_memory(0) is None
