"""release: start, publish, finish."""

from __future__ import annotations

import pytest

from tests.support.flow_site import FINAL_TAGS, RC_TAGS, FlowSite

FIX = {"salt/fix.sls": "fix:\n  test.nop: []\n"}


def test_start_cuts_from_develop_and_publishes_at_once(flow: FlowSite) -> None:
    head = flow.push("develop")
    ran = flow.well("release", "start", "1.4", "--yes")
    assert ran.out == f"release/1.4: on the remote at {head[:12]}\n"
    assert flow.head("release/1.4") == head
    assert flow.branch_here() == "release/1.4"


def test_start_shows_and_asks(flow: FlowSite) -> None:
    before = flow.refs()
    assert flow.run("release", "start", "1.4", "--plan").code == 3
    assert "no terminal to ask on" in flow.refused("release", "start", "1.4")
    assert flow.run("release", "start", "1.4", answer="n").code == 4
    assert flow.refs() == before
    assert flow.run("release", "start", "1.4", answer="y").code == 0


def test_start_at_an_earlier_commit_of_develop(flow: FlowSite) -> None:
    first, _ = flow.push("develop"), flow.push("develop")
    flow.well("release", "start", "1.4", "--commit", first[:10], "--yes")
    assert flow.head("release/1.4") == first
    stage = flow.push("stage")
    said = flow.refused("release", "start", "1.5", "--commit", stage, "--yes", code=2)
    assert "not a commit of develop" in said
    assert "has a branch release/1.4 already" in flow.refused("release", "start", "1.4", "--yes")


def test_finish_goes_to_stage_and_back_to_develop_and_on_by_promotion(flow: FlowSite) -> None:
    flow.push("develop")
    flow.well("release", "start", "1.4", "--yes")
    fix = flow.commit(FIX, "KEY-20 Fix")
    flow.well("release", "publish")
    later = flow.push("develop")
    old = flow.head("stage")

    flow.well("release", "finish", "--yes")

    stage = flow.head("stage")
    assert flow.parents(stage) == [old, fix]
    assert flow.contains("develop", fix)
    assert flow.contains("develop", stage)
    assert not flow.contains("stage", later), "develop went on meanwhile"
    assert "refs/heads/release/1.4" not in flow.refs()
    assert flow.branch_here() == "develop"
    promotion = flow.state().promotions[-1]
    assert (promotion.kind, promotion.saltenv, promotion.new) == ("release", "stage", stage)
    assert flow.trailers(stage)["Promotion-Kind"] == "release"
    flow.promoted("prod")
    assert flow.contains("master", fix)
    assert not flow.contains("master", later)


def test_finish_takes_commits_that_were_not_published(flow: FlowSite) -> None:
    flow.well("release", "start", "1.4", "--yes")
    fix = flow.commit(FIX, "KEY-20 Fix")
    flow.well("release", "finish", "1.4", "--yes")
    assert flow.contains("stage", fix)


def test_finish_goes_through_the_gates_of_stage(flow: FlowSite) -> None:
    flow.configure(
        stage={"gates": ["ticket", {"command": "true", "name": "lint"}, {"soak": "1h"}],
               "overridable": ["soak"]},
    )  # fmt: skip
    flow.push("develop")
    flow.well("release", "start", "1.4", "--yes")
    gates = flow.gates("release", "finish", "1.4")
    assert {name: verdict for name, (verdict, _) in gates.items()} == {
        "hold": "pass", "debts": "pass", "ticket": "pass", "lint": "pass", "soak": "cannot-tell",
    }  # fmt: skip
    flow.refused("release", "finish", "1.4", "--yes")
    words = ("--override", "soak", "--reason", "tried by hand")
    flow.well("release", "finish", "1.4", "--yes", *words)
    assert [e.text("reason") for e in flow.state().events if e.kind == "override"] == [
        "tried by hand"
    ]


@pytest.mark.parametrize(
    ("version", "tags"),
    [("1.4", ["v1.4-rc.1", "v1.4-rc.2"]), ("v2.0.0", ["v2.0.0-rc.1", "v2.0.0-rc.2"])],
)
def test_tag_auto_is_a_candidate_of_the_version(
    flow: FlowSite, version: str, tags: list[str]
) -> None:
    flow.configure(stage={"follow": {"tags": RC_TAGS}}, prod={"follow": {"tags": FINAL_TAGS}})
    for tag in tags:
        flow.push("develop")
        flow.well("release", "start", version, "--yes")
        flow.well("release", "finish", version, "--tag", "auto", "--yes")
        assert flow.remote.git("rev-parse", f"{tag}^{{commit}}") == flow.head("stage")
    flow.promoted("prod", "--tag", "auto")
    assert f"refs/tags/{tags[0].removesuffix('-rc.1')}" in flow.refs()


def test_promote_23_several_releases_at_a_time(flow: FlowSite) -> None:
    flow.push("develop")
    flow.well("release", "start", "1.4", "--yes")
    first = flow.commit(FIX, "KEY-20 Fix of 1.4")
    flow.git("switch", "--quiet", "develop")
    flow.push("develop")
    flow.well("release", "start", "1.5", "--yes")
    second = flow.commit({"salt/other.sls": "a\n"}, "KEY-21 Fix of 1.5")
    flow.well("release", "finish", "1.5", "--yes")
    assert flow.contains("stage", second)
    assert not flow.contains("stage", first)
    assert "refs/heads/release/1.4" in flow.refs()
    flow.well("release", "finish", "1.4", "--yes")
    assert flow.contains("stage", first)
    assert flow.contains("develop", first)


def test_a_debt_of_a_release_blocks_its_finish(flow: FlowSite) -> None:
    path = "salt/app/init.sls"
    flow.push_branch(
        "release/1.4", "develop", {path: "release: {test.nop: []}\n"}, "KEY-20 Release"
    )
    flow.push_branch("hotfix/1.0.1", "master", {path: "hot: {test.nop: []}\n"}, "KEY-9 Hotfix")
    flow.well("hotfix", "finish", "1.0.1", "--yes")
    verdict, reason = flow.gates("release", "finish", "1.4")["debts"]
    assert verdict == "fail"
    assert "saltbranch backmerge release/1.4" in reason


def test_via_branch_leaves_the_release_open(flow: FlowSite) -> None:
    flow.well("release", "start", "1.4", "--yes")
    flow.commit(FIX, "KEY-20 Fix")
    before = flow.refs()
    flow.well("release", "finish", "1.4", "--via", "branch", "--yes")
    after = flow.refs()
    assert [r for r in after if r not in before and "/promote/stage/" in r]
    assert {r: after[r] for r in before} == before
    assert "release/1.4" in flow.git("branch")


def test_an_unknown_release_is_wrong_usage(flow: FlowSite) -> None:
    said = flow.refused("release", "finish", "9.9", "--yes", code=2)
    assert "there is no branch release/9.9" in said
