"""The mark of a finished slot notes its folders, by what changed and never by a guess."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from saltbranch.git.program import Git
from saltbranch.serve import finished
from tests.serve.test_formulas import PATH, expected, pin
from tests.support.remote import Content, Link, Remote
from tests.support.site import Site, build_template


@pytest.fixture
def formula(tmp_path: Path) -> Remote:
    made = Remote(tmp_path / "formulas" / "nginx.git")
    made.commit("main", {"nginx/init.sls": "v: 1\n", "nginx/files/conf": "one\n"})
    return made


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path, build_template(tmp_path / "remote.git"))
    made.configure(submodules=[str(tmp_path / "formulas")])
    return made


def folders_on_disk(site: Site) -> set[str]:
    top = site.slot("develop")
    return {str(Path(folder).relative_to(top)).strip(".") for folder, _, _ in os.walk(top)}


def noted(site: Site) -> frozenset[str] | None:
    slot = site.slot("develop")
    gitdir = (slot / ".git").read_text().removeprefix("gitdir: ").strip()
    return finished.noted(gitdir, site.remote.head("develop"))


def test_noted_folders_are_those_on_disk_after_each_switch(site: Site, formula: Remote) -> None:
    first = formula.head("main")
    second = formula.commit("main", {"nginx/files/conf": None, "nginx/map/a/b": ""})
    steps: list[dict[str, Content]] = [
        {"salt/new/deep/a.sls": "", "salt/é/x.sls": ""},
        {"salt/new/deep/a.sls": None, "salt/new/b.sls": ""},
        {"salt/new/b.sls": None, "salt/new": Link("app")},
        {"salt/new": None, "salt/new/c.sls": ""},
        {"salt/new/c.sls": None, "salt/new": "a file\n"},
    ]
    assert site.sync_here().exit_code == 0
    for step in steps:
        site.remote.commit("develop", step)
        assert site.sync_here().exit_code == 0
        assert noted(site) == folders_on_disk(site), step
    for pins in ({PATH: (formula, first)}, {PATH: (formula, second)}, {}):
        for more in ({"salt/x/y.sls": str(pins)}, {"salt/x/y.sls": None}, {"salt/x/z/a.sls": ""}):
            if pins or "salt/x/y.sls" in more:
                pin(site, "develop", pins, **({} if pins else {PATH: None}), **more)
            assert site.sync_here().exit_code == 0
            assert noted(site) == folders_on_disk(site), (pins, more)


def test_folders_are_right_when_the_list_of_places_was_emptied(site: Site, formula: Remote) -> None:
    pin(site, "develop", {PATH: (formula, formula.head("main"))})
    assert site.sync_here().exit_code == 0
    site.configure(submodules=None)
    site.remote.commit("develop", {"salt/more/x.sls": ""})
    assert site.sync_here().exit_code == 0
    assert not (site.slot("develop") / PATH / "nginx").exists()
    assert noted(site) == folders_on_disk(site)


def test_mark_of_a_version_without_folders_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "index").write_text("")
    os.utime(tmp_path / "index", (1, 1))
    finished.mark(str(tmp_path), "a" * 40, {"", "salt"})
    assert finished.noted(str(tmp_path), "a" * 40) == {"", "salt"}
    assert finished.noted(str(tmp_path), "b" * 40) is None
    mark = tmp_path / finished.STAMP
    mark.write_bytes(mark.read_bytes().partition(b"\0")[0])
    assert finished.noted(str(tmp_path), "a" * 40) is None
    assert finished.after(str(tmp_path), "a" * 40, [("salt", "040000", "")]) is None


def test_switches_list_no_tree_once_the_folders_are_noted(
    site: Site, formula: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    pin(site, "develop", {PATH: (formula, formula.head("main"))})
    assert site.sync_here().exit_code == 0
    asked: list[str] = []
    real = Git.run

    def run(self: Git, *args: str, **more: object) -> object:
        asked.append(args[0])
        return real(self, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Git, "run", run)
    for number in range(3):
        asked.clear()
        site.remote.commit("develop", {"salt/more.sls": f"# {number}"})
        assert site.sync_here().exit_code == 0
        used = [word for word in asked if word in ("ls-tree", "cat-file", "mktree", "read-tree")]
        # `salt` and the top folder stand above the submodule.
        assert used == ["mktree", "mktree", "read-tree"], asked


def test_record_of_submodules_that_lacks_one_heals(site: Site, formula: Remote) -> None:
    other = Remote(formula.path.with_name("redis.git"))
    other.commit("main", {"redis/init.sls": "r: 1\n"})
    pins = {PATH: (formula, formula.head("main")), "salt/redis": (other, other.head("main"))}
    pin(site, "develop", pins)
    assert site.sync_here().exit_code == 0
    for name in "ab":
        record = site.root / "slots" / "develop" / name / "pins"
        lines = record.read_text().split("\n")
        record.write_text("\n".join(line for line in lines if not line.startswith("salt/redis\t")))
    site.remote.commit("develop", {"salt/more.sls": ""})
    assert site.sync_here().exit_code == 0
    assert site.shown("develop") == expected(site, "develop", pins)
