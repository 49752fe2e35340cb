"""apply on the shared salt-master with one minion."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

from saltbranch.apply.engine import Engine, Stop
from saltbranch.apply.follow import Follower
from saltbranch.apply.outcome import APPLIED, GONE, Outcome
from saltbranch.apply.run_state import Pass, Record
from saltbranch.repository.workplace import open_machine
from saltbranch.salt_master.jobs import Jobs
from saltbranch.verify.seams import ModelSeams
from tests.support.running import Master
from tests.support.site import run


def test_a_minion_is_applied_to(master: Master) -> None:
    site = master.site
    before = sorted((site.root / "state").glob("applies/2*"))
    planned = site.run("apply", "test", "--plan")
    assert planned.code == 3, planned
    assert "1 minion in 1 batch: 1" in planned.out
    assert sorted((site.root / "state").glob("applies/2*")) == before
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
    assert not list((master.site.root / "state" / "applies").glob("lease-*"))  # nobody waits for it
    assert master.site.run("apply", "nope").code == 2
    assert master.site.run("apply").code == 2
    assert master.site.run("apply", "test", "--batch", "0").code == 2
    assert master.site.run("apply", "--resume", "../x").code == 2
    assert master.site.run("apply", "test", "--pause", "ask").code == 2


def test_killed_between_the_id_of_a_job_and_the_job(master: Master) -> None:
    site = master.site
    publish = "saltbranch.salt_master.jobs:Jobs.publish"
    argv = [sys.executable, "-m", "tests.support.die_at", "before", publish, "0"]
    killed = run([*argv, "apply", "--config", str(site.config), "test", "--yes", "--json"])
    assert killed.code == -signal.SIGKILL, killed
    rows = json.loads(site.run("status", "--json").out)["saltenvs"]
    found = next(row["apply"] for row in rows if row["saltenv"] == "test")
    (minion,) = found["running"]
    assert (found["state"], found["batch"], found["step"]) == ("killed", 1, "apply")
    ((kept, before),) = _outcomes(site.root / "state" / "applies" / found["id"])
    done = site.run("apply", "test", "--yes", "--json")
    assert done.code == 0, done
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert (lines[0]["event"], lines[0]["id"]) == ("resume", found["id"])
    after = lines[-1]["passes"][0]["minions"][minion]
    # It is the very job that was written down, so it runs once.
    assert (kept, after["state"], after["jid"]) == (minion, "applied", before["jid"])
    rows = json.loads(site.run("status", "--json").out)["saltenvs"]
    row = next(row for row in rows if row["saltenv"] == "test")
    assert row["apply"] is None and (row["applied"]["applied"], row["applied"]["of"]) == (1, 1)
    assert row["applied"]["commit"] == row["served"]["commit"]


def _outcomes(path: Path) -> list[tuple[str, dict[str, str]]]:
    return list(json.loads(path.read_text())["passes"][0]["outcomes"].items())


def test_what_returned_late_counts(master: Master, tmp_path: Path) -> None:
    work = open_machine(str(master.site.config), fetch=False)
    saltenv = work.config.saltenv("test")
    with Jobs(work.config.salt_config) as jobs:
        (minion,) = jobs.up(jobs.accepted())
        jid = jobs.publish([minion], "state.apply", kwargs={"test": False})
        assert jobs.wait(jid, [minion], timeout=90)
        lost = Outcome(GONE, "it does not answer", jid=jid)
        run_ = Pass("apply", "a" * 40, [[minion, "other"]], {minion: lost, "other": lost}, at=1)
        mine = Record(
            id="20260101T000000Z-0a1b2c3d", saltenv="test", dirname="develop", by="Ann", since=1.0,
            options={}, skipped={}, passes=[run_],
        )  # fmt: skip
        engine = Engine(
            jobs, mine, str(tmp_path), seams=ModelSeams(work.config, saltenv, jobs, work.programs),
            tell=lambda event: None, renew=lambda: None, stop=Stop(str(tmp_path), mine.id),
        )  # fmt: skip
        engine._take_late(run_)
    assert run_.of(minion).state == APPLIED and "late: it does not answer" in run_.of(minion).reason
    assert run_.of("other").state == GONE


def test_a_job_that_the_job_cache_may_have_forgotten_is_not_published_again(master: Master) -> None:
    work = open_machine(str(master.site.config), fetch=False)
    with Jobs(work.config.salt_config) as jobs:
        for jid in ("20260101000000000001", "99990101000000000001"):
            lost = Follower(jobs, {}, timeout=60).run(
                [], lambda one, jid: None, under_way={jid: jobs.accepted()}
            )
            assert [o.state for o in lost.values()] == [GONE] and not jobs.is_published(jid)
