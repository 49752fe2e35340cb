"""apply on the shared salt-master with one minion."""

from __future__ import annotations

import json

from tests.support.running import Master


def test_a_minion_is_applied_to(master: Master) -> None:
    site = master.site
    planned = site.run("apply", "test", "--plan")
    assert planned.code == 3, planned
    assert "1 minion in 1 batch: 1" in planned.out
    assert not list((site.root / "state").glob("applies/2*"))
    done = site.run("apply", "test", "--yes", "--json")
    assert done.code == 0, done
    end = json.loads(done.out.splitlines()[-1])
    assert end["status"] == "done" and end["passes"][0]["counts"] == {"applied": 1}
    assert end["commit"] == site.remote.head("develop")
    told = site.run("apply", "test", "--status")
    assert "done" in told.out and "1 applied" in told.out
    again = site.run("apply", "--resume", end["id"])
    assert again.code == 4 and "is done" in again.err
    assert not (site.root / "state" / "applies" / "lease-develop").exists()


def test_a_saltenv_without_minions_and_words_that_mean_nothing(master: Master) -> None:
    done = master.site.run("apply", "prod", "--yes")
    assert done.code == 0 and "no minion to apply to" in done.out
    assert master.site.run("apply", "nope").code == 2
    assert master.site.run("apply").code == 2
    assert master.site.run("apply", "test", "--batch", "0").code == 2
    assert master.site.run("apply", "--resume", "../x").code == 2
    assert master.site.run("apply", "test", "--pause", "ask").code == 2
