"""diff and check on a master compile with its `extra_roots`, as Salt does, and read nothing else there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.remote import Content
from tests.support.site import Ran, Site, build_template

VENDOR = """\
vendor:
  file.managed:
    - name: /etc/vendor
    - contents: {{ pillar['branch'] }}
other:
  file.managed:
    - name: /etc/other
    - source: salt://vendor/files/other
"""
GRAINS = {"kernel": "Linux", "os": "Debian", "os_family": "Debian", "osmajorrelease": 12}
LISTS: tuple[dict[str, Any], ...] = ({}, {"states_dir": ["salt", "more"]})


@pytest.fixture
def package(tmp_path: Path) -> Path:
    made = tmp_path / "package"
    write(made / "vendor/init.sls", VENDOR)
    write(made / "vendor/files/other", "other\n")
    write(made / "app/init.sls", "never:\n  test.nop: []\n")  # the repository's own comes first
    write(made / "top.sls", "base: {'*': [never]}\n")
    return made


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture(params=LISTS, ids=["a word", "a list"])
def site(tmp_path: Path, package: Path, request: pytest.FixtureRequest) -> Site:
    """A master with one minion in each saltenv, whose states include what only the package has."""
    made = Site(tmp_path, build_template(tmp_path / "remote.git"))
    for name in ("test1", "stage1", "prod1"):
        write(tmp_path / "fleet" / f"{name}.yaml", yaml.safe_dump({"grains": GRAINS}))
    made.configure(extra_roots=[str(package)], fleet=str(tmp_path / "fleet"), **request.param)
    files: dict[str, Content] = {
        "salt/app/init.sls": "include: [vendor]\napp:\n  test.nop: []\n",
        "more/x.sls": "",
    }
    for branch in ("develop", "stage", "master"):
        made.remote.commit(branch, files)
    assert made.sync_here().exit_code == 0
    return made


def run(site: Site, *words: str) -> Ran:
    return site.run_here(*words, "--config", str(site.config))


def diff(site: Site) -> dict[str, Any]:
    ran = run(site, "diff", "stage", "develop", "--minions", "stage1", "--json")
    assert ran.code in (0, 3), ran
    found: dict[str, Any] = json.loads(ran.out)
    return found


def check(site: Site, *words: str) -> dict[str, Any]:
    ran = run(site, "check", "develop", "--json", *words)
    assert ran.code in (0, 1, 3), ran
    (ref,) = json.loads(ran.out)["refs"]
    return dict(ref)


def test_diff_sees_them_with_what_the_branch_changes_in_them(site: Site, package: Path) -> None:
    found = json.dumps(diff(site))
    assert "vendor | file.managed" in found
    assert f"{package}/vendor/init.sls" in found
    assert "never" not in found, "the branch has that file itself"
    assert not diff(site)["warnings"]
    # What was compiled before does not count once the package has something else.
    write(package / "vendor/init.sls", "vendor:\n  test.nop: []\n")
    ran = site.run("diff", "stage", "develop", "--minions", "stage1", "--json")
    assert "vendor | file.managed" not in ran.out, ran
    assert ran.code in (0, 3), ran


def test_check_finds_what_they_have_and_only_that(site: Site) -> None:
    for words in ((), ("--static",)):
        found = {f["rule"] for f in check(site, *words)["findings"] if f["severity"] == "error"}
        assert not found & {"include-missing", "compile", "missing-source", "source-missing"}, found
    site.remote.commit("develop", {"salt/app/init.sls": "include: [vendor.lost]\n"})
    site.sync_here()
    found = {f["rule"] for f in check(site, "--static")["findings"] if f["severity"] == "error"}
    assert "include-missing" in found


def test_what_others_can_write_or_leads_out_is_named_and_not_read(
    site: Site, package: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("SECRET\n")
    (package / "vendor/out").symlink_to(tmp_path / "secret")
    (package / "vendor/inside").symlink_to(package / "vendor/files")
    os.mkfifo(package / "vendor/fifo")
    write(package / "vendor/planted.sls", "x: {test.nop: []}\n")
    (package / "vendor/planted.sls").chmod(0o666)
    site.remote.commit(
        "develop",
        {
            "salt/app/init.sls": "include: [vendor]\n{% import_text 'vendor/inside/other' as a %}\n"
            "app:\n  cmd.run:\n    - name: {{ a }}\n"
        },
    )
    site.sync_here()
    ran = run(site, "diff", "stage", "develop", "--minions", "stage1", "--json")
    assert "SECRET" not in ran.out + ran.err
    (said,) = [w for w in json.loads(ran.out)["warnings"] if "extra_roots" in w]
    assert "vendor/out" in said and "vendor/fifo" in said
    assert ("vendor/planted.sls" in said) == (os.geteuid() == 0)


def test_what_has_no_place_beside_the_branch_is_said(site: Site) -> None:
    site.remote.commit("develop", {"salt/vendor/files/other/deep": "a folder here, a file there\n"})
    site.sync_here()
    for warnings in (diff(site)["warnings"], check(site)["compiled"]["warnings"]):
        (said,) = [w for w in warnings if "extra_roots" in w]
        assert said.endswith(": vendor/files/other"), said


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone has to mind who else can write")
def test_folder_of_somebody_else_is_not_read(site: Site, package: Path) -> None:
    package.chmod(0o777)
    ran = run(site, "diff", "stage", "develop", "--minions", "stage1", "--json")
    (said,) = [w for w in json.loads(ran.out)["warnings"] if "extra_roots" in w]
    assert f"{package} is not read: {package} may be written to by everybody" in said


def test_in_a_clone_they_are_named_as_not_read(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = tmp_path / "clone"
    site.remote.git("clone", "--quiet", "-b", "develop", str(site.remote.path), str(clone))
    model = {"saltenvs": site.settings["saltenvs"], "fleet": site.settings["fleet"]}
    (clone / "saltbranch.yaml").write_text(yaml.safe_dump(model))
    monkeypatch.chdir(clone)
    ran = run(site, "check", "develop", "--json")
    (ref,) = json.loads(ran.out)["refs"]
    (said,) = [w for w in ref["compiled"]["warnings"] if "extra_roots" in w]
    assert "are not read in a clone" in said
