"""Links in a folder of `extra_roots` that lead in circles."""

from __future__ import annotations

import resource
from pathlib import Path

from saltbranch.compiler import extra_roots


def test_links_to_a_folder_above_them_are_not_followed(tmp_path: Path) -> None:
    inner = tmp_path / "nginx"
    inner.mkdir()
    (inner / "init.sls").write_text("{}\n")
    for name in ("a", "b"):
        (inner / name).symlink_to(".")

    found = extra_roots.read((str(tmp_path),))

    assert set(found.files) == {"nginx/init.sls"}
    assert "nginx/a/" in found.said[0] and "nginx/b/" in found.said[0]


def test_a_folder_of_which_a_part_was_read_is_not_said_to_be_unread(tmp_path: Path) -> None:
    (tmp_path / "a.sls").write_text("{}\n")
    (tmp_path / "b.bin").write_bytes(bytes(1 << 20))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))  # as on a full disk
    try:
        found = extra_roots.read((str(tmp_path),))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert set(found.files) == {"a.sls"}
    assert found.said == (f"extra_roots: not all of {tmp_path} is read: File too large",)


def test_a_folder_that_is_not_there_is_not_read(tmp_path: Path) -> None:
    (said,) = extra_roots.read((str(tmp_path / "none"),)).said
    assert said == f"extra_roots: {tmp_path}/none is not read: No such file or directory"
