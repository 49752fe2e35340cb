"""Killed at every step of a sync that finds a push by hand: it is recorded once all the same."""

from __future__ import annotations

import pytest

from tests.serve.test_switch_crash import ANY, Crash
from tests.support.kill_server import KillServer
from tests.support.remote import Remote
from tests.support.site import Journal, Site, result_of


@pytest.fixture
def telling(site: Site, remote: Remote) -> Site:
    """A master with stage alone, to which something was promoted, that tells the journal."""
    site.keep_only("test", "stage")
    site.settings["saltenvs"]["stage"]["promote_from"] = "test"
    site.configure(record_syncs=True)
    head = remote.head("stage")
    Journal(remote).add(
        "promotion", saltenv="stage", branch="stage", source="test", source_commit=head,
        old=remote.head("master"), new=head,
    )  # fmt: skip
    site.sync_well()
    return site


def test_killed_at_every_step_of_a_push_by_hand(
    telling: Site, remote: Remote, server: KillServer
) -> None:
    journal = Journal(remote)
    crash = Crash(telling, server, "sync", "--quiet", "--config", str(telling.config))
    for turn, number in crash.calls(16):
        old = remote.head("stage")
        new = remote.commit("stage", {"salt/n.sls": f"{turn}\n"})
        killed = crash.is_killed(ANY, number)
        telling.assert_serves("stage", old, new)
        result = telling.sync_here(wait=30)
        assert result.exit_code == 0, [s.message for s in result.saltenvs]
        assert result_of(result, "stage").new == new
        told = [(e.text("old"), e.text("new")) for e in journal.events("push")]
        assert told[-1] == (old, new) and len(told) == turn + 1, (number, crash.steps()[-1])
        assert not telling.sync_here().changed
        if turn and not killed:
            assert number > 40
            return
