"""hold, unhold, rollback: what they record, and what promotions make of it."""

from __future__ import annotations

import json
import time

import pytest

from saltbranch.base.durations import iso
from saltbranch.git.mirror import JOURNAL_REF
from tests.support.flow_site import FINAL_TAGS, FlowSite, shown


def promotions(flow: FlowSite, number: int = 3) -> list[str]:
    """So many promotions to prod; what prod serves after each, the state before them first."""
    heads = [flow.head("master")]
    for _ in range(number):
        flow.push("develop")
        heads.append(flow.to_prod())
    return heads


def held_at(flow: FlowSite, saltenv: str = "prod") -> str | None:
    hold = flow.state().hold(saltenv, time.time())
    return hold.commit if hold else None


# hold


def test_a_freeze_is_a_hold_at_what_is_served(flow: FlowSite) -> None:
    head = promotions(flow, 1)[-1]
    branches = {r: c for r, c in flow.refs().items() if r.startswith("refs/heads/")}
    ran = flow.well("hold", "prod", "--reason", "end of quarter", "--yes")
    assert shown(ran.out) == (
        "hold prod: prod goes on serving HASH\n"
        "  reason: end of quarter\n"
        "hold prod: recorded as ID; every master follows at its next sync\n"
    )
    hold = flow.state().holds["prod"]
    assert (hold.commit, hold.kind, hold.reason, hold.by, hold.until) == (
        head,
        "hold",
        "end of quarter",
        "Ann <ann@example.com>",
        None,
    )
    after = {r: c for r, c in flow.refs().items() if r.startswith("refs/heads/")}
    assert after == branches, "no branch is touched"


def test_hold_at_a_commit_a_tag_a_promotion(flow: FlowSite) -> None:
    heads = promotions(flow)
    flow.tag("v1.0.0", heads[2])
    ids = [p.id for p in flow.state().promotions_to("prod")]
    for word, commit in (
        (heads[1], heads[1]), (heads[0][:10], heads[0]), ("v1.0.0", heads[2]), (ids[0], heads[1]),
        ("master", heads[3]),
    ):  # fmt: skip
        flow.well("hold", "prod", "--at", word, "--reason", "r", "--yes")
        assert held_at(flow) == commit


def test_hold_refuses_what_the_saltenv_cannot_have_been_proven_with(flow: FlowSite) -> None:
    promotions(flow, 1)
    ahead = flow.push("develop")
    said = flow.refused("hold", "prod", "--at", ahead, "--reason", "r", "--yes")
    assert f"{ahead[:12]} was never on master" in said
    said = flow.refused("hold", "prod", "--at", "nosuch", "--reason", "r", "--yes", code=2)
    assert "there is no such saltenv, branch, tag, promotion or commit here" in said


@pytest.mark.parametrize("verb", ["hold", "rollback"])
@pytest.mark.parametrize("words", [(), ("--reason", ""), ("--reason", "  ")])
def test_a_reason_is_asked_for(flow: FlowSite, verb: str, words: tuple[str, ...]) -> None:
    promotions(flow, 1)
    assert f"{verb} wants --reason TEXT" in flow.refused(verb, "prod", *words, "--yes", code=2)


@pytest.mark.parametrize("verb", ["hold", "unhold", "rollback"])
def test_plan_changes_nothing_and_without_yes_it_is_refused(flow: FlowSite, verb: str) -> None:
    promotions(flow, 1)
    if verb == "unhold":
        flow.well("hold", "prod", "--reason", "r", "--yes")
    before = flow.refs()
    assert flow.run(verb, "prod", "--reason", "r", "--plan").code == 3
    found = json.loads(flow.run(verb, "prod", "--reason", "r", "--plan", "--json").out)
    assert (found["version"], found["verb"], found["saltenv"]) == (1, f"{verb} prod", "prod")
    assert flow.refs() == before
    assert "no terminal to ask on" in flow.refused(verb, "prod", "--reason", "r")
    assert flow.run(verb, "prod", "--reason", "r", answer="n").code == 4
    assert flow.refs() == before
    assert flow.run(verb, "prod", "--reason", "r", answer="y").code == 0
    assert flow.refs() != before


def test_until_ends_the_hold(flow: FlowSite) -> None:
    flow.push("develop")
    flow.promoted("stage")
    flow.well("hold", "prod", "--reason", "freeze", "--until", "2h", "--yes")
    hold = flow.state().holds["prod"]
    assert hold.until is not None
    assert 7100 < hold.until - time.time() < 7300
    assert "prod is held at" in flow.refused("promote", "prod", "--yes")
    details = {"saltenv": "prod", "branch": "master", "commit": flow.head("master"), "reason": "r"}
    flow.record("hold", ago=60, until=iso(time.time() - 1), **details)
    assert flow.gates("promote", "prod")["hold"] == ("pass", "nothing is held")
    flow.promoted("prod")


