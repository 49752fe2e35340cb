"""Each of the master's options that compiling could depend on is accounted for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import salt.config
import salt.loader

from saltbranch.compiler import master_options

SALT = Path(salt.loader.SALT_BASE_PATH)
# What reads options while pillar and states are compiled.
READERS = (
    "state.py", "pillar/__init__.py", "template.py", "utils/templates.py", "utils/jinja.py", "fileclient.py",
    "fileserver/__init__.py", "fileserver/roots.py", "renderers/jinja.py", "renderers/yaml.py",
    "renderers/gpg.py", "renderers/py.py", "renderers/stateconf.py", "utils/yamlloader.py",
)  # fmt: skip
_READ = re.compile(r"""\b(?:__)?opts(?:__)?(?:\[|\.get\()\s*["']([A-Za-z_]+)["']""")


@pytest.mark.parametrize("option", salt.config.DEFAULT_MASTER_OPTS)
def test_every_option_of_the_master_is_in_one_list(option: str) -> None:
    assert len(master_options.class_of(option)) == 1, master_options.class_of(option)


@pytest.mark.parametrize("reader", READERS)
def test_what_salt_reads_while_it_compiles_is_in_a_list(reader: str) -> None:
    read = set(_READ.findall((SALT / reader).read_text()))
    assert {option for option in read if len(master_options.class_of(option)) != 1} == set()


def test_what_is_taken_over_is_an_option_of_salts() -> None:
    known = {*salt.config.DEFAULT_MASTER_OPTS, *salt.config.DEFAULT_MINION_OPTS}
    text = "".join(path.read_text() for path in SALT.glob("**/*.py") if "cloud" not in path.parts)
    for option in (*master_options.TAKEN_OVER, *master_options.NAMED):
        assert option in known or f'"{option}"' in text, option


def test_a_default_master_has_nothing_to_be_named(tmp_path: Path) -> None:
    (tmp_path / "master").write_text("")
    opts = salt.config.master_config(str(tmp_path / "master"))
    assert opts["utils_dirs"]  # Salt fills it in
    assert list(master_options.not_taken_over(opts)) == []
    assert list(master_options.not_taken_over(salt.config.DEFAULT_MASTER_OPTS)) == []
    assert list(master_options.not_taken_over({})) == []


def test_what_is_set_and_not_taken_over_is_named() -> None:
    opts = {"pillar_opts": True, "fileserver_backend": ["roots", "gitfs"], "renderer": "py"}
    assert [line.partition(":")[0] for line in master_options.not_taken_over(opts)] == [
        "fileserver_backend", "pillar_opts",
    ]  # fmt: skip
