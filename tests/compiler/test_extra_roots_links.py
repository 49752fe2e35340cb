"""Links in a folder of `extra_roots` that lead in circles."""

from __future__ import annotations

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
