"""hotfix: from what production serves, to production and all below in one push."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.flow_site import FINAL_TAGS, FlowSite

FIX = {"salt/fix.sls": "fix:\n  test.nop: []\n"}
APP = "salt/app/init.sls"


def line(word: str) -> dict[str, str]:
    return {APP: f"app:\n  test.nop: [{{a: {word}}}]\n"}


def hotfix(flow: FlowSite, name: str = "1.0.1", files: dict[str, str] = FIX) -> str:
    """Start a hotfix with one commit; the commit."""
    flow.well("hotfix", "start", name)
    return flow.commit(dict(files), "KEY-9 Fix")


def finished(flow: FlowSite, name: str = "1.0.1", files: dict[str, str] = FIX) -> str:
    commit = hotfix(flow, name, files)
    flow.well("hotfix", "finish", "--yes")
    return commit


def resolve(flow: FlowSite, *words: str, text: str) -> None:
    folder = flow.folder / "conflict"
    flow.well(*words, "--resolve", str(folder))
    (folder / APP).write_text(text)
    subprocess.run(["git", "-C", folder, "add", "-A"], check=True)
    flow.well(*words, "--continue", "--yes")


def test_a_hotfix_goes_everywhere_in_one_push(flow: FlowSite) -> None:
    flow.push("develop")
    prod = flow.to_prod()
    stage_only = flow.push("develop")
    flow.promoted("stage")
    develop_only = flow.push("develop")
    fix = hotfix(flow)
    assert flow.git("rev-parse", "HEAD~1") == prod, "cut from what production serves"
    flow.well("hotfix", "publish")
    stage, develop = flow.head("stage"), flow.head("develop")

    flow.well("hotfix", "finish", "--yes")

    new = flow.head("master")
    assert flow.parents(new) == [prod, fix]
    assert flow.remote.git("rev-parse", "v1.0.1^{commit}") == new
    assert flow.parents(flow.head("stage")) == [stage, new]
    assert flow.parents(flow.head("develop")) == [develop, new]
    assert not flow.contains("master", stage_only)
    assert not flow.contains("stage", develop_only)
    assert "refs/heads/hotfix/1.0.1" not in flow.refs()
    promotion = flow.state().promotions[-1]
    assert (promotion.kind, promotion.saltenv, promotion.new) == ("hotfix", "prod", new)
    assert (promotion.tag, flow.branch_here()) == ("v1.0.1", "develop")
    for saltenv in ("stage", "prod"):
        assert flow.plan("promote", saltenv)["left_behind"] == []


def test_promote_04_hotfix_reaches_open_release(flow: FlowSite) -> None:
    flow.push("develop")
    for version in ("1.4", "1.5"):
        flow.well("release", "start", version, "--yes")
        flow.git("switch", "--quiet", "develop")
    flow.push("develop")
    fix = finished(flow)
    for branch in ("master", "stage", "develop", "release/1.4", "release/1.5"):
        assert flow.contains(branch, fix), branch
    flow.well("release", "finish", "1.5", "--yes")
    flow.promoted("prod")
    assert "salt/fix.sls" in flow.files("master")


@pytest.mark.parametrize(
    ("name", "words", "tag"),
    [
        ("1.2.1", (), "v1.2.1"),
        ("v1.2.1", (), "v1.2.1"),
        ("key-9-sshd", (), "v1.2.1"),
        ("key-9-sshd", ("--tag", "v1.2.0.1"), "v1.2.0.1"),
    ],
)
def test_the_tag_is_the_name_or_the_next_fix(
    flow: FlowSite, name: str, words: tuple[str, ...], tag: str
) -> None:
    flow.tag("v1.2.0", flow.head("master"))
    hotfix(flow, name)
    flow.well("hotfix", "finish", *words, "--yes")
    assert flow.remote.git("rev-parse", f"{tag}^{{commit}}") == flow.head("master")
    assert {r for r in flow.refs() if r.startswith("refs/tags/")} == {
        "refs/tags/v1.2.0",
        f"refs/tags/{tag}",
    }


def test_no_tag_makes_none(flow: FlowSite) -> None:
    hotfix(flow, "key-9")
    flow.well("hotfix", "finish", "--no-tag", "--yes")
    assert not [r for r in flow.refs() if r.startswith("refs/tags/")]


def test_the_hotfix_gates_are_those_that_a_hotfix_can_pass(flow: FlowSite) -> None:
    flow.configure(
        prod={"gates": ["ticket", {"soak": "2h"}, "identical", {"command": "true", "name": "lint"}]}
    )
    hotfix(flow)
    gates = flow.gates("hotfix", "finish")
    assert {name: verdict for name, (verdict, _) in gates.items()} == {
        "hold": "pass",
        "ticket": "pass",
        "lint": "pass",
    }


def test_the_plan_shows_every_branch_that_moves(flow: FlowSite) -> None:
    flow.push("develop")
    hotfix(flow)
    flow.well("hotfix", "publish")
    plan = flow.plan("hotfix", "finish")
    assert [(s["role"], s["branch"], s["kind"]) for s in plan["steps"]] == [
        ("target", "master", "merge"),
        ("back-merge", "stage", "fast-forward"),
        ("back-merge", "develop", "merge"),
        ("delete", "hotfix/1.0.1", "merge"),
    ]
    assert plan["tag"] == "v1.0.1"
    assert plan["tickets"] == ["KEY-9"]


# What is no hotfix


@pytest.mark.parametrize("source", ["develop", "stage"])
def test_a_hotfix_that_was_cut_from_below_is_refused(flow: FlowSite, source: str) -> None:
    """It would bring to production what no gate has seen."""
    flow.push("develop", subject="KEY-5 Never promoted")
    flow.promoted("stage")
    flow.push_branch("hotfix/1.0.1", source, FIX, "KEY-9 Fix")
    said = flow.refused("hotfix", "finish", "1.0.1", "--yes")
    assert "hotfix/1.0.1 was not cut from what production serves" in said
    assert f"of the commits of {source} along" in said or "of the commits of stage along" in said
    assert "git rebase --onto" in said


def test_a_hotfix_that_was_cut_before_the_last_promotion_is_merged(flow: FlowSite) -> None:
    fix = hotfix(flow)
    flow.push("develop")
    prod = flow.to_prod()
    flow.well("hotfix", "finish", "--yes")
    assert flow.parents(flow.head("master")) == [prod, fix]


def test_a_hotfix_that_somebody_merged_into_develop_by_hand_is_still_one(flow: FlowSite) -> None:
    flow.push("develop")
    fix = hotfix(flow)
    flow.well("hotfix", "publish")
    parents = (flow.head("develop"), fix)
    flow.remote.commit("develop", FIX, parents=parents, message="Merge branch 'hotfix/1.0.1'")
    flow.well("hotfix", "finish", "--yes")
    assert flow.contains("master", fix)
    assert flow.contains("stage", fix)


def test_promote_03_finish_again_tidies_up_and_makes_no_second_tag(flow: FlowSite) -> None:
    for name in ("1.0.1", "key-9-sshd"):
        commit = hotfix(flow, name, {f"salt/{name}.sls": "a\n"})
        flow.well("hotfix", "finish", "--yes")
        flow.git("switch", "--quiet", "-c", f"hotfix/{name}", commit)
        before = flow.refs()
        ran = flow.well("hotfix", "finish", "--yes")
        assert "nothing to do" in ran.out
        assert flow.refs() == before
        assert flow.git("branch", "--list", "hotfix/*") == ""


def test_an_existing_tag_is_not_moved(flow: FlowSite) -> None:
    hotfix(flow)
    flow.tag("v1.0.1", flow.head("master"))
    said = flow.refused("hotfix", "finish", "--yes")
    assert "the remote has a tag v1.0.1 already" in said


# Debts


def test_a_conflict_below_becomes_a_debt_that_blocks_until_it_is_paid(flow: FlowSite) -> None:
    develop = flow.push("develop", line("develop"), "KEY-5 Develop")
    fix = hotfix(flow, "1.0.1", line("hotfix"))

    ran = flow.run("hotfix", "finish", "--plan")
    assert ran.code == 3
    assert (
        f"back-merge into develop conflicts in '{APP}': recorded as a debt, which stops promotions"
        " there until saltbranch backmerge test" in ran.out
    )
    ran = flow.well("hotfix", "finish", "--yes")

    assert "debt: develop lacks it; saltbranch backmerge develop --resolve DIR" in ran.out
    assert flow.contains("master", fix), "production gets its fix"
    assert flow.contains("stage", fix)
    assert flow.head("develop") == develop, "nothing is guessed"
    debt = flow.state().debts[0]
    assert (debt.branch, debt.commit, debt.files) == ("develop", flow.head("master"), (APP,))
    assert debt.origin == "hotfix/1.0.1"

    ran = flow.run("why-not", "stage")
    assert ran.code == 4
    assert f"debts: fail, develop lacks {debt.commit[:12]} of hotfix/1.0.1" in ran.out
    assert "saltbranch backmerge develop" in ran.out

    text = line("both")[APP]
    resolve(flow, "backmerge", "test", text=text)
    assert flow.show("develop", APP) == text
    assert flow.contains("develop", debt.commit)
    assert flow.gates("promote", "stage")["debts"] == ("pass", "no hotfix is missing")
    flow.to_prod()
    assert flow.show("master", APP) == text


def test_a_debt_is_paid_by_any_merge_that_brings_the_commit(flow: FlowSite) -> None:
    flow.push("develop", line("develop"), "KEY-5 Develop")
    finished(flow, "1.0.1", line("hotfix"))
    master = flow.head("master")
    by_hand = flow.remote.commit(
        "develop", line("both"), parents=(flow.head("develop"), master), message="By hand"
    )
    assert flow.gates("promote", "stage")["debts"][0] == "pass"
    flow.promoted("stage")
    assert flow.contains("stage", by_hand)


def test_a_debt_elsewhere_does_not_block(flow: FlowSite) -> None:
    flow.push("develop", line("develop"), "KEY-5 Develop")
    finished(flow, "1.0.1", line("hotfix"))
    flow.push("stage", subject="KEY-6 Stage")
    assert flow.gates("promote", "prod")["debts"][0] == "pass"
    flow.promoted("prod")


@pytest.mark.parametrize("names", [("test", "develop"), ("develop", "test")])
def test_backmerge_means_the_same_by_saltenv_and_by_branch(
    flow: FlowSite, names: tuple[str, str]
) -> None:
    flow.push("develop", line("develop"), "KEY-5 Develop")
    finished(flow, "1.0.1", line("hotfix"))
    first, second = names
    assert flow.run("backmerge", first, "--yes").code == 4
    folder = flow.folder / "conflict"
    flow.well("backmerge", first, "--resolve", str(folder))
    (folder / APP).write_text("both: {test.nop: []}\n")
    subprocess.run(["git", "-C", folder, "add", "-A"], check=True)
    flow.well("backmerge", second, "--continue", "--yes")
    assert flow.show("develop", APP) == "both: {test.nop: []}\n"
    assert "develop lacks nothing" in flow.refused("backmerge", first, "--yes")


def test_backmerge_of_an_unknown_branch_is_wrong_usage(flow: FlowSite) -> None:
    said = flow.refused("backmerge", "nosuch", "--yes", code=2)
    assert "there is no saltenv or branch 'nosuch'" in said


# Production serves less than its branch has


def test_promote_10_a_hotfix_while_held_goes_on_top_of_what_is_served(flow: FlowSite) -> None:
    flow.push("develop")
    good = flow.to_prod()
    bad = flow.push("develop", {"salt/bad.sls": "bad:\n  test.nop: []\n"}, "KEY-66 Bad")
    flow.to_prod()
    flow.well("rollback", "prod", "--reason", "KEY-66 breaks", "--yes")

    fix = hotfix(flow)
    assert flow.git("rev-parse", "HEAD~1") == good
    ran = flow.run("hotfix", "finish", "--plan")
    assert "what was held back (KEY-66 breaks) stays held back" in ran.out
    flow.well("hotfix", "finish", "--yes")

    hold = flow.state().holds["prod"]
    assert (hold.commit, hold.kind, hold.reason) == (fix, "rollback", "KEY-66 breaks")
    assert "salt/bad.sls" not in flow.files(fix)
    assert flow.remote.git("rev-parse", "v1.0.1^{commit}") == fix
    assert flow.contains("master", bad)
    for branch in ("master", "stage", "develop"):
        assert flow.contains(branch, fix)

    second = finished(flow, "key-10", {"salt/second.sls": "a\n"})
    assert flow.state().holds["prod"].commit == second
    assert {"salt/fix.sls", "salt/second.sls"} <= flow.files(second)
    assert "salt/bad.sls" not in flow.files(second)

    flow.push("develop", {"salt/bad.sls": None}, "KEY-67 Fix")
    flow.promoted("stage")
    flow.promoted("prod")
    assert flow.state().holds == {}
    assert {"salt/fix.sls", "salt/second.sls"} <= flow.files("master")
    assert "salt/bad.sls" not in flow.files("master")


def test_a_hotfix_that_has_the_held_back_change_is_refused(flow: FlowSite) -> None:
    flow.push("develop", {"salt/bad.sls": "bad\n"}, "KEY-66 Bad")
    flow.to_prod()
    flow.well("rollback", "prod", "--reason", "KEY-66", "--yes")
    for start in ("develop", "master"):
        flow.push_branch("hotfix/1.0.1", start, FIX, "KEY-9 Fix")
        said = flow.refused("hotfix", "finish", "1.0.1", "--yes")
        assert "was not cut from what production serves" in said


def test_a_freeze_moves_to_the_hotfix_and_ends_when_it_was_to_end(flow: FlowSite) -> None:
    flow.well("hold", "prod", "--reason", "freeze", "--until", "2h", "--yes")
    until = flow.state().holds["prod"].until
    fix = finished(flow)
    hold = flow.state().holds["prod"]
    assert (hold.commit, hold.kind, hold.until) == (fix, "hold", until)
    flow.well("unhold", "prod", "--yes")
    assert flow.contains("master", fix)


def test_where_production_follows_tags_the_hotfix_is_cut_from_the_tag(flow: FlowSite) -> None:
    flow.configure(prod={"follow": {"tags": FINAL_TAGS}})
    flow.push("develop")
    flow.promoted("stage")
    served = flow.promoted("prod", "--tag", "v1.0.0")
    waiting = flow.push("develop", {"salt/waiting.sls": "a\n"}, "KEY-7 Not tagged yet")
    flow.to_prod()

    fix = hotfix(flow, "key-9")
    assert flow.git("rev-parse", "HEAD~1") == served
    flow.well("hotfix", "finish", "--yes")

    assert flow.remote.git("rev-parse", "v1.0.1^{commit}") == fix, (
        "the tag names what is to be served"
    )
    assert "salt/waiting.sls" not in flow.files("v1.0.1")
    assert flow.contains("master", waiting)
    assert flow.contains("master", fix)
    flow.promoted("prod", "--tag", "auto")
    assert {"salt/waiting.sls", "salt/fix.sls"} <= flow.files("v1.1.0")


def test_via_branch_pushes_the_merge_alone(flow: FlowSite) -> None:
    fix = hotfix(flow)
    before = flow.refs()
    flow.well("hotfix", "finish", "--via", "branch", "--yes")
    new = {r: c for r, c in flow.refs().items() if r not in before}
    (ref,) = new
    assert ref.startswith("refs/heads/promote/prod/")
    assert flow.parents(new[ref]) == [before["refs/heads/master"], fix]
    assert "hotfix/1.0.1" in flow.git("branch")


def test_via_branch_cannot_move_a_hold(flow: FlowSite) -> None:
    flow.push("develop")
    flow.to_prod()
    flow.well("rollback", "prod", "--reason", "bad", "--yes")
    hotfix(flow)
    said = flow.refused("hotfix", "finish", "--via", "branch", "--yes")
    assert "a pull request cannot move that" in said


def test_a_hotfix_before_anything_was_tagged_is_refused(flow: FlowSite) -> None:
    flow.configure(prod={"follow": {"tags": FINAL_TAGS}})
    said = flow.refused("hotfix", "start", "1.0.1")
    assert "prod serves nothing yet" in said


def test_a_version_that_is_out_is_refused_at_the_start(flow: FlowSite) -> None:
    flow.push("develop")
    flow.to_prod()
    finished(flow)
    for name in ("1.0.1", "v1.0.1", "hotfix/1.0.1"):
        said = flow.refused("hotfix", "start", name)
        assert "there is a tag v1.0.1 on the remote already" in said
        assert "the next one is v1.0.2" in said
    assert not flow.git("branch", "--list", "hotfix/*")
    flow.well("hotfix", "start", "1.0.2")


@pytest.mark.parametrize("published", [True, False])
def test_a_second_open_hotfix_is_refused_unless_it_is_asked_for(
    flow: FlowSite, published: bool
) -> None:
    flow.push("develop")
    flow.to_prod()
    hotfix(flow)
    if published:
        flow.well("hotfix", "publish")
        flow.git("switch", "--quiet", "develop")
        flow.git("branch", "-D", "hotfix/1.0.1")
    said = flow.refused("hotfix", "start", "1.0.2")
    assert "a hotfix is open already: hotfix/1.0.1" in said
    assert "--another" in said
    flow.well("hotfix", "start", "1.0.2", "--another")
    flow.git("switch", "--quiet", "develop")
    flow.well("hotfix", "finish", "1.0.1", "--yes")
    flow.git("branch", "-D", "hotfix/1.0.2")
    flow.git("branch", "hotfix/old", flow.head("master"))  # nothing in it is new
    flow.well("hotfix", "start", "1.0.3")


def test_a_tag_of_that_name_that_only_the_clone_has_is_said(flow: FlowSite) -> None:
    flow.push("develop")
    flow.to_prod()
    hotfix(flow)
    flow.git("tag", "v1.0.1", "HEAD~1")
    there = flow.git("rev-parse", "HEAD~1").strip()[:12]
    (note,) = flow.plan("hotfix", "finish")["notes"]
    assert note.startswith(f"a tag v1.0.1 is here already, at {there}")
    assert "v1.0.1" in flow.well("hotfix", "finish", "--yes").out
    command = note.partition("afterwards ")[2].partition(" brings")[0]
    flow.git(*command.split()[1:])
    assert flow.git("rev-parse", "v1.0.1^{commit}").strip() == flow.head("master")


def test_branches_follow_the_remote(flow: FlowSite) -> None:
    flow.push("develop")
    flow.to_prod()
    flow.git("switch", "--quiet", "--detach", "origin/develop")
    flow.git("branch", "-D", "develop")
    hotfix(flow)
    flow.well("hotfix", "publish")
    assert flow.git("rev-parse", "--abbrev-ref", "@{upstream}").strip() == "origin/hotfix/1.0.1"
    flow.well("hotfix", "finish", "--yes")
    assert flow.branch_here() == "develop"
    assert flow.git("rev-parse", "--abbrev-ref", "@{upstream}").strip() == "origin/develop"
    flow.well("feature", "start", "KEY-3-x")
    flow.commit({"salt/x.sls": "x\n"}, "KEY-3 X")
    flow.git("config", "branch.feature/KEY-3-x.merge", "refs/heads/mine")
    flow.git("config", "branch.feature/KEY-3-x.remote", "other")
    flow.well("feature", "publish")
    assert flow.git("config", "branch.feature/KEY-3-x.merge").strip() == "refs/heads/mine"
