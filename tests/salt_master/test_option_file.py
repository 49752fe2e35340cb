"""What Salt makes of several option files, and env_order in the one that saltbranch writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import salt.config
import yaml

from saltbranch.config.check import build_config
from saltbranch.config.model import Config
from saltbranch.config.read import parse_file
from saltbranch.salt_master import config_file, option_file, option_files

OURS = {"file_roots": {"prod": ["/ours"]}, "state_top": "top.sls", "env_order": ["base", "prod"]}
# The master's main file, and others beside it.
SETS: dict[str, dict[str, Any]] = {
    "main alone": {"master": {"file_roots": {"base": ["/srv/a"]}, "pillar_roots": {"x": ["/p"]}}},
    "a file before ours": {"master.d/a.conf": {"file_roots": {"prod": ["/x"], "base": ["/y"]}}},
    "a file after ours": {"master.d/z.conf": {"file_roots": {"prod": ["/x", "/ours"]}}},
    "an include": {"master": {"include": "more/*"}, "more/a": {"file_roots": {"prod": ["/late"]}}},
    "includes inside": {
        "master.d/a.conf": {"include": "../more/*.conf", "file_roots": {"base": ["/a"]}},
        "more/1.conf": {"file_roots": {"base": ["/1"]}, "state_top": "other.sls"},
        "more/2.conf": {"file_roots": {"dev": ["/2"]}},
    },
    "another default_include": {"master": {"default_include": "m.d/*.conf"}, "m.d/a.conf": {"state_top": "a"}},
}  # fmt: skip


def written(folder: Path, files: dict[str, Any]) -> Path:
    for name, options in {"master": {}, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(options))
    return folder / "master"


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("files", SETS.values(), ids=SETS)
def test_files_are_merged_as_salt_merges_them(
    tmp_path: Path, files: dict[str, Any], there: bool
) -> None:
    """What would be there once our file is, told beforehand, is what Salt then reads."""
    path = written(tmp_path, files)
    own = tmp_path / "master.d" / "ours.conf"
    if there:
        own.parent.mkdir(exist_ok=True)
        own.write_text("file_roots: {old: [/old]}\n")
    asked = (str(path), option_files.MASTER_INCLUDE, str(own))
    without, ahead = (
        option_files.effective(*asked),
        option_files.effective(*asked, yaml.safe_dump(OURS)),
    )
    own.unlink(missing_ok=True)
    for expected in (without, ahead):
        opts = salt.config.master_config(str(path))
        for key in ("file_roots", "pillar_roots", "state_top", "env_order"):
            if key in expected:
                assert opts[key] == expected[key], key
        own.parent.mkdir(exist_ok=True)
        own.write_text(yaml.safe_dump(OURS))
    assert "old" not in without.get("file_roots", {})


def config(folder: Path) -> Config:
    text = yaml.safe_dump(
        {
            "remote": "/srv/git/x.git",
            "salt_config": str(folder / "master"),
            "master_config": str(folder / "master.d" / "saltbranch.conf"),
            "saltenvs": {
                "test": {"branch": "develop", "minions": "test*"},
                "prod": {"branch": "master", "promote_from": "test", "minions": "prod*"},
            },
        },
        sort_keys=False,
    )
    return build_config(parse_file(text, "x.yaml"), "x.yaml")


@pytest.mark.parametrize(
    ("files", "order"),
    [
        ({}, ["base", "test", "prod"]),
        # Others' saltenvs and base stay: Salt does not look at what the list leaves out.
        ({"master.d/a.conf": {"file_roots": {"dev": ["/d"]}}}, ["base", "dev", "test", "prod"]),
        # A list of somebody's own is kept in its order, and lacks none of ours.
        ({"master": {"env_order": ["prod", "dev"]}}, ["prod", "dev", "test"]),
        # Saltenvs that come and go as branches of others do cannot be named.
        ({"master": {"fileserver_backend": ["roots", "gitfs"]}}, None),
        ({"master": {"file_roots": {"__env__": ["/srv/__env__"]}}}, None),
    ],
)  # fmt: skip
def test_env_order_names_every_saltenv_or_none(
    tmp_path: Path, files: dict[str, Any], order: list[str] | None
) -> None:
    written(tmp_path, files)
    text = option_file.wanted(config(tmp_path))
    assert yaml.safe_load(text).get("env_order") == order
    own = tmp_path / "master.d" / "saltbranch.conf"
    own.parent.mkdir(exist_ok=True)
    own.write_text(text)
    assert option_file.wanted(config(tmp_path)) == text  # its own list is not taken for another's
    assert config_file.is_ours(text)
