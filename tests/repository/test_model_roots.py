"""Several roots in a model: what a commit has to have of them, and what machines compare."""

from __future__ import annotations

from pathlib import Path

import pytest

from saltbranch.base.errors import ConfigError
from saltbranch.config.check import build_config
from saltbranch.config.keys import FileModel
from saltbranch.config.read import parse_file
from saltbranch.config.roots import STATES
from saltbranch.config.roots_keys import parse
from saltbranch.git.program import Git
from saltbranch.promote.plan import sls_names
from saltbranch.repository import model, model_file, servable
from tests.support.remote import Remote, Submodule

SALTENVS = "saltenvs: {t: {branch: master, minions: [m]}}\n"


def read(folder: Path, states: str) -> FileModel:
    """The model of a commit whose states are in salt/ and in two formulas."""
    remote = Remote(folder / "r.git")
    files = {
        "salt/top.sls": "{}\n",
        "formulas/a/a/init.sls": "{}\n",
        "formulas/b/b/init.sls": "{}\n",
        "README": "\n",
        "pinned": Submodule("1" * 40),
        "saltbranch.yaml": f"states_dir: {states}\n{SALTENVS}",
    }
    commit = remote.commit("master", files)
    return model_file.read_at(Git(str(remote.path)), commit, "master")


@pytest.mark.parametrize(
        "states",
    [
        "[salt, 'formulas/*']", "[{.: ['*']}]", "['*/a', salt]", "{formulas/a: [a]}",
        "[salt, 'to-come/*']", "[salt, pinned, pinned/states]", "pinned",
    ],
)  # fmt: skip
def test_folders_that_are_there_or_to_come(tmp_path: Path, states: str) -> None:
    """A glob may stand for nothing yet; what is in a submodule is not seen here."""
    assert read(tmp_path, states).states_dir


@pytest.mark.parametrize(
    ("states", "why"),
    [
        ("[salt, more]", "there is no folder 'more' with files"),
        ("['formulass/*', 'x*']", r"there is no folder of 'formulass/\*' with files"),
        ("[salt, pinne]", "there is no folder 'pinne' with files"),
        ("[{infra: ['*']}]", "there is no folder 'infra' with files"),
        ("[README]", "there is no folder 'README' with files"),
    ],
)
def test_a_name_that_would_take_away_states_is_refused(
    tmp_path: Path, states: str, why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        read(tmp_path, states)


def test_which_files_a_commit_has_of_them(tmp_path: Path) -> None:
    read(tmp_path, "salt")
    git = Git(str(tmp_path / "r.git"))
    for states, has in ((["salt"], True), (["x*"], False), ([{".": ["*"]}], True), (["*/a"], True)):
        assert servable.commit_has(git, "master", parse(states, "pillar", "x"), STATES) is has


def test_machines_compare_lists(tmp_path: Path) -> None:
    def config(states: str) -> model.Config:
        return build_config(parse_file(f"remote: /r\nstates_dir: {states}\n{SALTENVS}", "m"), "m")

    assert model.differences(config("[a, b]"), config("[a, b]")) == ()
    assert model.differences(config("[a, b]"), config("[b, a]")) == ("states_dir",)
    assert model.differences(config("[a]"), config("a")) == ("states_dir",)


def test_a_plan_names_the_states_of_all_folders() -> None:
    roots = parse(["salt", "formulas/*", {".": ["web"]}], "pillar", "x")
    changed = ["salt/a.sls", "formulas/f/b/init.sls", "web/c.sls", "other/d.sls", "pillar/e.sls"]
    names = sls_names([("M", path) for path in changed], roots, STATES)
    assert names == ("a", "b", "web.c")
