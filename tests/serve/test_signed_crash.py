"""Killed at any step: nothing unsigned is ever served, and the next sync needs no help."""

from __future__ import annotations

from pathlib import Path

from saltbranch.serve import signed
from tests.serve.test_signed import SignedSite, change
from tests.serve.test_switch_crash import ANY, Crash
from tests.support.kill_server import KillServer


def test_a_sync_that_is_killed_serves_nothing_unsigned(tmp_path: Path, server: KillServer) -> None:
    master = SignedSite(tmp_path, "stage", "prod")
    master.begin()
    crash = Crash(master.site, server, "sync", "--config", str(master.site.config))
    crash.command = (*crash.command, "stage")
    for call, let_through in crash.calls(5):
        before = master.served("stage")
        head = master.by.commit("stage", change(2 * call), "ann", parents=(before,))
        good = crash.run(ANY, let_through) == 0
        master.site.assert_serves("stage", before, head)
        master.begin()
        assert master.served("stage") == head
        assert signed.load(str(master.site.root), "stage").accepted == head
        bad = master.by.commit("stage", change(2 * call + 1))
        # An unsigned one is refused, which is not 0: only a kill ends it in another way.
        server.run(crash.log, ANY, let_through, *crash.command)
        master.site.assert_serves("stage", head)
        master.refused("stage", "stage", bad[:12])
        if good and call:
            break
