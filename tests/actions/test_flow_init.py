"""flow init: settings of git-flow AVH and git-flow-next, as these write them."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
import yaml

from tests.support.flow_site import FlowSite

# git-flow-next's documentation of its configuration names these keys.
NEXT = {
    "gitflow.version": "1.0",
    "gitflow.initialized": "true",
    "gitflow.branch.main.type": "base",
    "gitflow.branch.develop.type": "base",
    "gitflow.branch.develop.parent": "main",
    "gitflow.branch.feature.type": "topic",
    "gitflow.branch.feature.parent": "develop",
    "gitflow.branch.feature.prefix": "feat/",
    "gitflow.branch.release.type": "topic",
    "gitflow.branch.release.parent": "main",
    "gitflow.branch.release.prefix": "rel/",
    "gitflow.branch.release.tag": "true",
    "gitflow.branch.release.tagprefix": "ver",
    "gitflow.branch.hotfix.type": "topic",
    "gitflow.branch.hotfix.parent": "main",
    "gitflow.branch.hotfix.prefix": "fix/",
    "gitflow.branch.hotfix.tagprefix": "ver",
}


def configure(flow: FlowSite, settings: dict[str, str]) -> None:
    for key, value in settings.items():
        flow.git("config", key, value)


def written(flow: FlowSite) -> dict[str, str]:
    text = (flow.clone / "saltbranch.yaml").read_text()
    flow_keys: dict[str, str] = yaml.safe_load(text)["flow"]
    return flow_keys


@pytest.mark.skipif(shutil.which("git-flow") is None, reason="needs the Debian package git-flow")
def test_settings_of_the_real_git_flow(flow: FlowSite) -> None:
    flow.git("branch", "master", "origin/master")
    subprocess.run(["git", "flow", "init", "-d"], cwd=flow.clone, check=True, capture_output=True)
    subprocess.run(
        ["git", "flow", "config", "set", "versiontagprefix", "v"],
        cwd=flow.clone, check=True, capture_output=True,
    )  # fmt: skip
    found = json.loads(flow.well("flow", "init", "--plan", "--json").out)
    assert found["source"] == "git-flow AVH"
    assert found["flow"] == {
        "feature": flow.git("config", "gitflow.prefix.feature"),
        "release": flow.git("config", "gitflow.prefix.release"),
        "hotfix": flow.git("config", "gitflow.prefix.hotfix"),
        "version_tag": "v",
    }
    assert found["branches"] == {"develop": "develop", "production": "master"}
    assert (found["text"], found["notes"]) == ("", [])


def test_settings_of_git_flow_avh(flow: FlowSite) -> None:
    configure(
        flow,
        {
            "gitflow.branch.master": "master",
            "gitflow.branch.develop": "develop",
            "gitflow.prefix.feature": "f/",
            "gitflow.prefix.release": "r/",
            "gitflow.prefix.hotfix": "h/",
            "gitflow.prefix.versiontag": "",
        },
    )
    assert flow.run("flow", "init", "--plan").code == 3
    flow.well("flow", "init", "--yes")
    assert written(flow) == {"feature": "f/", "release": "r/", "hotfix": "h/", "version_tag": ""}
    assert flow.well("flow", "init", "--plan").out.endswith("nothing to change\n")


def test_settings_of_git_flow_next(flow: FlowSite) -> None:
    configure(flow, NEXT)
    found = json.loads(flow.run("flow", "init", "--plan", "--json").out)
    assert found["source"] == "git-flow-next"
    assert found["flow"] == {
        "feature": "feat/",
        "release": "rel/",
        "hotfix": "fix/",
        "version_tag": "ver",
    }
    assert found["branches"] == {"develop": "develop", "production": "main"}
    assert found["notes"] == [
        "git-flow's production branch is 'main', which no saltenv of the file has"
    ]
    flow.well("flow", "init", "--yes")
    assert written(flow)["feature"] == "feat/"


def test_without_git_flow_there_is_nothing_to_do(flow: FlowSite) -> None:
    before = (flow.clone / "saltbranch.yaml").read_text()
    ran = flow.well("flow", "init", "--yes")
    assert "git's configuration has no gitflow.* settings here" in ran.out
    assert (flow.clone / "saltbranch.yaml").read_text() == before


def test_it_asks_and_is_refused_without_a_terminal(flow: FlowSite) -> None:
    configure(flow, NEXT)
    before = (flow.clone / "saltbranch.yaml").read_text()
    assert "no terminal to ask on" in flow.refused("flow", "init")
    assert flow.run("flow", "init", answer="n").code == 4
    assert (flow.clone / "saltbranch.yaml").read_text() == before
    assert flow.run("flow", "init", answer="y").code == 0
    assert written(flow)["feature"] == "feat/"


def test_a_file_that_lines_cannot_be_added_to_is_left_alone(flow: FlowSite) -> None:
    configure(flow, NEXT)
    path = flow.clone / "saltbranch.yaml"
    text = json.dumps(flow.model)
    path.write_text(text)
    said = flow.refused("flow", "init", "--yes")
    assert "put there:\n  flow:\n" in said or "put there:\nflow:\n" in said
    assert path.read_text() == text


def test_git_flow_next_tags_without_a_prefix_unless_it_was_told_one(flow: FlowSite) -> None:
    configure(flow, {k: v for k, v in NEXT.items() if not k.endswith("tagprefix")})
    found = json.loads(flow.run("flow", "init", "--plan", "--json").out)
    assert found["flow"]["version_tag"] == ""


def test_a_flow_of_its_own_is_not_overwritten(flow: FlowSite) -> None:
    configure(flow, NEXT)
    path = flow.clone / "saltbranch.yaml"
    text = "saltenvs: {}\nflow: {feature: mine/}\n"
    path.write_text(text)
    said = flow.refused("flow", "init", "--yes")
    assert "has its own flow:, which differs" in said
    assert path.read_text() == text


def test_a_clone_without_the_file_gets_one(flow: FlowSite) -> None:
    configure(flow, NEXT)
    (flow.clone / "saltbranch.yaml").unlink()
    flow.well("flow", "init", "--yes")
    assert written(flow)["hotfix"] == "fix/"


def test_outside_of_a_clone_it_is_refused(flow: FlowSite) -> None:
    assert "is not in a clone" in flow.refused("flow", "init", "--yes", cwd=flow.folder)


def test_prefixes_that_cannot_be_used_are_refused(flow: FlowSite) -> None:
    configure(flow, {**NEXT, "gitflow.branch.feature.prefix": "bad prefix~"})
    before = (flow.clone / "saltbranch.yaml").read_text()
    said = flow.refused("flow", "init", "--yes", code=1)
    assert "branch names cannot begin with 'bad prefix~'" in said
    assert (flow.clone / "saltbranch.yaml").read_text() == before
