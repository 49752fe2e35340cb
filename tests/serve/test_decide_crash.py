"""Killed at every step of what holds, tags and the journal add to a sync."""

from __future__ import annotations

import json

import pytest

from saltbranch.journal import events, pending_holds
from saltbranch.journal import state as journal_state
from tests.serve.test_switch_crash import ANY, Crash
from tests.support.kill_server import KillServer
from tests.support.remote import Remote
from tests.support.site import Journal, Site, result_of


@pytest.fixture
def telling(site: Site, remote: Remote) -> Site:
    """A master with prod alone, protected and following tags, that tells the journal."""
    site.keep_only("prod")
    site.settings["saltenvs"]["prod"]["follow"] = {"tags": "^v"}
    site.configure(record_syncs=True)
    remote.git("tag", "v1", remote.head("master"))
    assert site.sync_here().exit_code == 0
    return site


def told(journal: Journal) -> str:
    """What the journal says that prod serves, on the one master."""
    found = journal.events()
    assert len({e.id for e in found}) == len(found)
    (residence,) = journal_state.replay(found).serving("prod").values()
    return residence.commit


def recover(site: Site, journal: Journal, wanted: str) -> None:
    """The next sync, which nobody helps, serves what is wanted and the journal knows it."""
    result = site.sync_here(wait=30)
    assert result.exit_code == 0, [s.message for s in result.saltenvs]
    site.assert_serves("master", wanted)
    assert told(journal) == wanted
    assert not (site.root / "state" / "unreported").exists()
    assert not site.sync_here().changed


def test_killed_at_every_step_of_holds_tags_and_reports(
    telling: Site, remote: Remote, server: KillServer
) -> None:
    journal = Journal(remote)
    crash = Crash(telling, server, "sync", "--quiet", "--config", str(telling.config))
    old = remote.head("master")
    for turn, number in crash.calls(16):
        if turn % 3 == 0:  # a tag, a hold beside the branch, and home again
            new = head = remote.commit("master", {"salt/new.sls": f"{turn}\n"})
            remote.git("tag", f"v2.{turn}", head)
        elif turn % 3 == 1:
            new = remote.commit("fix", {"salt/f.sls": f"{turn}\n"}, parents=(head,), tree=head)
            journal.hold("prod", new)
            remote.delete_branch("fix")
        else:
            journal.add("unhold", saltenv="prod")
            new = head
        killed = crash.is_killed(ANY, number)
        telling.assert_serves("master", old, new)
        recover(telling, journal, new)
        old = new
        if turn and not killed:
            assert number > 40
            assert remote.git("fsck", "--strict") == ""
            return


def test_killed_at_every_step_of_a_hold_without_the_remote(
    served: Site, remote: Remote, server: KillServer
) -> None:
    journal = Journal(remote)
    commits = [remote.head("master")]
    commits += [remote.commit("master", {"salt/new.sls": f"{n}\n"}) for n in range(2)]
    served.sync_well()
    old = commits[2]
    crash = Crash(served, server)
    for turn, number in crash.calls(8):
        new = commits[turn % 3]
        if new == old:
            new = commits[(turn + 1) % 3]
        details = json.dumps({"saltenv": "prod", "commit": new, "reason": "no network"})
        crash.command = ("hold-locally", str(served.config), details)
        before = len(journal.events())
        away = remote.path.rename(remote.path.with_name("away.git"))
        killed = crash.is_killed(ANY, number)
        recorded = pending_holds.load(str(served.root))
        assert served.sync("--wait", "30").code == 1  # no remote, but what is recorded counts
        away.rename(remote.path)
        wanted = new if recorded else old
        served.assert_serves("master", wanted)
        assert result_of(served.sync_here(wait=30), "prod").state == "unchanged"
        served.assert_serves("master", wanted)
        assert len(journal.events()) == before + len(recorded)
        assert pending_holds.load(str(served.root)) == []
        old = wanted
        if turn and not killed:
            assert number > 15 and recorded
            return


def test_killed_at_every_step_of_publishing_a_hold(
    served: Site, remote: Remote, server: KillServer
) -> None:
    journal = Journal(remote)
    crash = Crash(served, server, "sync", "--quiet", "--config", str(served.config))
    head = remote.head("master")
    for turn, number in crash.calls(12):
        made = journal.hold("stage", remote.head("stage")) if turn % 2 else None
        held = events.Event("hold", f"id-{turn}", 1.0, "Ann <a@b>", {
            "saltenv": "prod", "commit": head, "reason": "x",
        })  # fmt: skip
        pending_holds.add(str(served.root), held)
        killed = crash.is_killed(ANY, number)
        result = served.sync_here(wait=30)
        assert result.exit_code == 0
        found = [e.id for e in journal.events()]
        assert found.count(held.id) == 1 and (made is None or made.id in found)
        assert pending_holds.load(str(served.root)) == []
        assert result_of(served.sync_here(), "prod").why == "hold"
        if turn and not killed:
            assert number > 15
            return
