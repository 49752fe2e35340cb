"""What is pushed by hand to a branch that is promoted to: it is said, recorded once, and where asked for not served."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from saltbranch.git.mirror import JOURNAL_REF
from saltbranch.git.program import Git
from saltbranch.journal import events
from saltbranch.journal import store as journal
from saltbranch.repository.direct_pushes import stricter
from saltbranch.serve import refused
from tests.support.flow_site import FlowSite
from tests.support.remote import Link
from tests.support.site import Ran, Site, result_of


def new_master(folder: Path, flow: FlowSite, name: str, *, record: bool = True) -> Site:
    """A master of its own that serves what the repository's model says."""
    (folder / name).mkdir()
    site = Site(folder / name, flow.remote)
    site.configure(saltenvs=None, record_syncs=record)
    site.salt_config.write_text(f"id: {name}\n")
    return site


@pytest.fixture
def master(flow: FlowSite, tmp_path: Path) -> Site:
    """A master that has synced once, and tells the journal."""
    site = new_master(tmp_path, flow, "m1")
    assert site.sync_here().exit_code == 0
    return site


def promote(flow: FlowSite) -> str:
    """Something new goes all the way to prod; master's new head."""
    flow.push("develop")
    return flow.to_prod()


def pushes(flow: FlowSite) -> list[events.Event]:
    """The pushes by hand that the journal tells of."""
    return [e for e in flow.state().events if e.kind == events.PUSH]


def serves(site: Site, saltenv: str = "prod") -> str | None:
    """What a sync that has nothing to do says is served."""
    result = result_of(site.sync_here(), saltenv)
    assert not result.changed
    return result.old


def hold_plan(flow: FlowSite, *words: str) -> dict[str, Any]:
    """What a verb that records something would do."""
    ran = flow.run(*words, "--plan", "--json")
    assert ran.code == 3, ran
    found: dict[str, Any] = json.loads(ran.out)
    return found


def record_promotion(flow: FlowSite, **details: Any) -> None:
    """Write a promotion to prod into the journal, as another version may have."""
    now = time.time()
    what = {"saltenv": "prod", "branch": "master", "source": "stage", **details}
    made = events.Event("promotion", journal.new_id(now), now, "Bob <bob@example.com>", what)
    git, ref = Git(str(flow.remote.path)), JOURNAL_REF
    flow.remote.git("update-ref", ref, journal.append(git, flow.refs()[ref], [made])[0])


def verb(site: Site, *words: str) -> Ran:
    """A verb on the master."""
    return site.run_here(*words, "--config", str(site.config))


# report


def test_a_push_by_hand_is_said_everywhere_and_recorded_once(master: Site, flow: FlowSite) -> None:
    promoted = promote(flow)
    assert master.sync().code == 0
    new = flow.push("master", subject="by hand")
    ran = master.sync("-q")
    told = (
        f"1 commit pushed to 'master' by hand by Ann <ann@example.com>, not promoted ({new[:12]})"
    )
    assert ran.code == 0 and ran.out.splitlines()[0] == f"prod: {told}"
    assert serves(master) == new
    assert master.sync("-q").out == "", "it is said once"
    (push,) = pushes(flow)
    assert (push.text("old"), push.text("new"), push.text("saltenv")) == (promoted, new, "prod")
    assert push.details["commits"] == [new] and push.details["number"] == 1
    assert push.details["committers"] == ["Ann <ann@example.com>"]
    assert told in verb(master, "status").out
    (row,) = [
        s for s in json.loads(verb(master, "status", "--json").out)["saltenvs"] if s["pushed"]
    ]
    assert (row["saltenv"], row["pushed"]["new"], row["pushed"]["refused"]) == ("prod", new, False)
    found = json.loads(verb(master, "doctor", "--json").out)["findings"]
    assert [f["items"] for f in found if f["id"] == "pushed-by-hand"] == [[new]]
    assert told in flow.well("history", "prod").out and told in flow.well("status").out


def test_a_push_by_hand_is_said_beside_what_else_is_wrong_with_it(
    master: Site, flow: FlowSite
) -> None:
    promote(flow)
    assert master.sync().code == 0
    out = {"salt/out": Link("../../../etc/passwd")}
    new = flow.push("master", out, subject="a link out of the tree")
    assert master.sync().code in (4, 20) and serves(master) != new
    said = verb(master, "status").out
    assert "1 commit pushed to 'master' by hand" in said and "salt/out" in said


def test_rollback_counts_a_push_by_hand_as_what_was_served(master: Site, flow: FlowSite) -> None:
    first, second = promote(flow), promote(flow)
    new = flow.push("master")
    # Whether a master has recorded it or not: the verb finds it itself, and records it.
    assert hold_plan(flow, "rollback", "prod", "--reason", "x")["will_serve"] == second
    master.sync_here()
    assert len(pushes(flow)) == 1
    flow.well("rollback", "prod", "--reason", "x", "--yes")
    master.sync_here()
    assert serves(master) == second
    flow.well("rollback", "prod", "--reason", "x", "--yes")
    master.sync_here()
    assert serves(master) == first
    assert len(pushes(flow)) == 1 and flow.head("master") == new


