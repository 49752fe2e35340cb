"""hold --all and unhold --all: the emergency stop."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from saltbranch.git.mirror import JOURNAL_REF
from tests.support.flow_site import FlowSite, shown
from tests.support.remote import Remote
from tests.support.site import Journal, Site

STOP = ("hold", "--all", "--reason", "incident 4711", "--yes")


def held_at(flow: FlowSite, saltenv: str = "prod") -> str | None:
    hold = flow.state().hold(saltenv, time.time())
    return hold.commit if hold else None


def heads(flow: FlowSite) -> dict[str, str]:
    return {
        s: flow.head(b) for s, b in (("test", "develop"), ("stage", "stage"), ("prod", "master"))
    }


def test_everything_stays_and_no_promotion_goes_through(flow: FlowSite) -> None:
    flow.push("develop")
    before, branches = heads(flow), {r: c for r, c in flow.refs().items() if "heads" in r}
    ran = flow.well(*STOP)
    assert shown(ran.out) == (
        "hold --all: 3 saltenvs\n  test goes on serving HASH\n  stage goes on serving HASH\n"
        "  prod goes on serving HASH\n  reason: incident 4711\n"
        "hold --all: recorded as ID; every master follows at its next sync\n"
    )
    assert {s: held_at(flow, s) for s in before} == before
    assert {r: c for r, c in flow.refs().items() if "heads" in r} == branches
    assert flow.kinds() == ["hold"], "one event for all"
    said = flow.refused("promote", "stage", "--yes")
    assert "hold: fail: all saltenvs are held by Ann <ann@example.com> (incident 4711)" in said
    flow.push("develop")
    flow.well("unhold", "--all", "--yes", "--reason", "over")
    assert held_at(flow, "test") is None
    flow.promoted("stage")


def test_a_single_one_is_not_let_go_meanwhile(flow: FlowSite) -> None:
    flow.well(*STOP)
    said = flow.refused("unhold", "prod", "--yes")
    assert "prod is held with all other saltenvs, by Ann <ann@example.com> (incident 4711)" in said
    assert "saltbranch unhold --all" in said
    flow.well("hold", "prod", "--reason", "stays", "--yes")
    ran = flow.run("unhold", "--all", "--plan")
    assert (ran.code, "prod goes on serving" in ran.out, "(stays held: stays)" in ran.out) == (
        3,
        True,
        True,
    )
    flow.well("unhold", "--all", "--yes")
    assert (held_at(flow), held_at(flow, "test")) == (flow.head("master"), None)


def test_the_way_out_that_is_named_is_one(flow: FlowSite) -> None:
    flow.well(*STOP)
    said = " ".join(flow.plan("promote", "stage")["notes"])
    assert "saltbranch unhold --all lets it follow again" in said


def test_a_rollback_meanwhile_counts_and_the_stop_still_stops(flow: FlowSite) -> None:
    before = flow.head("master")
    flow.push("develop")
    bad = flow.to_prod()
    flow.well(*STOP)
    flow.well("rollback", "prod", "--reason", "KEY-9 breaks", "--yes")
    assert held_at(flow) == before
    flow.push("stage")
    said = flow.refused("promote", "prod", "--commit", "stage", "--yes")
    assert "all saltenvs are held" in said, "a promotion would lift a rollback, but not this"
    flow.well("unhold", "prod", "--yes", "--reason", "it was another")
    assert held_at(flow) == bad, "what the stop holds"


def test_a_hotfix_goes_on_top_and_is_not_lost_when_the_stop_ends(flow: FlowSite) -> None:
    flow.push("develop")
    flow.to_prod()
    flow.well(*STOP)
    flow.well("hotfix", "start", "1.0.1")
    fix = flow.commit({"salt/fix.sls": "fix\n"}, "KEY-9 Fix")
    flow.well("hotfix", "finish", "--yes")
    assert held_at(flow) == fix
    assert held_at(flow, "test") != flow.head("develop"), "the back-merge waits, too"
    flow.well("unhold", "--all", "--yes")
    assert flow.contains("master", fix)


@pytest.mark.parametrize(
    "words",
    [("hold", "--reason", "r"), ("hold", "prod", "--all", "--reason", "r"), ("unhold",),
     ("unhold", "prod", "--all"), ("hold", "--all", "--at", "master", "--reason", "r"),
     ("hold", "--all"), ("hold", "--all", "--reason", " ")],
)  # fmt: skip
def test_wrong_usage(flow: FlowSite, words: tuple[str, ...]) -> None:
    flow.refused(*words, "--yes", code=2)


def test_without_one_there_is_nothing_to_end(flow: FlowSite) -> None:
    flow.well("hold", "prod", "--reason", "r", "--yes")
    assert "there is no hold of all saltenvs" in flow.refused("unhold", "--all", "--yes")


def test_somebody_promotes_in_the_very_moment(flow: FlowSite) -> None:
    """What was agreed to is asked for anew: the stop names what is served then."""
    flow.push("develop")
    once = flow.race(JOURNAL_REF, flow.prepared("unhold", saltenv="stage"))
    flow.well(*STOP)
    assert once.exists()
    assert flow.kinds() == ["unhold", "hold"]


def test_status_history_and_where_tell_it_once(flow: FlowSite) -> None:
    flow.push("develop")
    flow.well(*STOP)
    told = flow.well("status").out
    assert told.count("all saltenvs are held: incident 4711 (Ann <ann@example.com>)") == 1
    assert told.count("held at") == 3
    told = flow.well("history").out
    assert told.count("incident 4711") == 1
    assert "hold      all saltenvs" in told
    for saltenv in ("test", "prod"):
        rows = json.loads(flow.well("history", saltenv, "--json").out)["entries"]
        assert [(r["what"], r["all"]) for r in rows if r["all"]] == [("hold", True)]
    new = flow.push("develop")
    assert flow.well("where", new).out.count("incident 4711") == 1


# on masters


def test_a_master_honours_it_and_again_what_came_after(served: Site, remote: Remote) -> None:
    before = {b: remote.head(b) for b in ("develop", "stage", "master")}
    rows = [
        {"saltenv": s, "commit": before[b]} for s, b in (("test", "develop"), ("prod", "master"))
    ]
    journal = Journal(remote)
    journal.add("hold", all=True, saltenvs=rows, reason="fire")
    new = {b: remote.commit(b, {"salt/new.sls": "new:\n  test.nop: []\n"}) for b in before}
    served.sync_here()
    served.assert_serves("develop", before["develop"])
    served.assert_serves("master", before["master"])
    served.assert_serves("stage", new["stage"])  # nobody said what it is held at
    assert not served.sync_here().changed
    journal.add("unhold", all=True)
    served.sync_well()
    for branch, commit in new.items():
        served.assert_serves(branch, commit)


def test_at_once_where_the_remote_is_away(served: Site, remote: Remote, tmp_path: Path) -> None:
    before = {b: remote.head(b) for b in ("develop", "stage", "master")}
    away = tmp_path / "away.git"
    remote.path.rename(away)
    config = ("--config", str(served.config), "--yes")
    assert served.run_here("hold", "--all", "--reason", "fire", *config).code != 0
    ran = served.run_here("hold", "--all", "--reason", "fire", "--local", *config)
    assert ran.code == 0, ran
    away.rename(remote.path)
    for branch in before:
        remote.commit(branch, {"salt/new.sls": "new:\n  test.nop: []\n"})
    ran = served.sync()
    assert ran.code == 0, ran
    assert "published: hold of all saltenvs" in ran.out
    for branch, commit in before.items():
        served.assert_serves(branch, commit)
    assert [e.kind for e in Journal(remote).events()] == ["hold"]
    told = served.run_here("status", "--config", str(served.config)).out
    assert told.count("all saltenvs are held: fire") == 1
    remote.path.rename(away)
    ran = served.run_here("unhold", "--all", "--local", *config)
    assert ran.code == 0, ran
    away.rename(remote.path)
    served.sync_well()
    for branch in before:
        served.assert_serves(branch, remote.head(branch))
