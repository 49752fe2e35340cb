"""Formulas on a master: versions in lists and plans by its mirrors, and merges there as on a laptop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.formulas import FormulaRemote, gitmodules
from tests.support.remote import Submodule
from tests.support.site import Ran, Site, build_template

PATH = "salt/formulas/nginx"


@pytest.fixture
def nginx(tmp_path: Path) -> FormulaRemote:
    remote = FormulaRemote(tmp_path / "formulas" / "nginx.git")
    for tag in ("v2.8.0", "v2.8.1", "v2.8.2"):
        remote.release(tag)
    return remote


@pytest.fixture
def site(tmp_path: Path, nginx: FormulaRemote) -> Site:
    made = Site(tmp_path, build_template(tmp_path / "remote.git"))
    saltenvs = {
        name: {**of, **({"promote_from": before} if before else {})}
        for (name, of), before in zip(
            made.settings["saltenvs"].items(), (None, "test", "stage"), strict=True
        )
    }
    made.configure(submodules=[str(tmp_path / "formulas")], saltenvs=saltenvs)
    begin = pin(made, nginx, "master", "v2.8.0")
    for branch in ("stage", "develop"):
        made.remote.set_branch(branch, begin)
    return made


def pin(site: Site, nginx: FormulaRemote, branch: str, tag: str) -> str:
    files = {
        ".gitmodules": gitmodules((PATH, str(nginx.path))),
        PATH: Submodule(nginx.git("rev-parse", f"{tag}^{{commit}}")),
    }
    return site.remote.commit(branch, files, message=f"nginx {tag}")


def run(site: Site, *words: str) -> Ran:
    return site.run_here(*words, "--config", str(site.config))


def plan(site: Site, code: int) -> dict[str, Any]:
    ran = run(site, "promote", "stage", "--plan", "--json", "--no-diff")
    assert ran.code == code, ran
    found: dict[str, Any] = json.loads(ran.out)
    return found


def test_lists_and_plans_name_versions(site: Site, nginx: FormulaRemote) -> None:
    pin(site, nginx, "develop", "v2.8.2")
    assert site.sync_here().exit_code == 0
    (row,) = json.loads(run(site, "formula", "list", "--json").out)["formulas"]
    assert row["here"] is None
    assert {s: p["name"] for s, p in row["saltenvs"].items()} == {
        "test": "v2.8.2",
        "stage": "v2.8.0",
        "prod": "v2.8.0",
    }
    (change,) = plan(site, 3)["formulas"]
    assert (change["old"]["name"], change["new"]["name"], change["count"]) == (
        "v2.8.0",
        "v2.8.2",
        2,
    )
    ran = run(site, "formula", "outdated", "--json")
    assert ran.code == 3
    rows = {r["pin"]["name"]: r for r in json.loads(ran.out)["formulas"]}
    assert rows["v2.8.0"]["newest"] == "v2.8.2"
    assert rows["v2.8.0"]["where"] == ["stage", "prod"]
    assert rows["v2.8.2"]["newest"] is None
    assert "clone" in run(site, "formula", "update").err


def test_of_two_pins_the_newer_is_taken_in_a_mirror_too(site: Site, nginx: FormulaRemote) -> None:
    assert site.sync_here().exit_code == 0
    nginx.release("v2.9.0")
    nginx.release("v2.9.1")
    pin(site, nginx, "develop", "v2.9.1")
    pin(site, nginx, "stage", "v2.9.0")
    notes = plan(site, 4)["notes"]
    assert any("which is newer is not known here: saltbranch sync" in n for n in notes)
    assert site.sync_here().exit_code == 0
    found = plan(site, 3)
    assert any("v2.9.1 contains v2.9.0 and is taken" in n for n in found["notes"])
    assert run(site, "promote", "stage", "--yes", "--no-diff").code == 0
    wanted = nginx.git("rev-parse", "v2.9.1^{commit}")
    assert site.remote.git("rev-parse", f"stage:{PATH}") == wanted
    served = (site.slot("stage") / PATH / "nginx/init.sls").read_text()
    assert "nginx5" in served


def test_a_place_that_is_not_listed_is_not_asked(site: Site, tmp_path: Path) -> None:
    other = FormulaRemote(tmp_path / "other.git")
    commit = other.release("v1.0.0")
    site.remote.commit(
        "develop",
        {
            ".gitmodules": gitmodules(("salt/other", str(other.path))),
            PATH: None,
            "salt/other": Submodule(commit),
        },
    )
    assert site.sync_here().exit_code == 20
    ran = run(site, "formula", "list", "--json")
    assert ran.code == 20
    (row,) = [r for r in json.loads(ran.out)["formulas"] if r["path"] == "salt/other"]
    assert "is not among the submodules:" in row["problem"]
    assert not list((site.root / "formulas").glob("other-*"))


def test_what_stays_empty_on_this_machine_is_said(site: Site, nginx: FormulaRemote) -> None:
    folder = site.folder / "fleet"
    folder.mkdir()
    grains = {"kernel": "Linux", "os": "Debian", "os_family": "Debian", "osmajorrelease": 12}
    (folder / "stage1.yaml").write_text(json.dumps({"grains": grains}))
    site.configure(submodules=None, fleet=str(folder))
    site.remote.commit(
        "develop", {"salt/app/init.sls": "app:\n  test.succeed_without_changes: []\n"}
    )
    assert site.sync_here().exit_code == 0
    ran = run(site, "diff", "stage", "--json")
    assert ran.code == 3, ran
    assert f"lists no submodules: ({PATH})" in "".join(json.loads(ran.out)["warnings"])


def test_doctor_says_what_to_do_where_a_served_place_is_no_longer_listed(
    site: Site, nginx: FormulaRemote, tmp_path: Path
) -> None:
    assert site.sync_here().exit_code == 0
    site.configure(submodules=[str(tmp_path / "elsewhere")])
    ran = run(site, "doctor", "--json")
    found = [f for f in json.loads(ran.out)["findings"] if f["id"] == "not-checked"]
    told = [f for f in found if "the files of the formula" in f["message"]]
    assert told, ran.out
    assert all("is not among the submodules: of this machine" in f["message"] for f in told), told
    assert all(f["fix"].startswith("fix what is named") for f in told), told