def test_a_verb_that_writes_records_what_no_master_did(flow: FlowSite) -> None:
    promote(flow)
    new = flow.push("master")
    flow.well("rollback", "prod", "--reason", "x", "--yes")
    assert [e.text("new") for e in pushes(flow)] == [new]
    assert flow.kinds()[-2:] == ["push", "rollback"]


def test_a_promotion_takes_up_what_was_pushed_by_hand(master: Site, flow: FlowSite) -> None:
    promote(flow)
    new = flow.push("master")
    master.sync_here()
    flow.push("develop")
    flow.promoted("stage")
    plan = flow.plan("promote", "prod")
    assert any(n.startswith("this takes up: 1 commit pushed") for n in plan["notes"])
    assert plan["served_before"] == new
    promoted = flow.promoted("prod")
    master.sync_here()
    assert len(pushes(flow)) == 1 and flow.state().tips["master"].pushes == ()
    assert "by hand" not in verb(master, "status").out
    assert hold_plan(flow, "rollback", "prod", "--reason", "x")["will_serve"] == new
    assert flow.contains("master", new) and serves(master) == promoted


def test_many_commits_and_pushes_are_one_event_for_each_move(master: Site, flow: FlowSite) -> None:
    promote(flow)
    master.sync_here()
    heads = [flow.push("master") for _ in range(30)]
    master.sync_here()
    last = flow.push("master")
    master.sync_here()
    first, second = pushes(flow)
    assert first.details["number"] == 30 and len(first.details["commits"]) == 20
    assert (second.text("old"), second.text("new")) == (heads[-1], last)


def test_pushing_the_lower_branch_by_hand_is_no_promotion(master: Site, flow: FlowSite) -> None:
    """`git push origin stage:master`: what was to be promoted, past the gates, with a promotion's merge in it."""
    promote(flow)
    master.sync_here()
    flow.push("develop")
    new = flow.promoted("stage")
    flow.remote.merge("master", "stage")  # a hand merge, so that master can be fast-forwarded
    flow.remote.set_branch("master", flow.head("stage"))
    master.sync_here()
    assert {e.text("saltenv") for e in pushes(flow)} == {"stage", "prod"}
    assert flow.contains("master", new)


@pytest.mark.parametrize("record", [True, False])
def test_what_saltbranch_pushes_is_no_push_by_hand(
    flow: FlowSite, tmp_path: Path, record: bool
) -> None:
    """Promotions, hotfixes with their back-merges, releases, back-merges by hand of the verb, features."""
    master = new_master(tmp_path, flow, "m1", record=record)
    master.sync_here()
    promote(flow)
    flow.well("feature", "start", "KEY-7")
    flow.commit({"salt/f.sls": "f: {test.nop: []}\n"}, "KEY-7 Feature")
    flow.well("feature", "publish")
    flow.well("feature", "finish", "--yes")
    master.sync_here()
    flow.promoted("stage")
    flow.well("hotfix", "start", "1.0.1")
    flow.commit({"salt/h.sls": "h: {test.nop: []}\n"}, "KEY-8 Fix")
    flow.well("hotfix", "publish")
    flow.well("hotfix", "finish", "--yes")
    master.sync_here()
    flow.well("release", "start", "1.1.0", "--yes")
    flow.commit({"salt/r.sls": "r: {test.nop: []}\n"}, "KEY-9 Release")
    flow.well("release", "publish")
    flow.well("release", "finish", "--yes")
    result = master.sync_here()
    assert [n for n in result.notes if "by hand" in n] == []
    assert pushes(flow) == []
    assert flow.state().tips["stage"].head == flow.head("stage")
    assert flow.state().tips["master"].head == flow.head("master")


def test_the_verb_backmerge_is_recorded(master: Site, flow: FlowSite) -> None:
    promote(flow)
    flow.push("master")
    master.sync_here()
    flow.well("backmerge", "stage", "--yes")
    result = master.sync_here()
    assert [e.text("saltenv") for e in pushes(flow)] == ["prod"] and result.notes == []
    assert flow.kinds().count("backmerge") == 1
    assert flow.state().tips["stage"].head == flow.head("stage")


def test_a_pull_request_of_a_promotion_is_one(master: Site, flow: FlowSite) -> None:
    """The server merged it, and nobody told the journal."""
    promote(flow)
    flow.push("develop")
    flow.promoted("stage")
    flow.well("promote", "prod", "--via", "branch", "--yes")
    (ref,) = [r for r in flow.refs() if r.startswith("refs/heads/promote/")]
    new = flow.remote.merge(ref.removeprefix("refs/heads/"), "master")
    assert master.sync_here().notes == []
    assert pushes(flow) == [] and serves(master) == new
    hand = flow.push("master")
    master.sync_here()
    (push,) = pushes(flow)
    assert (push.text("old"), push.text("new")) == (new, hand)


# Where it begins


