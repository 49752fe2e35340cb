"""feature: start, publish, finish, list."""

from __future__ import annotations

import json

import pytest

from tests.support.flow_site import FlowSite

NTP = {"salt/ntp.sls": "ntp:\n  test.nop: []\n"}


def started(flow: FlowSite, name: str = "key-10-ntp", subject: str = "Add ntp") -> str:
    flow.well("feature", "start", name)
    return flow.commit(NTP, subject)


def test_start_cuts_from_the_remotes_develop_and_checks_it_out(flow: FlowSite) -> None:
    head = flow.push("develop")
    ran = flow.well("feature", "start", "key-10-ntp")
    assert ran.out == f"feature/key-10-ntp: made and checked out at {head[:12]}\n"
    assert flow.branch_here() == "feature/key-10-ntp"
    assert flow.git("rev-parse", "HEAD") == head
    assert flow.git("config", "--get-regexp", r"branch\..*").count("feature") == 0
    assert "refs/heads/feature/key-10-ntp" not in flow.refs()


@pytest.mark.parametrize("name", ["ntp", "feature/ntp"])
def test_names_go_with_and_without_the_prefix(flow: FlowSite, name: str) -> None:
    flow.well("feature", "start", name)
    assert flow.branch_here() == "feature/ntp"


@pytest.mark.parametrize("name", ["", "a b", "a..b", "x.lock", "~", "a:b", "feature/"])
def test_bad_names_are_wrong_usage(flow: FlowSite, name: str) -> None:
    assert "is not a branch" in flow.refused("feature", "start", name, code=2)
    assert flow.branch_here() == "develop"


def test_start_refuses_what_is_there_or_would_drag_changes_along(flow: FlowSite) -> None:
    flow.push_branch("feature/there", "develop")
    assert "the remote has a branch feature/there already" in flow.refused(
        "feature", "start", "there"
    )
    flow.git("branch", "feature/here")
    assert "there is a branch feature/here in this clone" in flow.refused(
        "feature", "start", "here"
    )
    (flow.clone / "salt/app/init.sls").write_text("dirty\n")
    assert "has changes that are not committed" in flow.refused("feature", "start", "new")
    assert flow.branch_here() == "develop"


def test_publish_pushes_the_branch_once_and_then_what_is_new(flow: FlowSite) -> None:
    first = started(flow)
    flow.well("feature", "publish")
    assert flow.head("feature/key-10-ntp") == first
    flow.well("feature", "publish")
    second = flow.commit({"salt/b.sls": "b\n"}, "More")
    flow.well("feature", "publish", "key-10-ntp")
    assert flow.head("feature/key-10-ntp") == second
    assert flow.kinds() == []


def test_publish_never_goes_over_what_others_pushed(flow: FlowSite) -> None:
    started(flow)
    flow.well("feature", "publish")
    flow.push("feature/key-10-ntp")
    flow.commit({"salt/b.sls": "b\n"}, "Mine")
    said = flow.refused("feature", "publish")
    assert "have both moved on" in said
    assert "git pull --rebase" in said
    assert "have both moved on" in flow.refused("feature", "finish", "--yes")


def test_finish_merges_by_a_merge_commit_and_removes_the_branch(flow: FlowSite) -> None:
    tip = started(flow)
    flow.well("feature", "publish")
    before = flow.head("develop")

    ran = flow.well("feature", "finish", "--yes")

    new = flow.head("develop")
    assert flow.parents(new) == [before, tip], "a merge commit, even where a fast-forward would do"
    assert flow.message(new).splitlines()[0] == "Merge feature/key-10-ntp to test (KEY-10)"
    assert flow.trailers(new)["Tickets"] == "KEY-10"
    assert "refs/heads/feature/key-10-ntp" not in flow.refs()
    assert flow.branch_here() == "develop"
    assert flow.git("rev-parse", "HEAD") == new
    assert flow.git("branch", "--list", "feature/*") == ""
    assert ran.out.endswith("checked out develop, up to date\nfeature/key-10-ntp here: removed\n")
    assert flow.kinds() == [], "a feature is develop's own history"


def test_promote_21_finish_never_merges_a_stale_base(flow: FlowSite) -> None:
    tip = started(flow)
    other = flow.push("develop")
    flow.well("feature", "finish", "--yes")
    assert flow.parents(flow.head("develop")) == [other, tip]


def test_finish_takes_what_others_pushed_to_the_branch(flow: FlowSite) -> None:
    started(flow)
    flow.well("feature", "publish")
    theirs = flow.push("feature/key-10-ntp")
    flow.well("feature", "finish", "--yes")
    assert flow.contains("develop", theirs)


def test_commits_of_a_feature_carry_its_ticket_up_to_production(flow: FlowSite) -> None:
    flow.configure(stage={"gates": ["ticket"]}, prod={"gates": ["ticket"]})
    tip = started(flow, "key-10-ntp", "Add ntp")
    flow.well("feature", "finish", "--yes")
    groups = flow.plan("promote", "stage")["groups"]
    assert [(g["name"], [c["commit"] for c in g["commits"]]) for g in groups] == [("KEY-10", [tip])]
    flow.to_prod()


def test_a_feature_without_a_ticket_does_not_pass_the_ticket_gate(flow: FlowSite) -> None:
    flow.configure(stage={"gates": ["ticket"]})
    flow.well("feature", "start", "tidy")
    flow.commit(NTP, "Add ntp")
    flow.commit({"salt/b.sls": "b\n"}, "KEY-5 More")
    flow.well("feature", "finish", "--yes")
    said = flow.refused("promote", "stage", "--yes")
    assert "ticket: fail: no ticket is named by" in said
    assert "Add ntp" in said


