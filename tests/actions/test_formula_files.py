"""The files of pinned formulas in diff, check and plans; pins in plans, changelogs and merges."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.flow_site import FlowSite
from tests.support.formulas import (  # noqa: F401
    FormulaRemote,
    gitmodules,
    own_cache,
)
from tests.support.remote import Link, Submodule

GRAINS = {"kernel": "Linux", "os": "Debian", "os_family": "Debian", "osmajorrelease": 12}
PATH = "formulas/nginx"
TOP = "base:\n  '*': [app, nginx]\n"


@pytest.fixture
def nginx(tmp_path: Path) -> FormulaRemote:
    remote = FormulaRemote(tmp_path / "nginx-formula.git")
    for tag in ("v2.8.0", "v2.8.1", "v2.8.2"):
        remote.release(tag)
    return remote


@pytest.fixture
def site(flow: FlowSite, nginx: FormulaRemote) -> FlowSite:
    """All saltenvs have nginx v2.8.0 by a link, and there is a minion in each."""
    folder = flow.folder / "fleet"
    folder.mkdir()
    for name in ("test1", "stage1", "prod1"):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({"grains": GRAINS}))
    flow.configure(top={"fleet": str(folder)})
    first = nginx.git("rev-parse", "v2.8.0^{commit}")
    new = flow.remote.commit(
        "develop",
        {
            ".gitmodules": gitmodules((PATH, str(nginx.path))),
            PATH: Submodule(first),
            "salt/nginx": Link("../formulas/nginx/nginx"),
            "salt/top.sls": TOP,
        },
        message="Formula nginx",
    )
    for branch in ("stage", "master"):
        flow.remote.set_branch(branch, new)
    flow.git("pull", "--quiet")
    return flow


def pin(flow: FlowSite, nginx: FormulaRemote, branch: str, name: str) -> str:
    """Somebody moves the pin on a branch of the remote."""
    commit = nginx.git("rev-parse", f"{name}^{{commit}}")
    return flow.remote.commit(branch, {PATH: Submodule(commit)}, message=f"nginx {name}")


def test_a_plan_names_versions_and_compiles_the_pinned_files(
    site: FlowSite, nginx: FormulaRemote
) -> None:
    pin(site, nginx, "develop", "v2.8.2")
    plan = site.plan("promote", "stage")
    (found,) = plan["formulas"]
    assert found["move"] == "unknown"
    assert "saltbranch formula list" in found["missing"]
    assert any("saltbranch formula list" in note for note in plan["notes"])
    assert "formulas/nginx are missing" in plan["diff_missing"]

    site.well("formula", "list")
    plan = site.plan("promote", "stage")
    (found,) = plan["formulas"]
    assert (found["old"]["name"], found["new"]["name"]) == ("v2.8.0", "v2.8.2")
    assert (found["move"], found["count"]) == ("forward", 2)
    assert [c["subject"] for c in found["commits"]] == ["Release v2.8.2", "Release v2.8.1"]
    assert plan["diff_missing"] is None
    assert plan["diff"]["minions"]["changed"] == 1
    text = site.run("promote", "stage", "--plan").out
    assert "formula nginx v2.8.0 -> v2.8.2, 2 commits" in text
    assert "Release v2.8.1" in text
    assert PATH not in text


def test_diff_shows_what_a_pin_changes(site: FlowSite, nginx: FormulaRemote) -> None:
    pin(site, nginx, "develop", "v2.8.1")
    said = site.refused("diff", "stage")
    assert "the files of the formula formulas/nginx are missing" in said
    assert "saltbranch formula list" in said
    site.well("formula", "list")
    ran = site.run("diff", "stage", "--json")
    assert ran.code == 3, ran
    (minion,) = json.loads(ran.out)["minions"].values()
    (changed,) = minion["states"]["changed"]
    assert changed["key"] == "nginx | test.nop"
    assert changed["arguments"] == {"name": ["nginx1", "nginx2"]}
    again = json.loads(site.run("diff", "stage", "--json").out)
    assert again["spent"]["workers"] == 0


def test_check_judges_the_files_of_a_pin(site: FlowSite, nginx: FormulaRemote) -> None:
    nginx.release("v2.9.0", text="nginx:\n  test.nop: [\n")
    pin(site, nginx, "develop", "v2.9.0")
    site.git("pull", "--quiet")
    found = _check(site, "--static")
    assert [f["rule"] for f in found] == ["missing-formula"]
    site.well("formula", "list")
    found = _check(site, "--static")
    assert {(f["rule"], f["file"]) for f in found} == {
        ("yaml-syntax", "formulas/nginx/nginx/init.sls")
    }
    # what a clone has checked out itself counts as well
    shutil.rmtree(site.folder / "cache", ignore_errors=True)
    site.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init")
    found = _check(site, "--static")
    assert {f["rule"] for f in found} == {"yaml-syntax"}
    found = _check(site, "HEAD", "--static")
    assert {f["rule"] for f in found} == {"yaml-syntax"}


def _check(site: FlowSite, *words: str) -> list[dict[str, Any]]:
    ran = site.run("check", *words, "--json")
    data = json.loads(ran.out)
    return [f for ref in data["refs"] for f in ref["findings"] if f["severity"] != "note"]


def test_a_pin_that_goes_backwards_or_is_on_no_branch_is_said(
    site: FlowSite, nginx: FormulaRemote
) -> None:
    pin(site, nginx, "develop", "v2.8.2")
    site.well("formula", "list")
    site.well("promote", "stage", "--yes", "--no-diff")
    pin(site, nginx, "develop", "v2.8.1")
    plan = site.plan("promote", "stage", "--no-diff")
    assert any("does not go forwards" in n and "BACKWARDS by 1 commit" in n for n in plan["notes"])
    lost = nginx.change("Lost", branch="gone")
    nginx.delete_branch("gone")
    site.remote.commit("develop", {PATH: Submodule(lost)}, message="lost")
    site.well("formula", "list")
    plan = site.plan("promote", "stage", "--no-diff")
    assert any(f"pinned to {lost[:12]}, which is on no branch" in n for n in plan["notes"])
    assert plan["formulas"][0]["new"]["on_branch"] is False


def test_the_changelog_and_where_name_versions(site: FlowSite, nginx: FormulaRemote) -> None:
    pin(site, nginx, "develop", "v2.8.2")
    site.well("formula", "list")
    site.well("promote", "stage", "--yes", "--no-diff")
    text = site.well("changelog", "stage").out
    assert "### Formulas\n\n- nginx v2.8.0 -\\> v2.8.2, 2 commits\n  - Release v2.8.2" in text
    data = json.loads(site.well("changelog", "stage", "--json").out)
    assert data["formulas"][0]["count"] == 2
    ran = site.well("where", PATH)
    assert "v2.8.2 (" in ran.out and "v2.8.0 (" in ran.out
    rows = json.loads(site.well("where", PATH, "--json").out)["saltenvs"]
    assert {r["saltenv"]: r["formula"]["name"] for r in rows} == {
        "test": "v2.8.2",
        "stage": "v2.8.2",
        "prod": "v2.8.0",
    }


def test_of_two_pins_the_one_that_contains_the_other_is_taken(
    site: FlowSite, nginx: FormulaRemote
) -> None:
    pin(site, nginx, "develop", "v2.8.2")
    pin(site, nginx, "stage", "v2.8.1")
    plan = site.plan("promote", "stage", "--no-diff", code=4)
    assert any(
        "which is newer is not known here: saltbranch formula list" in n for n in plan["notes"]
    )
    site.well("formula", "list")
    plan = site.plan("promote", "stage", "--no-diff")
    assert (
        "both sides moved the formula formulas/nginx: v2.8.2 contains v2.8.1 and is taken"
        in (plan["notes"])
    )
    site.well("promote", "stage", "--yes", "--no-diff")
    wanted = nginx.git("rev-parse", "v2.8.2^{commit}")
    assert site.remote.git("rev-parse", f"stage:{PATH}") == wanted


def test_two_pins_that_diverged_are_a_conflict_that_names_both(
    site: FlowSite, nginx: FormulaRemote
) -> None:
    nginx.set_branch("fork", nginx.git("rev-parse", "v2.8.0^{commit}"))
    nginx.change("Of a fork", branch="fork")
    nginx.git("tag", "v2.8.0-fork", "fork")
    pin(site, nginx, "develop", "v2.8.2")
    pin(site, nginx, "stage", "v2.8.0-fork")
    site.well("formula", "list")
    plan = site.plan("promote", "stage", "--no-diff", code=4)
    (said,) = [n for n in plan["notes"] if "both sides moved" in n]
    assert "neither v2.8.0-fork (" in said and "nor v2.8.2 (" in said
    assert [c["path"] for c in plan["steps"][0]["conflicts"]] == [PATH]


def test_a_person_chooses_one_of_two_that_diverged(site: FlowSite, nginx: FormulaRemote) -> None:
    nginx.set_branch("fork", nginx.git("rev-parse", "v2.8.0^{commit}"))
    fork = nginx.change("Of a fork", branch="fork")
    pin(site, nginx, "develop", "v2.8.2")
    site.remote.commit("stage", {PATH: Submodule(fork)}, message="fork")
    site.well("formula", "list")
    folder = site.folder / "conflict"
    site.well("promote", "stage", "--no-diff", "--resolve", str(folder))
    wanted = nginx.git("rev-parse", "v2.8.2^{commit}")
    site.git("-C", str(folder), "update-index", "--cacheinfo", f"160000,{wanted},{PATH}")
    ran = site.well("promote", "stage", "--no-diff", "--continue", "--yes")
    assert "formula nginx" in ran.out and "DIVERGED" in ran.out
    assert site.remote.git("rev-parse", f"stage:{PATH}") == wanted


def test_other_conflicts_leave_the_pin_to_the_person(site: FlowSite, nginx: FormulaRemote) -> None:
    pin(site, nginx, "develop", "v2.8.2")
    pin(site, nginx, "stage", "v2.8.1")
    for branch in ("develop", "stage"):
        site.push(branch, {"salt/both.sls": f"{branch}:\n  test.nop: []\n"})
    site.well("formula", "list")
    plan = site.plan("promote", "stage", "--no-diff", code=4)
    assert [c["path"] for c in plan["steps"][0]["conflicts"]] == [PATH, "salt/both.sls"]
    assert any("v2.8.2 contains v2.8.1" in n for n in plan["notes"])


def test_another_repository_under_the_same_path_is_said(
    site: FlowSite, nginx: FormulaRemote, tmp_path: Path
) -> None:
    other = FormulaRemote(tmp_path / "other.git")
    commit = other.release("v9.0.0")
    site.remote.commit(
        "develop",
        {".gitmodules": gitmodules((PATH, str(other.path))), PATH: Submodule(commit)},
        message="Other",
    )
    site.well("formula", "list")
    plan = site.plan("promote", "stage", "--no-diff")
    assert plan["formulas"][0]["move"] == "other repository"
    assert any(f"comes from '{other.path}' now" in n for n in plan["notes"])


def test_a_link_of_a_composed_root_into_a_missing_formula_is_refused(
    site: FlowSite, nginx: FormulaRemote
) -> None:
    roots = {"states_dir": ["salt", "more"], "pillar_dir": "pillar"}
    site.configure(top={"fleet": str(site.folder / "fleet"), **roots})
    for branch in ("develop", "stage", "master"):
        files = {
            "more/x.sls": "x: {test.nop: []}\n",
            "salt/nginx": None,
            "salt/conf": Link("../formulas/nginx/nginx"),
            "salt/top.sls": "base:\n  '*': [w]\n",
            "salt/w.sls": "/etc/n:\n  file.recurse:\n    - source: salt://conf\n",
        }
        site.remote.commit(branch, files, message="more")
    pin(site, nginx, "develop", "v2.8.2")
    assert "the files of the formula formulas/nginx are missing" in site.refused("diff", "stage")
    site.well("formula", "list")
    assert site.run("diff", "stage").code == 3


@pytest.mark.parametrize("text", ["", '[submodule "x\n'])
def test_a_plan_says_that_a_pin_lost_its_entry(
    site: FlowSite, nginx: FormulaRemote, text: str
) -> None:
    site.well("formula", "list")
    site.remote.commit("develop", {".gitmodules": text}, message="lost entry")
    plan = site.plan("promote", "stage", "--no-diff")
    assert any("refuse that: put it back" in note for note in plan["notes"])


def test_a_pin_that_every_master_refuses_is_an_error_wherever_it_is(
    site: FlowSite, nginx: FormulaRemote
) -> None:
    site.well("formula", "list")
    text = gitmodules((PATH, str(nginx.path)), ("docs/theme", "ext::sh -c id"))
    site.remote.commit(
        "develop", {".gitmodules": text, "docs/theme": Submodule("1" * 40)}, message="x"
    )
    site.git("pull", "--quiet")
    for words in ((), ("HEAD",)):
        found = [(f["rule"], f["severity"], f["file"]) for f in _check(site, *words, "--static")]
        assert found == [("missing-formula", "error", "docs/theme")]


def test_check_tells_of_what_it_can_read_where_a_formula_is_missing(
    site: FlowSite, nginx: FormulaRemote
) -> None:
    site.push("develop", {"salt/bad.sls": "b:\n  test.nop: [\n"})
    ran = site.run("check", "test", "stage", "--json")
    refs = json.loads(ran.out)["refs"]
    assert (ran.code, [ref["ref"] for ref in refs]) == (3, ["test", "stage"])
    told = {(f["rule"], f["severity"]) for f in refs[0]["findings"]}
    assert told >= {("missing-formula", "warning"), ("compile", "warning")}


def test_two_features_that_each_add_a_formula_meet_without_a_conflict(
    site: FlowSite, nginx: FormulaRemote, tmp_path: Path
) -> None:
    others = {name: FormulaRemote(tmp_path / f"{name}-formula.git") for name in ("redis", "ntp")}
    for name, remote in others.items():
        remote.release("v1.0.0")
        site.well("feature", "start", name)
        site.well("formula", "add", str(remote.path), "--path", f"formulas/{name}")
        site.well("feature", "publish", name)
    site.well("feature", "finish", "redis", "--yes")
    text = site.well("feature", "finish", "ntp", "--yes").out
    assert "both sides changed .gitmodules, but no entry of it" in text
    listed = site.remote.git("config", "--blob=develop:.gitmodules", "--get-regexp", "path$")
    assert {line.split()[1] for line in listed.splitlines()} == {
        "formulas/nginx",
        "formulas/redis",
        "formulas/ntp",
    }
    assert all(site.remote.git("rev-parse", f"develop:formulas/{name}") for name in others)