@pytest.mark.parametrize(
    ("until", "said"),
    [("2020-01-01", "that has passed"), ("someday", "is not a time"), ("0s", "that has passed"),
     ("-2h", "is not a time")],
)  # fmt: skip
def test_until_has_to_be_a_time_to_come(flow: FlowSite, until: str, said: str) -> None:
    words = ("hold", "prod", "--reason", "r", f"--until={until}", "--yes")
    assert said in flow.refused(*words, code=2)


def test_promote_08_a_hold_stops_promotions_until_unhold(flow: FlowSite) -> None:
    flow.push("develop")
    flow.promoted("stage")
    flow.well("hold", "prod", "--reason", "end of quarter", "--yes")
    said = flow.refused("promote", "prod", "--yes")
    assert "prod is held at" in said
    assert "by Ann <ann@example.com> (end of quarter)" in said
    flow.push("develop")
    flow.promoted("stage")
    ran = flow.well("unhold", "prod", "--yes")
    assert "prod goes on serving" in ran.out
    assert held_at(flow) is None
    flow.promoted("prod")


def test_unhold_says_what_will_be_served_and_refuses_without_a_hold(flow: FlowSite) -> None:
    heads = promotions(flow)
    flow.well("hold", "prod", "--at", heads[1], "--reason", "r", "--yes")
    found = json.loads(flow.run("unhold", "prod", "--plan", "--json").out)
    assert (found["serves"], found["will_serve"]) == (heads[1], heads[3])
    flow.well("unhold", "prod", "--yes")
    assert "prod is not held" in flow.refused("unhold", "prod", "--yes")


def test_a_held_source_promotes_what_it_serves_and_nothing_beyond(flow: FlowSite) -> None:
    flow.push("develop")
    stage = flow.promoted("stage")
    flow.well("hold", "stage", "--reason", "being tested", "--yes")
    (flow.state(), flow.push("stage", subject="KEY-6 Beyond"))
    assert flow.plan("promote", "prod")["steps"][0]["source"] == stage
    said = flow.refused("promote", "prod", "--commit", "stage", "--yes")
    assert "stage is held at" in said
    assert "what you promote is beyond that" in said
    flow.promoted("prod")


def test_hold_in_a_saltenv_that_follows_tags(flow: FlowSite) -> None:
    flow.configure(prod={"follow": {"tags": FINAL_TAGS}})
    said = flow.refused("hold", "prod", "--reason", "r", "--yes")
    assert "prod serves nothing that it could be held at" in said
    first = flow.head("master")
    flow.tag("v1.0.0", first)
    flow.push("develop")
    flow.promoted("stage")
    flow.promoted("prod", "--tag", "auto")
    flow.well("hold", "prod", "--at", "v1.0.0", "--reason", "r", "--yes")
    assert held_at(flow) == first


# rollback


def test_promote_11_rollback_serves_what_was_served_before_the_last_promotion(
    flow: FlowSite,
) -> None:
    heads = promotions(flow)
    refs = flow.refs()
    ran = flow.well("rollback", "prod", "--reason", "KEY-9 breaks", "--yes")
    last = flow.state().promotions_to("prod")[-1]
    assert f"prod serves {heads[3][:12]}, will serve {heads[2][:12]}" in ran.out
    assert f"promotion: {last.id}" in ran.out
    hold = flow.state().holds["prod"]
    assert (hold.kind, hold.commit, hold.from_commit) == ("rollback", heads[2], heads[3])
    changed = {r for r, c in flow.refs().items() if refs.get(r) != c}
    assert changed == {"refs/saltbranch/journal"}, "no branch is touched"


def test_rollback_twice_goes_two_promotions_back_and_then_stops(flow: FlowSite) -> None:
    heads = promotions(flow)
    for expected in (heads[2], heads[1], heads[0]):
        flow.well("rollback", "prod", "--reason", "r", "--yes")
        assert held_at(flow) == expected
    said = flow.refused("rollback", "prod", "--reason", "r", "--yes")
    assert "the journal knows no promotion of what prod serves now" in said
    assert "saltbranch hold prod --at COMMIT" in said