def test_finish_asks_gates_of_the_first_saltenv(flow: FlowSite) -> None:
    flow.configure(test={"gates": [{"command": "false", "name": "lint"}]})
    started(flow)
    assert "lint: fail: it ended with 1" in flow.refused("feature", "finish", "--yes")


def test_finish_refuses_what_is_not_committed(flow: FlowSite) -> None:
    started(flow)
    (flow.clone / "salt/ntp.sls").write_text("dirty\n")
    said = flow.refused("feature", "finish", "--yes")
    assert "they would not be part of feature/key-10-ntp" in said
    assert (flow.clone / "salt/ntp.sls").read_text() == "dirty\n"


def test_finish_of_another_branch_leaves_the_work_tree_alone(flow: FlowSite) -> None:
    started(flow)
    flow.git("switch", "--quiet", "develop")
    (flow.clone / "salt/app/init.sls").write_text("dirty\n")
    flow.well("feature", "finish", "key-10-ntp", "--yes")
    assert flow.branch_here() == "develop"
    assert (flow.clone / "salt/app/init.sls").read_text() == "dirty\n"
    assert flow.git("branch", "--list", "feature/*") == ""


def test_finish_by_somebody_who_has_not_the_branch(flow: FlowSite) -> None:
    tip = flow.push_branch("feature/key-10-ntp", "develop", NTP, "Add ntp")
    flow.well("feature", "finish", "key-10-ntp", "--yes")
    assert flow.contains("develop", tip)
    assert "refs/heads/feature/key-10-ntp" not in flow.refs()
    assert flow.git("branch", "--list", "feature/*") == ""


def test_local_commits_of_develop_are_neither_pushed_nor_lost(flow: FlowSite) -> None:
    mine = flow.commit({"salt/mine.sls": "mine\n"}, "KEY-3 Mine, not pushed")
    flow.well("feature", "start", "key-10-ntp")
    flow.commit(NTP, "Add ntp")
    ran = flow.well("feature", "finish", "--yes")
    assert "salt/mine.sls" not in flow.files("develop")
    assert flow.git("rev-parse", "develop") == mine
    assert "checked out develop; it has commits that the remote lacks" in ran.out


def test_promote_03_finish_after_an_interrupted_one_tidies_up(flow: FlowSite) -> None:
    """The push arrived, then the process died: the branch is still here."""
    tip = started(flow)
    flow.git("branch", "kept")
    flow.well("feature", "finish", "--yes")
    flow.git("switch", "--quiet", "-c", "feature/key-10-ntp", "kept")
    before = flow.refs()
    ran = flow.well("feature", "finish", "--yes")
    assert "nothing to do" in ran.out
    assert flow.refs() == before
    assert flow.branch_here() == "develop"
    assert flow.git("branch", "--list", "feature/*") == ""
    assert flow.contains("develop", tip)


@pytest.mark.parametrize("verb", ["publish", "finish"])
def test_without_a_name_one_has_to_stand_on_a_feature(flow: FlowSite, verb: str) -> None:
    words = ("feature", verb, *(["--yes"] if verb == "finish" else []))
    assert "You are on develop, which is no feature/ branch" in flow.refused(*words, code=2)
    flow.git("switch", "--quiet", "--detach")
    assert "on no branch (HEAD is detached)" in flow.refused(*words, code=2)


def test_an_unknown_feature_is_named_with_those_there_are(flow: FlowSite) -> None:
    flow.push_branch("feature/there", "develop")
    said = flow.refused("feature", "finish", "nosuch", "--yes", code=2)
    assert "there is no branch feature/nosuch, neither here nor on the remote" in said
    assert "feature/there" in said


def test_a_tag_of_the_same_name_is_not_taken_for_the_branch(flow: FlowSite) -> None:
    tip = started(flow)
    flow.git("tag", "feature/key-10-ntp", "HEAD~1")
    flow.git("tag", "develop", "HEAD")
    flow.well("feature", "finish", "key-10-ntp", "--yes")
    assert flow.contains("develop", tip)


def test_list_shows_where_and_how_far(flow: FlowSite) -> None:
    assert flow.well("feature", "list").out == "no feature branches\n"
    flow.push_branch("feature/remote", "develop", NTP, "KEY-4 Theirs")
    flow.well("feature", "start", "key-10-ntp")
    flow.push("develop")
    flow.push("develop")
    out = flow.well("feature", "list").out.splitlines()
    assert out == [
        "feature/key-10-ntp  here, ahead 0, behind 2  merged",
        "feature/remote  remote, ahead 1, behind 2  KEY-4 Theirs (Ann)",
    ]
    rows = json.loads(flow.well("feature", "list", "--json").out)
    assert rows["version"] == 1
    assert rows["features"][1] == {
        "branch": "feature/remote",
        "here": False,
        "published": True,
        "ahead": 1,
        "behind": 2,
        "subject": "KEY-4 Theirs",
        "author": "Ann",
    }


def test_the_prefix_is_configurable(flow: FlowSite) -> None:
    flow.configure(top={"flow": {"feature": "f-", "release": "r-", "hotfix": "h-"}})
    flow.well("feature", "start", "ntp")
    assert flow.branch_here() == "f-ntp"
    flow.commit(NTP, "KEY-5 Add")
    flow.well("feature", "finish", "--yes")
    assert "salt/ntp.sls" in flow.files("develop")
