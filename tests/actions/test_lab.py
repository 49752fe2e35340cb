"""lab claim, list, extend, release, as people in a clone run them."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from saltbranch.base.durations import iso
from saltbranch.config.labs import DAY
from tests.support.flow_site import FlowSite, shown


def branch(flow: FlowSite, name: str = "feature/key-1-a") -> str:
    flow.push_branch(name, "develop" if name.startswith("feature") else "master")
    return name


def told(flow: FlowSite, number: int, master: str = "m1") -> None:
    """A master tells how many labs it has."""
    flow.record("sync", master=master, saltenvs=[], labs=number)


def listed(flow: FlowSite) -> dict[str, dict[str, Any]]:
    found = json.loads(flow.well("lab", "list", "--json").out)
    return {row["lab"]: row for row in found["labs"]}


def having(flow: FlowSite) -> dict[int, str]:
    return {n: c.branch for n, c in flow.state().labs.items()}


def test_from_claim_to_release(flow: FlowSite) -> None:
    told(flow, 2)
    name = branch(flow)
    ran = flow.well("lab", "claim", "key-1-a", "--minions", "test1,test2", "--for", "8h", "--yes")
    lines = shown(ran.out).splitlines()
    assert lines[0].startswith(f"lab claim {name}: it has lab1 until ")
    assert lines[0].endswith("(8 h)")
    assert lines[1:] == [
        "  minions: test1, test2, which leave test for it",
        "  pillar: that of test, unless the master's lab_pillar says otherwise",
        f"lab claim {name}: it has lab1, recorded as ID; every master follows at its next sync",
        "to try it, after the next sync of the master:",
        "  salt -L test1,test2 state.apply test=True",
        "  salt -L test1,test2 state.apply",
        f"  saltbranch lab release {name}",
    ]
    claim = flow.state().labs[1]
    assert (claim.branch, claim.minions, claim.by) == (
        name,
        ("test1", "test2"),
        "Ann <ann@example.com>",
    )
    assert abs(claim.until - time.time() - 8 * 3600) < 60
    rows = listed(flow)
    assert (rows["lab1"]["state"], rows["lab1"]["lent"], rows["lab1"]["saltenv"]) == (
        "claimed",
        ["test1", "test2"],
        "test",
    )
    assert rows["lab2"]["state"] == "free"
    ran = flow.well("lab", "list")
    assert ran.out.splitlines()[0].endswith("minions of test: test1, test2")
    assert ran.out.splitlines()[1] == "lab2  free"

    assert flow.well("lab", "extend", "lab1", "--for", "2d", "--yes").out.startswith(
        f"lab extend {name}: it has lab1 until "
    )
    assert abs(flow.state().labs[1].until - time.time() - 2 * DAY) < 60
    ran = flow.well("lab", "release", name, "--yes")
    assert shown(ran.out) == (
        f"lab release {name}: lab1 is free again\n  test1, test2: back to test\n"
        f"lab release {name}: recorded as ID; every master follows at its next sync\n"
    )
    assert flow.kinds() == ["sync", "lab", "lab", "lab"]
    assert listed(flow)["lab1"]["state"] == "free"


def test_the_same_command_again_finds_it_done(flow: FlowSite) -> None:
    """As after a kill: what was pushed is pushed."""
    told(flow, 2)
    name = branch(flow)
    for words in (("claim", name, "--minions", "test1"), ("release", name), ("release", "lab1")):
        flow.run("lab", *words, "--yes")
        before = flow.refs()
        assert flow.run("lab", *words, "--plan").code == 0
        ran = flow.well("lab", *words)
        assert ran.out.startswith(f"lab {words[0]} {words[1]}: nothing to do\n"), "without asking"
        assert flow.refs() == before


def test_without_minions_it_is_for_trying(flow: FlowSite) -> None:
    told(flow, 1)
    name = branch(flow)
    ran = flow.well("lab", "claim", name, "--yes")
    assert "  salt ID state.apply saltenv=lab1 test=True\n" in ran.out
    assert listed(flow)["lab1"]["saltenv"] == "test"
    assert abs(flow.state().labs[1].until - time.time() - 3 * DAY) < 60


def test_no_lab_is_free_says_who_has_them(flow: FlowSite) -> None:
    told(flow, 2)
    names = [branch(flow, f"feature/{c}") for c in "abc"]
    for name in names[:2]:
        flow.well("lab", "claim", name, "--yes")
    said = flow.refused("lab", "claim", names[2], "--yes")
    for number, name in enumerate(names[:2], 1):
        assert f"{name} has lab{number} by Ann <ann@example.com>, until " in said
    assert "no lab is free" in said
    flow.well("lab", "release", names[0], "--yes")
    flow.well("lab", "claim", names[2], "--yes")
    assert having(flow) == {2: names[1], 1: names[2]}


@pytest.mark.parametrize("how", ["gone", "merged", "over"])
def test_a_lab_that_nobody_released_is_given_again(flow: FlowSite, how: str) -> None:
    told(flow, 1)
    name, other = branch(flow), branch(flow, "hotfix/b")
    flow.well("lab", "claim", name, "--yes")
    if how == "gone":
        flow.remote.git("update-ref", "-d", f"refs/heads/{name}")
    elif how == "merged":
        flow.remote.set_branch("develop", flow.head(name))
    else:
        claim = flow.state().labs[1]
        flow.record("lab", action="extend", lab=1, claim=claim.id, until=iso(time.time() - 5))
    assert listed(flow)["lab1"]["state"] == "free"
    assert listed(flow)["lab1"]["freed"]
    flow.well("lab", "claim", other, "--yes")
    assert having(flow) == {1: other}


def test_a_branch_without_a_commit_of_its_own_has_one(flow: FlowSite) -> None:
    told(flow, 1)
    flow.remote.set_branch("feature/new", flow.head("develop"))
    flow.well("lab", "claim", "new", "--yes")
    assert listed(flow)["lab1"]["state"] == "claimed"
    flow.push("feature/new")
    assert listed(flow)["lab1"]["state"] == "claimed"
    flow.remote.set_branch("develop", flow.head("feature/new"))
    assert listed(flow)["lab1"]["state"] == "free"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("claim", "feature/nosuch"), 2, "the remote has no branch 'feature/nosuch'"),
        (("claim", "develop"), 4, "develop is the branch of a saltenv"),
        (("claim", "wip/x"), 4, "does not begin with feature/, hotfix/, release/"),
        (("claim", "key-1-a", "--minions", "prod1"), 4, "prod lends no minions"),
        (("claim", "key-1-a", "--minions", "test*"), 4, "is not a minion id"),
        (("claim", "key-1-a", "--minions", "test1,stage1"), 4, "a lab has the pillar of one"),
        (("claim", "key-1-a", "--minions", "nobody"), 4, "nobody is of no saltenv"),
        (("claim", "key-1-a", "--for", "31d"), 2, "not from a minute to 30 d"),
        (("claim", "key-1-a", "--for", "1s"), 2, "not from a minute to 30 d"),
        (("claim", "key-1-a", "--for", "soon"), 2, "is not a length of time"),
        (("claim", "key-1-a", "--lab", "lab51"), 2, "is not a lab"),
        (("claim", "key-1-a", "--lab", "prod"), 2, "is not a lab"),
        (("extend", "key-1-a"), 4, "feature/key-1-a has no lab"),
        (("extend", "lab1"), 4, "nobody has lab1"),
        (("release", "nosuch"), 2, "the remote has no branch 'nosuch'"),
    ],
)  # fmt: skip
def test_what_is_refused(flow: FlowSite, words: tuple[str, ...], code: int, said: str) -> None:
    flow.configure(prod={"protected": True})
    told(flow, 2)
    branch(flow)
    flow.push_branch("wip/x", "develop")
    assert said in flow.refused("lab", *words, "--yes", code=code)


def test_a_protected_saltenv_lends_where_the_model_says_so(flow: FlowSite) -> None:
    flow.configure(prod={"protected": True, "lend": True}, stage={"lend": False})
    told(flow, 2)
    name = branch(flow)
    assert "stage lends no minions" in flow.refused(
        "lab", "claim", name, "--minions", "stage1", "--yes"
    )
    flow.well("lab", "claim", name, "--minions", "prod1", "--yes")
    # The model of the branch itself decides nothing, and that of production does, whatever was claimed before.
    assert listed(flow)["lab1"]["saltenv"] == "prod"


def test_one_lab_for_a_branch_one_branch_for_a_minion(flow: FlowSite) -> None:
    told(flow, 3)
    one, two = branch(flow), branch(flow, "feature/b")
    flow.well("lab", "claim", one, "--minions", "test1", "--yes")
    assert "has lab1" in flow.refused("lab", "claim", one, "--minions", "test2", "--yes")
    assert "has lab1" in flow.refused("lab", "claim", one, "--lab", "lab2", "--yes")
    assert "test1 is lent to lab1" in flow.refused(
        "lab", "claim", two, "--minions", "test1,test2", "--yes"
    )
    assert f"lab1 is not free: {one} has lab1" in flow.refused(
        "lab", "claim", two, "--lab", "lab1", "--yes"
    )
    flow.well("lab", "claim", two, "--lab", "lab3", "--yes")
    assert having(flow) == {1: one, 3: two}


def test_an_extended_claim_ends_after_30_days(flow: FlowSite) -> None:
    told(flow, 1)
    name = branch(flow)
    since = time.time() - 29 * DAY
    until = iso(time.time() + DAY / 2)
    flow.record("lab", ago=29 * DAY, action="claim", lab=1, branch=name, minions=[], until=until)
    assert flow.state().labs[1].since == pytest.approx(since, abs=5)
    assert "for more than 30 d" in flow.refused("lab", "extend", name, "--for", "2d", "--yes")
    flow.well("lab", "extend", name, "--for", "20h", "--yes")


def test_how_many_labs_there_are_the_masters_tell(flow: FlowSite) -> None:
    names = [branch(flow, f"feature/{c}") for c in "abc"]
    ran = flow.well("lab", "claim", "a", "--yes")
    assert "masters decide how many labs there are" in ran.out
    assert "no master has told" in flow.well("lab", "list").out
    assert "no master has told" not in flow.well("lab", "release", "a", "--yes").out
    told(flow, 0)
    assert "no master has labs" in flow.refused("lab", "claim", "a", "--yes")
    told(flow, 3, "m2")
    told(flow, 1, "m3")
    flow.well("lab", "claim", "a", "--yes")
    assert "no lab is free" in flow.refused("lab", "claim", "b", "--yes"), "the smallest counts"
    ran = flow.well("lab", "claim", "b", "--lab", "lab3", "--yes")
    assert "some master told that it has 1 lab: it will not serve this one" in ran.out
    assert having(flow) == {1: names[0], 3: names[1]}
    assert listed(flow)["lab3"]["refused"] == "there is only 1 lab"


def test_what_strangers_wrote_is_shown_and_counts_for_nothing(flow: FlowSite) -> None:
    told(flow, 4)
    name = branch(flow)
    until = iso(time.time() + DAY)
    far = iso(time.time() + 400 * DAY)
    for number, details in enumerate(
        (
            {"branch": "master", "minions": ["prod1"], "until": until},
            {"branch": name, "minions": ["*"], "until": until},
            {"branch": name, "minions": ["test1"], "until": far},
            {"branch": name, "minions": ["\x1b[2Jx"], "until": until},
        ),
        1,
    ):
        flow.record("lab", action="claim", lab=number, **details)
    rows = listed(flow)
    assert [rows[f"lab{n}"]["state"] for n in (1, 2, 3, 4)] == ["refused"] * 3 + ["free"]
    assert all(not row["lent"] for row in rows.values())
    text = flow.well("lab", "list").out
    assert "\x1b" not in text
    assert "does not count: master is the branch of a saltenv" in text
    assert f"saltbranch lab release {name}" in flow.refused("lab", "claim", name, "--yes")
    other = branch(flow, "feature/b")
    flow.record("lab", action="claim", lab=4, branch="develop", minions=[], until=until)
    said = flow.refused("lab", "claim", other, "--yes")
    assert ", which does not count: master is the branch of a saltenv; " in said
    flow.well("lab", "release", "lab4", "--yes")
    for number in (1, 2, 3):
        flow.well("lab", "release", f"lab{number}", "--yes")
    flow.well("lab", "claim", name, "--yes")
    assert having(flow) == {1: name}


def test_what_a_shell_would_run_is_quoted_in_what_is_to_be_pasted(flow: FlowSite) -> None:
    """The claim is of a lab that nobody here has, so nobody here has judged it."""
    told(flow, 1)
    name, until = branch(flow), iso(time.time() + DAY)
    for minions, target in ((["a;id"], "'a;id'"), (["b", "$(id)"], "-L 'b,$(id)'")):
        flow.record("lab", action="claim", lab=5, branch=name, minions=minions, until=until)
        out = flow.well("lab", "claim", name, "--lab", "lab5").out
        assert f"  salt {target} state.apply\n" in out
        flow.well("lab", "release", name, "--yes")


def test_a_clone_that_does_not_know_nodegroups_refuses_what_no_master_takes(flow: FlowSite) -> None:
    flow.configure(test={"minions": {"nodegroup": "testing"}}, prod={"protected": True})
    told(flow, 2)
    name = branch(flow)
    for words, said in (
        (("develop", "--minions", "x1"), "develop is the branch of a saltenv"),
        ((name, "--minions", "x*"), "is not a minion id"),
        ((name, "--minions", "prod1"), "prod lends no minions"),
    ):
        assert said in flow.refused("lab", "claim", *words, "--yes")
    ran = flow.well("lab", "claim", name, "--minions", "x1", "--yes")
    assert (
        "the masters will say whether it counts, by their nodegroups; here x1 is of no" in ran.out
    )
    assert having(flow) == {1: name}


def test_plan_changes_nothing_and_without_yes_it_is_refused(flow: FlowSite) -> None:
    told(flow, 1)
    name = branch(flow)
    before = flow.refs()
    ran = flow.run("lab", "claim", name, "--plan", "--json")
    found = json.loads(ran.out)
    assert ran.code == 3
    assert (found["action"], found["lab"], found["changes"], found["saltenv"]) == (
        "claim",
        "lab1",
        True,
        "test",
    )
    assert "no terminal to ask on" in flow.refused("lab", "claim", name)
    assert flow.run("lab", "claim", name, answer="n").code == 4
    assert flow.refs() == before
    assert flow.run("lab", "claim", name, answer="y").code == 0
    assert having(flow) == {1: name}


def test_a_local_branch_is_to_be_pushed_first(flow: FlowSite) -> None:
    flow.well("feature", "start", "mine")
    assert "saltbranch feature publish" in flow.refused("lab", "claim", "feature/mine", "--yes")


# feature start --lab


def test_a_feature_with_a_lab_in_one_command(flow: FlowSite) -> None:
    told(flow, 2)
    ran = flow.well("feature", "start", "ntp", "--lab", "--minions", "test1")
    assert "feature/ntp: made, checked out and pushed at " in ran.out
    assert "  salt test1 state.apply test=True\n" in ran.out
    assert flow.branch_here() == "feature/ntp"
    assert having(flow) == {1: "feature/ntp"}
    assert listed(flow)["lab1"]["state"] == "claimed"
    before = flow.refs()
    flow.well("feature", "start", "ntp", "--lab", "--minions", "test1")
    assert flow.refs() == before, "it is done already"
    flow.commit({"salt/ntp.sls": "ntp:\n  test.nop: []\n"}, "KEY-5 Ntp")
    flow.well("feature", "publish")
    assert listed(flow)["lab1"]["state"] == "claimed"
    flow.well("feature", "finish", "--yes")
    assert listed(flow)["lab1"]["freed"] == "the remote has no branch feature/ntp"


def test_nothing_is_made_where_no_lab_is_free(flow: FlowSite) -> None:
    told(flow, 1)
    flow.well("feature", "start", "a", "--lab")
    flow.git("switch", "develop")
    assert "no lab is free: feature/a has lab1" in flow.refused("feature", "start", "b", "--lab")
    told(flow, 2)
    assert "prod" in flow.refused("feature", "start", "b", "--lab", "--minions", "prod1,test1")
    assert flow.git("branch", "--list", "feature/b") == ""
    assert "goes with --lab" in flow.refused("feature", "start", "b", "--minions", "x", code=2)


@pytest.mark.parametrize("left", ["begun", "pushed"])
def test_a_start_that_was_killed_goes_on(flow: FlowSite, left: str) -> None:
    told(flow, 1)
    flow.well("feature", "start", "a")
    if left == "pushed":
        flow.well("feature", "publish")
    ran = flow.well("feature", "start", "a", "--lab", "--json")
    found = json.loads(ran.out)
    assert (found["branch"], found["lab"]["lab"]) == ("feature/a", "lab1")
    assert having(flow) == {1: "feature/a"}


# history, where, explain


def test_history_where_and_explain_know_labs(flow: FlowSite) -> None:
    told(flow, 2)
    name = branch(flow)
    flow.well("lab", "claim", name, "--minions", "test1", "--yes")
    flow.well("lab", "extend", name, "--for", "9d", "--yes")
    text = flow.well("history").out
    assert f"lab       lab1  {name}  by Ann <ann@example.com>  until 2" in text
    assert "(claim with test1)" in text
    rows = json.loads(flow.well("history", "lab1", "--json").out)["entries"]
    assert [(r["what"], r["saltenv"], r["reason"]) for r in rows] == [
        ("lab", "lab1", "extend"),
        ("lab", "lab1", "claim with test1"),
    ]
    assert flow.well("history", "lab2").out == "nothing that fits\n"

    found = json.loads(flow.well("where", flow.head(name), "--json").out)
    assert [(row["lab"], row["branch"], row["lent"]) for row in found["labs"]] == [
        ("lab1", name, ["test1"])
    ]
    assert f"lab1  there through {name}, which test1 get" in flow.well("where", name).out
    assert json.loads(flow.well("where", "KEY-101", "--json").out)["labs"][0]["lab"] == "lab1"
    assert json.loads(flow.well("where", flow.head("develop"), "--json").out)["labs"] == []

    lent = json.loads(flow.well("explain", "test1", "--json").out)["lent"]
    assert (lent["lab"], lent["branch"], lent["saltenv"], lent["moving"]) == (
        "lab1",
        name,
        "test",
        False,
    )
    assert f"it is lent to lab1 until {lent['until']}: the states of {name}" in (
        flow.well("explain", "test1").out
    )
    assert json.loads(flow.well("explain", "test2", "--json").out)["lent"] is None
    flow.well("lab", "release", name, "--yes")
    flow.well("lab", "list")  # reads the remote, which explain does not
    assert json.loads(flow.well("explain", "test1", "--json").out)["lent"] is None


def test_a_claim_of_a_lab_that_no_longer_exists_is_not_in_order(flow: FlowSite) -> None:
    told(flow, 2)
    name = branch(flow)
    flow.well("lab", "claim", name, "--lab", "lab2", "--yes")
    told(flow, 1)
    ran = flow.run("lab", "claim", name, "--yes")
    assert ran.code == 4 and "but there is only 1 lab" in ran.err
    assert f"saltbranch lab release {name}, then claim it anew" in ran.err