def test_old_history_is_no_push_by_hand(flow: FlowSite, tmp_path: Path) -> None:
    """Before the first promotion nothing is known: what a master meets first is the beginning."""
    for _ in range(3):
        flow.push("stage")
        flow.push("master")
    master = new_master(tmp_path, flow, "m1")
    assert [n for n in master.sync_here().notes if "by hand" in n] == []
    old, new = flow.head("master"), flow.push("master")
    assert any("by hand" in n for n in master.sync_here().notes)
    (push,) = pushes(flow)
    assert (push.text("old"), push.text("new")) == (old, new)
    # A master that comes later learns it from the journal, and has nothing to add.
    other = new_master(tmp_path, flow, "m2")
    assert [n for n in other.sync_here().notes if "by hand" in n] == []
    assert len(pushes(flow)) == 1


def test_a_journal_of_an_older_version_makes_no_noise(master: Site, flow: FlowSite) -> None:
    """Its promotions did not say what a back-merge became."""
    old = promote(flow)
    begin = flow.head("stage")
    new = flow.push("master")
    merged = flow.remote.commit("stage", {}, parents=(begin, new), tree=new, message="Merge")
    row = {"branch": "stage", "old": begin, "kind": "merge"}
    record_promotion(flow, kind="hotfix", source_commit=new, old=old, new=new, merges=[row])
    assert [n for n in master.sync_here().notes if "by hand" in n] == []
    assert pushes(flow) == [] and serves(master, "stage") == merged


def test_the_first_saltenv_is_not_judged(master: Site, flow: FlowSite) -> None:
    promote(flow)
    master.sync_here()
    flow.push("develop")
    assert master.sync_here().notes == [] and pushes(flow) == []


def test_allow_says_nothing(flow: FlowSite, tmp_path: Path) -> None:
    flow.configure(prod={"direct_pushes": "allow"})
    master = new_master(tmp_path, flow, "m1")
    master.sync_here()
    promote(flow)
    master.sync_here()
    new = flow.push("master")
    assert master.sync_here().notes == []
    assert pushes(flow) == [] and serves(master) == new


# refuse and accept


@pytest.fixture
def strict(flow: FlowSite, tmp_path: Path) -> Site:
    """A master of a repository where prod refuses what is pushed by hand."""
    flow.configure(prod={"direct_pushes": "refuse"})
    site = new_master(tmp_path, flow, "m1")
    assert site.sync_here().exit_code == 0
    return site


def test_refuse_keeps_the_last_promoted_commit_until_it_is_accepted(
    strict: Site, flow: FlowSite
) -> None:
    old = promote(flow)
    strict.sync_here()
    new = flow.push("master")
    for _ in range(3):
        ran = strict.sync("-q")
        assert ran.code == 4 and f"still serving {old[:12]}" in ran.err, ran
        assert f"({new[:12]})" in ran.err and "saltbranch accept prod --reason TEXT" in ran.err
    result = result_of(strict.sync_here(), "prod")
    assert (result.state, result.old, result.refused) == ("refused", old, new)
    (push,) = pushes(flow)
    assert push.text("good") == old
    assert "refused by direct_pushes" in verb(strict, "status").out
    said = flow.well("where", new).out
    assert "by a push by hand" in said and "accepted" not in said
    found = json.loads(verb(strict, "doctor", "--json").out)["findings"]
    assert [f["id"] for f in found if new[:12] in f["message"]] == ["pushed-by-hand"]
    plan = hold_plan(flow, "accept", "prod", "--reason", "KEY-1, agreed")
    assert (plan["serves"], plan["will_serve"], plan["reason"]) == (old, new, "KEY-1, agreed")
    flow.well("accept", "prod", "--reason", "KEY-1, agreed", "--yes")
    assert strict.sync().code == 0 and serves(strict) == new
    assert flow.kinds()[-2:] == ["accept", "sync"]
    assert "(KEY-1, agreed)" in flow.well("history", "prod").out
    came = f"by a push by hand, accepted by {push.by}: KEY-1, agreed"
    assert came in flow.well("where", new).out
    assert hold_plan(flow, "rollback", "prod", "--reason", "x")["will_serve"] == old
    assert "nothing was pushed to master by hand" in flow.refused(
        "accept", "prod", "--reason", "x", "--yes"
    )


def test_refuse_ends_with_a_promotion_and_begins_anew(strict: Site, flow: FlowSite) -> None:
    promote(flow)
    strict.sync_here()
    hand = flow.push("master")
    assert strict.sync().code == 4
    new = promote(flow)
    assert strict.sync().code == 0 and serves(strict) == new and flow.contains("master", hand)
    flow.push("master")
    assert strict.sync().code == 4 and result_of(strict.sync_here(), "prod").old == new


def test_a_master_that_was_away_goes_on_to_the_last_promotion(strict: Site, flow: FlowSite) -> None:
    new = promote(flow)
    hand = flow.push("master")
    result = strict.sync_here()
    prod = result_of(result, "prod")
    assert (prod.state, prod.new, prod.refused, result.exit_code) == ("switched", new, hand, 4)
    assert serves(strict) == new


def test_a_new_master_serves_the_last_promotion(
    strict: Site, flow: FlowSite, tmp_path: Path
) -> None:
    new = promote(flow)
    flow.push("master")
    for record in (True, False):
        other = new_master(tmp_path, flow, f"new{record}", record=record)
        assert other.sync_here().exit_code == 4 and serves(other) == new