def test_rollback_to_a_promotion(flow: FlowSite) -> None:
    heads = promotions(flow)
    ids = [p.id for p in flow.state().promotions_to("prod")]
    flow.well("rollback", "prod", "--to", ids[0], "--reason", "r", "--yes")
    assert held_at(flow) == heads[1]
    stage = flow.state().promotions_to("stage")[0].id
    for name in ("nosuch", "", stage):
        words = ("rollback", "prod", f"--to={name}", "--reason", "r", "--yes")
        if name:
            assert "there is no such promotion to prod" in flow.refused(*words, code=2)


def test_promote_10_the_next_promotion_brings_everything_back_and_lifts_the_hold(
    flow: FlowSite,
) -> None:
    flow.push("develop")
    flow.to_prod()
    bad = flow.push("develop", {"salt/bad.sls": "bad\n", "salt/good.sls": "good\n"}, "KEY-66 Bad")
    flow.to_prod()
    flow.well("rollback", "prod", "--reason", "KEY-66 breaks", "--yes")
    plan = flow.plan("promote", "prod", code=0)
    assert plan["empty"]
    assert "saltbranch unhold prod lets it follow again" in plan["notes"][0]

    flow.push("develop", {"salt/bad.sls": "fixed\n"}, "KEY-67 Fix")
    flow.promoted("stage")
    plan = flow.plan("promote", "prod")
    assert plan["lifts_hold"] is True
    assert "this lifts the hold on prod (KEY-66 breaks)" in plan["notes"]
    flow.promoted("prod")

    assert held_at(flow) is None
    assert flow.contains("master", bad)
    assert flow.show("master", "salt/bad.sls") == "fixed\n"
    assert flow.show("master", "salt/good.sls") == "good\n"
    assert flow.plan("promote", "prod", code=0)["empty"]


def test_after_the_lift_rollback_goes_to_what_was_served_and_not_to_the_bad_one(
    flow: FlowSite,
) -> None:
    heads = promotions(flow, 2)
    flow.well("rollback", "prod", "--reason", "r", "--yes")
    assert held_at(flow) == heads[1]
    promotions(flow, 1)
    flow.well("rollback", "prod", "--reason", "still bad", "--yes")
    assert held_at(flow) == heads[1], (
        "served before was the rolled back one, not the branch's old head"
    )


def test_a_hold_over_a_rollback_stops_promotions_again(flow: FlowSite) -> None:
    promotions(flow, 1)
    flow.well("rollback", "prod", "--reason", "r", "--yes")
    flow.well("hold", "prod", "--reason", "wait for Ann", "--yes")
    flow.push("develop")
    flow.promoted("stage")
    assert "wait for Ann" in flow.refused("promote", "prod", "--yes")


def test_rollback_of_a_hotfix(flow: FlowSite) -> None:
    before = promotions(flow, 1)[-1]
    flow.well("hotfix", "start", "1.0.1")
    flow.commit({"salt/fix.sls": "fix\n"}, "KEY-9 Fix")
    flow.well("hotfix", "finish", "--yes")
    flow.well("rollback", "prod", "--reason", "the fix is worse", "--yes")
    assert held_at(flow) == before


def test_rollback_without_a_journal_says_what_works(flow: FlowSite) -> None:
    flow.push("master")
    said = flow.refused("rollback", "prod", "--reason", "r", "--yes")
    assert "saltbranch hold prod --at COMMIT --reason TEXT" in said


def test_a_lost_race_for_the_journal_is_tried_again(flow: FlowSite) -> None:
    heads = promotions(flow, 2)
    once = flow.race(JOURNAL_REF, flow.prepared("unhold", saltenv="stage"))
    flow.well("hold", "prod", "--reason", "r", "--yes")
    assert once.exists()
    assert flow.state().holds["prod"].commit == heads[2]
    assert flow.kinds()[-2:] == ["unhold", "hold"]


@pytest.mark.parametrize("verb", ["hold", "unhold", "rollback"])
def test_an_unknown_saltenv_is_wrong_usage(flow: FlowSite, verb: str) -> None:
    said = flow.refused(verb, "nosuch", "--reason", "r", "--yes", code=2)
    assert "there is no saltenv 'nosuch'" in said
    assert "known: test, stage, prod" in said


def test_control_characters_of_a_reason_reach_no_terminal(flow: FlowSite) -> None:
    promotions(flow, 1)
    ran = flow.well("hold", "prod", "--reason", "\x1b[31mred\x07", "--yes")
    assert not {c for c in ran.out if ord(c) < 32} - {"\n"}
    flow.push("develop")
    flow.promoted("stage")
    ran = flow.run("why-not", "prod")
    assert not {c for c in ran.out if ord(c) < 32} - {"\n"}
