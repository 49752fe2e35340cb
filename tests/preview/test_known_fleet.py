"""The fleet that everybody compiles for stands on the production branch, like the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import own_cache
from tests.support.flow_site import FlowSite, FlowTemplate, build_flow_template

DEBIAN = "grains: {os: Debian}\n"


@pytest.fixture(scope="module")
def _template(tmp_path_factory: pytest.TempPathFactory) -> FlowTemplate:
    return build_flow_template(tmp_path_factory.mktemp("flow"))


@pytest.fixture
def flow(_template: FlowTemplate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FlowSite:
    own_cache.use(monkeypatch, tmp_path / "cache")
    site = FlowSite(tmp_path, _template)
    site.configure(top={"fleet": "fleet"})
    site.git("fetch", "--quiet")
    return site


def listed(flow: FlowSite) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(flow.well("fleet", "list", "--json").out)
    return found


def test_the_fleet_is_that_of_the_production_branch(flow: FlowSite) -> None:
    files = {"fleet/prod1.yaml": DEBIAN, "fleet/stage1.yaml": DEBIAN, "fleet/deep/x.yaml": "no"}
    flow.push("master", files, "KEY-5 A fleet")
    flow.git("fetch", "--quiet")
    flow.git("checkout", "--quiet", "-B", "develop", "origin/develop")
    (Path(flow.clone) / "fleet").mkdir()
    (Path(flow.clone) / "fleet" / "test9.yaml").write_text(DEBIAN)
    for _ in range(2):  # read, then from the cache
        found = listed(flow)
        assert found["source"] == "master:fleet"
        assert [m["id"] for m in found["minions"]] == ["prod1", "stage1"]
        assert found["minions"][0]["source"] == "master:fleet/prod1.yaml"


def test_a_changed_file_counts_once_it_is_on_that_branch(flow: FlowSite) -> None:
    flow.push("master", {"fleet/prod1.yaml": DEBIAN}, "KEY-5 A fleet")
    flow.git("fetch", "--quiet")
    assert listed(flow)["minions"][0]["grains"] == 2  # id is one, too
    flow.push("master", {"fleet/prod1.yaml": "grains: {os: Debian, roles: []}\n"}, "KEY-6 Roles")
    flow.git("fetch", "--quiet")
    assert listed(flow)["minions"][0]["grains"] == 3


def test_a_folder_of_the_clone_counts_where_the_branch_has_none(flow: FlowSite) -> None:
    folder = Path(flow.clone) / "fleet"
    folder.mkdir()
    (folder / "stage7.yaml").write_text(DEBIAN)
    assert [m["id"] for m in listed(flow)["minions"]] == ["stage7"]


def test_a_mistake_is_told_with_branch_and_line(flow: FlowSite) -> None:
    flow.push("master", {"fleet/prod1.yaml": "grains:\n  a: b: c\n"}, "KEY-5 A fleet")
    flow.git("fetch", "--quiet")
    said = flow.refused("fleet", "list", code=1)
    assert "master:fleet/prod1.yaml:2: YAML: mapping values are not allowed here" in said


def test_without_any_folder_all_places_are_named(flow: FlowSite) -> None:
    said = flow.refused("fleet", "list", code=1)
    assert "fleet: master has no folder 'fleet', and there is none at" in said
    assert "saltbranch fleet record DIR" in said


def test_check_in_a_clone_takes_model_and_fleet_of_the_production_branch(flow: FlowSite) -> None:
    flow.push("master", {"fleet/stage1.yaml": DEBIAN}, "KEY-5 A fleet")
    flow.git("fetch", "--quiet")
    flow.git("checkout", "--quiet", "-B", "develop", "origin/develop")
    (Path(flow.clone) / "saltbranch.yaml").unlink()
    (ref,) = json.loads(flow.run("check", "--json").out)["refs"]
    assert (ref["compiled"]["minions"], ref["compiled"]["missing"]) == (1, None)