def test_a_hold_at_what_is_refused_lets_nothing_through(strict: Site, flow: FlowSite) -> None:
    """That it was served by a hold is no reason to go on with it."""
    good = promote(flow)
    strict.sync_here()
    hand = flow.push("master")
    strict.sync_here()
    flow.well("hold", "prod", f"--at={hand}", "--reason", "x", "--yes")
    assert result_of(strict.sync_here(), "prod").new == hand
    assert hold_plan(flow, "unhold", "prod")["will_serve"] == good
    flow.well("unhold", "prod", "--yes")

    result = result_of(strict.sync_here(), "prod")

    assert (result.new, result.refused) == (good, hand)
    assert strict.sync().code == 4 and serves(strict) == good


def test_the_rule_holds_however_much_the_journal_has_told_since(
    strict: Site, flow: FlowSite
) -> None:
    good = promote(flow)
    strict.sync_here()
    git, ref = Git(str(flow.remote.path)), JOURNAL_REF
    rows = [{"saltenv": "test", "branch": "develop", "new": flow.head("develop")}]
    made = [
        events.Event("sync", journal.new_id(n), n, "m9", {"master": "m9", "saltenvs": rows})
        for n in range(600)
    ]
    flow.remote.git("update-ref", ref, journal.append(git, flow.refs()[ref], made)[0])
    text = (flow.show(good, "saltbranch.yaml") or "").replace(', "direct_pushes": "refuse"', "")
    assert "direct_pushes" not in text
    flow.push("master", {"saltbranch.yaml": text})

    for _ in range(2):
        assert strict.sync().code == 4 and serves(strict) == good
    assert json.loads(verb(strict, "status", "--json").out)["model"]["commit"] != flow.head(
        "master"
    )


def test_refused_is_not_what_a_rollback_goes_back_from(strict: Site, flow: FlowSite) -> None:
    first, second = promote(flow), promote(flow)
    strict.sync_here()
    flow.push("master")
    strict.sync_here()
    plan = hold_plan(flow, "rollback", "prod", "--reason", "x")
    assert (plan["serves"], plan["will_serve"]) == (second, first)


def test_a_tag_on_a_refused_commit_is_not_followed(flow: FlowSite, tmp_path: Path) -> None:
    flow.configure(prod={"direct_pushes": "refuse", "follow": {"tags": "^v"}})
    master = new_master(tmp_path, flow, "m1")
    flow.tag("v1", promote(flow))
    assert master.sync_here().exit_code == 0
    good, hand = flow.head("master"), flow.push("master")
    flow.tag("v2", hand)
    assert master.sync_here().exit_code == 4 and serves(master) == good
    flow.well("accept", "prod", "--reason", "x", "--yes")
    assert master.sync_here().exit_code == 0 and serves(master) == hand


def test_what_stage_refuses_is_not_promoted_to_prod(flow: FlowSite) -> None:
    flow.configure(stage={"direct_pushes": "refuse"})
    promote(flow)
    hand = flow.push("stage")
    assert flow.plan("promote", "prod", code=0)["steps"][0]["kind"] == "up-to-date"
    said = flow.refused("promote", "prod", "--commit", hand, "--yes")
    assert "was pushed to stage by hand, which is refused there" in said


def test_loosening_the_rule_by_hand_does_not_let_the_push_through(
    strict: Site, flow: FlowSite
) -> None:
    old = promote(flow)
    strict.sync_here()
    text = (flow.show(old, "saltbranch.yaml") or "").replace("refuse", "allow")
    flow.push("master", {"saltbranch.yaml": text})
    assert strict.sync().code == 4 and serves(strict) == old
    strict.sync_here()
    (strict.root / "state" / "choices").unlink()
    assert strict.sync().code == 4 and serves(strict) == old


def test_nor_does_it_where_there_is_no_journal(flow: FlowSite, tmp_path: Path) -> None:
    flow.configure(prod={"direct_pushes": "refuse"})
    master = new_master(tmp_path, flow, "m1", record=False)
    master.sync_here()
    old = flow.head("master")
    text = (flow.show(old, "saltbranch.yaml") or "").replace("refuse", "allow")
    flow.push("master", {"saltbranch.yaml": text})
    for _ in range(2):
        assert result_of(master.sync_here(), "prod").old == old
    flow.push("stage")
    assert result_of(master.sync_here(), "prod").old == old


def test_turning_refuse_on_takes_nothing_back(flow: FlowSite, tmp_path: Path) -> None:
    flow.configure(prod={"direct_pushes": "allow"})
    master = new_master(tmp_path, flow, "m1")
    promote(flow)
    master.sync_here()
    hand = flow.push("master")
    master.sync_here()
    text = (flow.show(hand, "saltbranch.yaml") or "").replace("allow", "refuse")
    flow.push("develop", {"saltbranch.yaml": text})
    flow.to_prod()
    assert master.sync_here().exit_code == 0
    good = flow.head("master")
    flow.push("master")
    assert master.sync_here().exit_code == 4 and serves(master) == good


