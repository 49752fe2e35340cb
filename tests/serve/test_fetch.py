"""Reading the remote: when the mirror is made anew, and when not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from saltbranch.base.errors import DamagedMirrorError, GitError
from saltbranch.git.mirror import Mirror
from tests.support.remote import Remote
from tests.support.site import Site


def test_a_mirror_without_its_config_file_is_damaged(site: Site) -> None:
    site.sync_well()
    mirror = Mirror(str(site.root))
    (site.root / "mirror.git" / "config").unlink()
    with pytest.raises(DamagedMirrorError, match="is damaged"):
        mirror.fetch(str(site.remote.path), timeout=60)


def test_words_in_a_path_do_not_say_that_the_mirror_is_damaged(
    remote: Remote, tmp_path: Path
) -> None:
    """A git that still works there keeps its mirror, whatever the folder is called."""
    folder = tmp_path / "what is damaged"
    folder.mkdir()
    site = Site(folder, remote)
    site.sync_well()
    remote.commit("develop", {"salt/new.sls": ""})
    mirror = site.root / "mirror.git"
    (mirror / "refs" / "heads" / "develop.lock").touch()
    with subprocess.Popen(
        [sys.executable, "-c", "input()", f"--git-dir={mirror}"], stdin=subprocess.PIPE
    ) as busy:
        with pytest.raises(GitError, match="still works on"):
            site.sync_here()
        busy.communicate(b"\n")
    assert [p.name for p in site.root.glob("mirror.git*")] == ["mirror.git"]
    site.sync_well()
