"""What a master's options become: only git and folders go, whatever else is there stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from saltbranch.base.errors import RefusedError
from saltbranch.config.check import build_config
from saltbranch.config.model import Config
from saltbranch.config.read import parse_file
from saltbranch.salt_master import moved_options

MODEL = """\
remote: /srv/git/salt.git
root: {root}
master_config: {root}/adopt/saltbranch.conf
salt_config: {salt_config}
saltenvs:
  base: {{branch: master, minions: ['web*']}}
"""


@pytest.mark.parametrize(
    ("opts", "backends", "pillars"),
    [
        ({}, None, None),
        ({"fileserver_backend": ["git"]}, None, None),
        ({"fileserver_backend": "roots,gitfs"}, None, None),
        ({"fileserver_backend": ["gitfs", "minion"]}, ["roots", "minion"], None),
        ({"fileserver_backend": ["s3fs", "roots", "git"]}, ["s3fs", "roots"], None),
        ({"ext_pillar": [{"git": ["master x"]}]}, None, None),
        ({"ext_pillar": [{"git": ["a"]}, {"cmd_yaml": "x"}]}, None, [{"cmd_yaml": "x"}]),
        ({"ext_pillar": [{"git": ["a"], "stack": "/s"}]}, None, [{"stack": "/s"}]),
    ],
)
def test_what_stays(opts: dict[str, Any], backends: object, pillars: object) -> None:
    assert moved_options.remaining(opts) == {
        "fileserver_backend": backends,
        "ext_pillar": pillars,
    }


def config_of(folder: Path, main: str, **others: str) -> Config:
    """A model beside a master of these files."""
    (folder / "master.d").mkdir()
    (folder / "master").write_text(main)
    for name, text in others.items():
        (folder / "master.d" / f"{name}.conf").write_text(text)
    text = MODEL.format(root=folder / "root", salt_config=folder / "master")
    return build_config(parse_file(text, str(folder / "x.yaml")), str(folder / "x.yaml"))


def test_files_that_have_to_change_and_no_others(tmp_path: Path) -> None:
    config = config_of(
        tmp_path,
        "interface: 127.0.0.1\nfileserver_backend: [git, minion]\ntop_file_merging_strategy: same\n",
        roots="file_roots: {base: [/srv/salt]}\ntimeout: 7\n",
        alone="timeout: 8\n",
        git="fileserver_backend: [gitfs]\ngitfs_remotes: [x]\next_pillar: [{git: [y]}]\n",
    )
    edits = moved_options.edits(config)
    names = {Path(path).name: yaml.safe_load(text) or {} for path, text in edits.items()}
    assert set(names) == {"master", "roots.conf", "git.conf"}
    assert names["roots.conf"] == {"timeout": 7}
    assert names["git.conf"] == {}
    assert "top_file_merging_strategy" not in names["master"]
    wanted = moved_options.changes(config)
    assert wanted["file_roots"]["base"][1] == f"{tmp_path}/root/checkouts/master/salt"
    assert wanted["ext_pillar"] == []
    for path, text in edits.items():
        Path(path).write_text(text)
    # What is written afterwards by a sync is what was proven.
    assert yaml.safe_load(moved_options.our_text(config)).items() <= wanted.items()


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    config = config_of(tmp_path, "interface: 127.0.0.1\n", broken="a: [\n")
    with pytest.raises(RefusedError, match=r"broken\.conf"):
        moved_options.edits(config)