def test_a_hold_counts_before_it(strict: Site, flow: FlowSite) -> None:
    old = promote(flow)
    strict.sync_here()
    new = promote(flow)
    strict.sync_here()
    flow.well("hold", "prod", "--at", old, "--reason", "x", "--yes")
    flow.push("master")
    assert strict.sync_here().exit_code == 0 and serves(strict) == old
    flow.well("unhold", "prod", "--yes")
    assert strict.sync_here().exit_code == 4 and serves(strict) == new


# Several that see it, and what is not known


def test_two_masters_at_once_record_it_once(flow: FlowSite, tmp_path: Path) -> None:
    masters = [new_master(tmp_path, flow, f"m{n}") for n in range(3)]
    for site in masters:
        site.sync_here()
    promote(flow)
    for number in range(3):
        flow.push("master")
        running = [site.start() for site in masters]
        assert [process.wait(60) for process in running] == [0, 0, 0]
        for site in masters:
            site.sync_here()
        assert len(pushes(flow)) == number + 1
    ids = [e.id for e in flow.state().events]
    assert len(set(ids)) == len(ids)


def test_a_promotion_whose_event_is_seen_later_is_one(
    master: Site, flow: FlowSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fetch reads the refs one after the other; a push may come in between."""
    promote(flow)
    master.sync_here()
    before = flow.refs()["refs/saltbranch/journal"]
    flow.push("develop")
    flow.promoted("stage")
    new = flow.promoted("prod")
    # The merge alone would tell that it is a promotion; of a fast-forward nothing does.
    plain = flow.remote.commit("master", {}, parents=(new,), message="fast-forwarded")
    record_promotion(flow, kind="promotion", source_commit=new, old=new, new=plain)
    after = flow.refs()["refs/saltbranch/journal"]
    flow.remote.git("update-ref", "refs/saltbranch/journal", before)
    from saltbranch.serve import fetch as fetching

    original, calls = fetching.read, []

    def fetch(*args: Any, **options: Any) -> object:
        calls.append(1)
        if len(calls) == 2:
            flow.remote.git("update-ref", "refs/saltbranch/journal", after)
        return original(*args, **options)

    monkeypatch.setattr(fetching, "read", fetch)
    result = master.sync_here()
    assert [n for n in result.notes if "by hand" in n] == [] and len(calls) == 2
    assert pushes(flow) == [] and serves(master) == plain


def test_a_journal_that_is_not_believed_accuses_nobody(master: Site, flow: FlowSite) -> None:
    promote(flow)
    master.sync_here()
    flow.remote.git("update-ref", "-d", "refs/saltbranch/journal")
    new = flow.push("master")
    result = master.sync_here()
    assert result.exit_code == 4 and [n for n in result.notes if "by hand" in n] == []
    assert result_of(result, "prod").new == new


def test_the_remote_is_read_once_where_nothing_was_pushed_by_hand(
    master: Site, flow: FlowSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    from saltbranch.git.mirror import Mirror

    calls: list[int] = []
    original = Mirror.fetch
    monkeypatch.setattr(Mirror, "fetch", lambda *a, **o: (calls.append(1), original(*a, **o))[1])
    promote(flow)
    master.sync_here()
    assert len(calls) == 1
    flow.push("master")
    master.sync_here()
    master.sync_here()
    assert len(calls) == 4, "one look more, when it is first seen"


# A server that puts a branch back

_PUT_BACK = """
while read old new ref; do
  case $ref in refs/heads/master) git update-ref $ref $old;; esac
done
"""


def test_a_promotion_that_the_server_undid_is_told_and_recorded(
    master: Site, flow: FlowSite
) -> None:
    old = promote(flow)
    master.sync_here()
    flow.hook("post-receive", _PUT_BACK)
    flow.push("develop")
    flow.promoted("stage")
    flow.well("promote", "prod", "--yes")  # the server took it
    assert flow.head("master") == old
    (lost,) = [p.id for p in flow.state().promotions_to("prod") if p.old == old]
    said = flow.well("status").out
    assert f"does not contain what promotion {lost} brought" in said
    ran = master.sync("-q")
    assert (
        ran.code == 0
        and f"what promotion {lost} brought: the server or someone else moved it back" in ran.out
    )
    (push,) = pushes(flow)
    assert push.details["lost"] == [lost] and push.text("good") == old
    assert flow.state().promotion(lost) is None, "it never was"
    assert serves(master) == old and master.sync("-q").out == ""
    assert lost in flow.well("history", "prod").out
    flow.hook("post-receive", "exit 0")
    flow.well("promote", "prod", "--yes")
    master.sync_here()
    assert serves(master) == flow.head("master") != old and len(pushes(flow)) == 1


def test_the_same_promotion_undone_twice_is_told_twice(flow: FlowSite, tmp_path: Path) -> None:
    """A fast-forward has the same commit each time."""
    flow.configure(prod={"mode": "fast-forward"})
    master = new_master(tmp_path, flow, "m1")
    promote(flow)
    master.sync_here()
    flow.hook("post-receive", _PUT_BACK)
    flow.push("develop")
    flow.promoted("stage")
    for number in (1, 2):
        flow.well("promote", "prod", "--yes")
        master.sync_here()
        assert len(pushes(flow)) == number
        assert not flow.state().open_push("master").is_refused  # type: ignore[union-attr]


@pytest.mark.parametrize("record", [True, False])
def test_a_rollback_that_an_undone_promotion_lifted_is_in_force_again(
    flow: FlowSite, tmp_path: Path, record: bool
) -> None:
    master = new_master(tmp_path, flow, "m1", record=record)
    good, _bad = promote(flow), promote(flow)
    flow.well("rollback", "prod", "--reason", "it breaks the app", "--yes")
    master.sync_here()
    assert serves(master) == good
    flow.hook("post-receive", _PUT_BACK)
    flow.push("develop")
    flow.promoted("stage")
    flow.well("promote", "prod", "--yes")
    master.sync_here()
    assert serves(master) == good
    assert "it breaks the app" in verb(master, "status").out
    assert hold_plan(flow, "unhold", "prod", "--reason", "x")["serves"] == good


def test_a_branch_that_an_administrator_reset_is_told_as_that(master: Site, flow: FlowSite) -> None:
    old, new = promote(flow), promote(flow)
    master.sync_here()
    assert serves(master) == new
    flow.remote.set_branch("master", old)
    result = master.sync_here()
    assert any("it was moved back" in n for n in result.notes), result.notes
    (push,) = pushes(flow)
    assert push.details["seen"] is True and push.text("good") == old
    assert [p.new for p in flow.state().promotions_to("prod")] == [old]


def test_a_rewritten_branch_with_new_commits_names_both(flow: FlowSite, tmp_path: Path) -> None:
    flow.configure(prod={"direct_pushes": "refuse"})
    master = new_master(tmp_path, flow, "m1")
    old, new = promote(flow), promote(flow)
    master.sync_here()
    flow.remote.set_branch("master", old)
    hand = flow.push("master")
    result = master.sync_here()
    assert result.exit_code == 4 and result_of(result, "prod").refused == hand
    (push,) = pushes(flow)
    assert push.details["commits"] == [hand] and push.text("good") == new
    assert not flow.contains("master", new) and serves(master) == new, "what was served stays"
    flow.well("accept", "prod", "--reason", "x", "--yes")
    master.sync_here()
    assert serves(master) == hand


def test_another_machine_tells_the_same(flow: FlowSite) -> None:
    """A clone that only reads comes to what a master would record."""
    promote(flow)
    new = flow.push("master")
    first, second = (
        [
            e
            for e in json.loads(flow.well("history", "--json").out)["entries"]
            if e["what"] == "push"
        ]
        for _ in range(2)
    )
    assert first[0]["id"] == second[0]["id"] and first[0]["new"] == new
    assert pushes(flow) == [] and Git(str(flow.remote.path)).commit_or_none(new)


def test_names_of_committers_steer_no_terminal(master: Site, flow: FlowSite) -> None:
    promote(flow)
    head = flow.head("master")
    who = {"GIT_COMMITTER_NAME": "\x1b[2JEve [bold]:key: x", "GIT_COMMITTER_EMAIL": "e@x", "GIT_AUTHOR_NAME": "Eve",
           "GIT_AUTHOR_EMAIL": "e@x"}  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for name, value in who.items():
            patch.setenv(name, value)
        new = flow.remote.git("commit-tree", f"{head}^{{tree}}", "-p", head, "-m", "x")
    flow.remote.set_branch("master", new)
    ran = [verb(master, "sync"), verb(master, "status"), verb(master, "doctor")]
    ran += [
        flow.run("history"),
        flow.run("status"),
        flow.run("accept", "prod", "--reason", "x", "--plan"),
    ]
    for done in ran:
        assert "Eve [bold]:key: x <e@x>" in done.out and "\x1b[2J" not in done.out + done.err


def test_stricter_knows_the_order() -> None:
    assert stricter("allow", "refuse") == "refuse" and stricter("report", "allow") == "report"
    assert stricter("report", "") == "report"


# The model stands on a branch that is promoted to, too


def test_a_refused_push_changes_no_gate_until_it_is_accepted(strict: Site, flow: FlowSite) -> None:
    old = promote(flow)
    strict.sync_here()
    text = (flow.show(old, "saltbranch.yaml") or "").replace(
        '"promote_from": "stage"', '"promote_from": "stage", "gates": ["check"]'
    )
    new = flow.push("master", {"saltbranch.yaml": text})
    flow.push("master")
    for _ in range(2):
        result = strict.sync_here()
        assert result.exit_code == 4
        assert f"that of {flow.head('master')[:12]} does not count: it was pushed by hand" in (
            result.model_problem
        )
    flow.push("develop")
    gates = flow.gates("promote", "stage")
    assert "check" not in gates and gates["model"][0] == "fail", gates
    flow.well("accept", "prod", "--reason", "x", "--yes")
    result = strict.sync_here()
    assert (result.exit_code, result.model_problem) == (0, "") and flow.contains("master", new)
    flow.promoted("stage")
    assert "check" in flow.gates("promote", "prod")


@pytest.mark.parametrize("record", [True, False])
def test_a_protected_production_that_was_put_back_can_be_promoted_to_again(
    flow: FlowSite, tmp_path: Path, record: bool
) -> None:
    flow.configure(prod={"protected": True})
    master = new_master(tmp_path, flow, "m1", record=record)
    old = promote(flow)
    master.sync_here()
    flow.hook("post-receive", _PUT_BACK)
    text = (flow.show(old, "saltbranch.yaml") or "").replace(
        '"promote_from": "stage"', '"promote_from": "stage", "gates": ["ticket"]'
    )
    flow.push("develop", {"saltbranch.yaml": text})
    flow.promoted("stage")
    flow.well("promote", "prod", "--yes")
    result = master.sync_here()
    assert (result.exit_code, result.model_problem) == (0, "") and serves(master) == old
    assert "ticket" not in flow.gates("promote", "prod"), (
        "the model of what never was counts nowhere"
    )
    assert new_master(tmp_path, flow, "m2").sync_here().exit_code == 0
    flow.hook("post-receive", "exit 0")
    flow.well("promote", "prod", "--yes")
    result = master.sync_here()
    assert (result.exit_code, result.model_problem) == (0, "")
    assert serves(master) == flow.head("master") != old


# What was refused


def test_rollback_passes_over_what_was_refused_here(master: Site, flow: FlowSite) -> None:
    good = promote(flow)
    assert result_of(master.sync_here(), "prod").new == good
    flow.push("develop", {"salt/out": Link("/etc/shadow")}, "KEY-9 Out of the tree")
    bad = flow.to_prod()
    assert result_of(master.sync_here(), "prod").state == "refused"
    held = ("hold", "prod", f"--at={bad}", "--reason", "x", "--plan", "--json")
    planned = json.loads(verb(master, *held).out)
    assert (planned["serves"], planned["will_serve"]) == (good, bad)
    flow.push("develop", {"salt/out": None}, "KEY-9 Back")
    fixed = flow.to_prod()
    assert result_of(master.sync_here(), "prod").new == fixed

    words = ("rollback", "prod", "--reason", "x", "--plan", "--json")
    found = json.loads(verb(master, *words).out)

    assert (found["serves"], found["will_serve"]) == (fixed, good)
    assert bad not in (good, fixed)


def test_what_was_refused_and_then_held_is_no_longer_refused(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    root, one, other = str(tmp_path), ("prod", "a" * 40), ("test", "b" * 40)

    refused.note(root, [(*one, "why\tso\n"), (*other, ""), (*one, "why\tso\n")], [])
    assert refused.load(root, "prod") == {"a" * 40}
    assert refused.why(root, *one) == "why so" and refused.why(root, "prod", "b" * 40) is None
    refused.note(root, [], [one])

    assert refused.load(root, "prod") == frozenset()
    assert refused.load(root, "test") == {"b" * 40}


def test_a_torn_list_of_what_was_refused_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    Path(refused.path(str(tmp_path))).write_bytes(b"prod\nprod\t\n\xff\ntest\t" + b"c" * 40)

    assert refused.load(str(tmp_path), "prod") == frozenset()
    assert refused.load(str(tmp_path), "test") == {"c" * 40}


# rollback after pull requests that the server merged


def request(flow: FlowSite) -> str:
    """A pull request for prod of something new; its branch."""
    flow.push("develop")
    flow.promoted("stage")
    flow.well("promote", "prod", "--via", "branch", "--yes")
    (ref,) = [r for r in flow.refs() if r.startswith("refs/heads/promote/prod/")]
    return ref.removeprefix("refs/heads/")


def rolled_back(flow: FlowSite) -> str:
    """What prod would serve after one rollback."""
    found: str = hold_plan(flow, "rollback", "prod", "--reason", "x")["will_serve"]
    return found


@pytest.mark.parametrize("when", ["before the request", "before the merge"])
def test_rollback_of_a_pull_request_goes_to_the_push_by_hand_before_it(
    master: Site, flow: FlowSite, when: str
) -> None:
    promoted = promote(flow)
    master.sync_here()
    if when == "before the merge":
        branch = request(flow)
    hand = flow.push("master")
    assert result_of(master.sync_here(), "prod").new == hand
    if when == "before the request":
        branch = request(flow)
    merged = flow.remote.merge(branch, "master")
    assert result_of(master.sync_here(), "prod").new == merged

    assert rolled_back(flow) == hand, "one step"
    flow.well("rollback", "prod", "--reason", "x", "--yes")
    assert result_of(master.sync_here(), "prod").new == hand
    # The rollback has written the pull request into the journal, behind the push.
    assert rolled_back(flow) == promoted


def test_rollback_of_a_push_by_hand_goes_to_the_pull_request_before_it(
    master: Site, flow: FlowSite
) -> None:
    promote(flow)
    merged = flow.remote.merge(request(flow), "master")
    master.sync_here()
    hand = flow.push("master")
    master.sync_here()
    assert rolled_back(flow) == merged
    flow.well("hold", "stage", "--reason", "writes what the journal lacks", "--yes")
    assert flow.kinds()[-3:-1] == ["sync", "promotion"] and flow.contains("master", hand)
    assert rolled_back(flow) == merged


def test_rollback_of_a_pull_request_goes_to_the_promotion_that_came_while_it_waited(
    master: Site, flow: FlowSite
) -> None:
    promote(flow)
    branch = request(flow)
    between = promote(flow)
    master.sync_here()
    flow.push("stage", subject="more for the request")
    head = flow.remote.commit(branch, {"salt/more.sls": "more:\n  test.nop: []\n"}, message="More")
    merged = flow.remote.merge(branch, "master")
    assert flow.contains("master", head) and result_of(master.sync_here(), "prod").new == merged
    assert rolled_back(flow) == between


def test_rollback_under_allow_goes_to_what_the_branch_was(flow: FlowSite, tmp_path: Path) -> None:
    flow.configure(prod={"direct_pushes": "allow"})
    master = new_master(tmp_path, flow, "m1")
    promote(flow)
    branch = request(flow)
    hand = flow.push("master")
    master.sync_here()
    merged = flow.remote.merge(branch, "master")
    assert result_of(master.sync_here(), "prod").new == merged
    assert rolled_back(flow) == hand


def test_rollback_of_a_pull_request_past_a_refused_push_goes_to_what_was_served(
    strict: Site, flow: FlowSite
) -> None:
    promoted = promote(flow)
    strict.sync_here()
    branch = request(flow)
    flow.push("master")
    assert strict.sync().code == 4
    merged = flow.remote.merge(branch, "master")
    assert result_of(strict.sync_here(), "prod").new == merged
    assert rolled_back(flow) == promoted


def test_rollback_of_what_was_pushed_under_a_rollback_goes_to_what_was_held(
    master: Site, flow: FlowSite
) -> None:
    good, bad = promote(flow), promote(flow)
    flow.well("rollback", "prod", "--reason", "bad", "--yes")
    master.sync_here()
    assert serves(master) == good
    fix = flow.push("master")
    master.sync_here()
    flow.well("unhold", "prod", "--reason", "fixed by hand", "--yes")
    assert result_of(master.sync_here(), "prod").new == fix
    assert rolled_back(flow) == good != bad


def test_rollback_of_a_pull_request_that_ended_a_rollback_goes_to_what_was_held(
    master: Site, flow: FlowSite
) -> None:
    good = promote(flow)
    promote(flow)
    branch = request(flow)
    flow.well("rollback", "prod", "--reason", "bad", "--yes")
    master.sync_here()
    flow.remote.merge(branch, "master")
    flow.well("hold", "stage", "--reason", "writes what the journal lacks", "--yes")
    master.sync_here()
    assert serves(master) == flow.head("master") and rolled_back(flow) == good


# hold and accept where a push by hand is refused


def refusing_by_hand(flow: FlowSite, tmp_path: Path, *, record: bool) -> tuple[Site, str]:
    """Pushes were allowed, one is served, and the next one turns `refuse` on; the master and what it serves."""
    flow.configure(prod={"direct_pushes": "allow"})
    master = new_master(tmp_path, flow, "m1", record=record)
    promote(flow)
    hand = flow.push("master")
    master.sync_here()
    text = (flow.show(hand, "saltbranch.yaml") or "").replace("allow", "refuse")
    flow.push("master", {"saltbranch.yaml": text})
    flow.push("master")
    master.sync_here()
    master.sync_here()
    return master, hand


@pytest.mark.parametrize("record", [True, False])
def test_a_freeze_holds_what_is_served_or_says_that_it_is_not_known(
    flow: FlowSite, tmp_path: Path, record: bool
) -> None:
    master, _ = refusing_by_hand(flow, tmp_path, record=record)
    now = serves(master)
    assert now not in (None, flow.head("master"))
    here = json.loads(verb(master, "hold", "prod", "--reason", "x", "--plan", "--json").out)
    assert here["will_serve"] == now
    if record:
        assert hold_plan(flow, "hold", "prod", "--reason", "x")["will_serve"] == now
        return
    said = flow.refused("hold", "prod", "--reason", "x", "--yes")
    assert "what prod serves is not known here" in said and "--at " in said
    plan = hold_plan(flow, "hold", "prod", "--at", str(now), "--reason", "x")
    assert plan["will_serve"] == now


@pytest.mark.parametrize("what", ["changed", "broken", "gone"])
def test_accept_says_which_model_comes_into_force(strict: Site, flow: FlowSite, what: str) -> None:
    old = promote(flow)
    strict.sync_here()
    text = flow.show(old, "saltbranch.yaml") or ""
    model = {
        "changed": text.replace("prod*", "web*").replace('"refuse"', '"report"'),
        "broken": "saltenvs: [",
        "gone": None,
    }
    flow.push("master", {"saltbranch.yaml": model[what]})
    assert strict.sync_here().exit_code == 4
    note = str(hold_plan(flow, "accept", "prod", "--reason", "x")["note"])
    said = {
        "changed": "saltbranch.yaml changes, and comes into force with it: prod.minions, prod.direct_pushes",
        "broken": "saltbranch.yaml of it is not valid, so that of",
        "gone": "it takes saltbranch.yaml away: that of",
    }
    assert said[what] in note and "by hand" in note
    flow.push("master", {"saltbranch.yaml": text})
    assert "saltbranch.yaml" not in hold_plan(flow, "accept", "prod", "--reason", "x")["note"]
