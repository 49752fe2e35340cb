"""What `status` tells of applies: what minions run, and which apply is not over."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from saltbranch.actions.shared import served_elsewhere
from saltbranch.actions.status_applies import applied
from saltbranch.apply import run_state
from saltbranch.apply.outcome import APPLIED, FAILED, RUNNING, SKIPPED, Outcome
from saltbranch.apply.run_state import Pass, Record
from saltbranch.base import files
from saltbranch.repository.workplace import open_machine
from saltbranch.serve import leased
from saltbranch.serve.leased import Lease
from tests.cli.test_json_shapes import conforms
from tests.support.site import Journal, Site

A, B = "a" * 40, "b" * 40
FIRST, SECOND = "20260101T000000Z-0a1b2c3d", "20260102T000000Z-0a1b2c3d"


def record(commit: str, name: str = FIRST, **changes: Any) -> Record:
    values = {
        "id": name, "saltenv": "prod", "dirname": "master", "by": "Ann", "since": 1.0,
        "options": {}, "skipped": {}, "passes": [Pass("apply", commit, [["web1"], ["web2"]], {})],
        "ended": 86400.0, "status": "done", **changes,
    }  # fmt: skip
    return Record(**values)


def test_what_came_last_of_each_minion_counts() -> None:
    old, new = record(A), record(B, SECOND, ended=2 * 86400.0)
    old.first.outcomes = {m: Outcome(APPLIED) for m in ("web1", "web2", "gone")}
    new.first.outcomes = {"web1": Outcome(APPLIED), "web3": Outcome(FAILED, "bad")}
    found = applied([new, old], {"web1", "web2", "web3", "never"})
    assert found == {
        "commit": B, "applied": 1, "of": 4, "since": "1970-01-03T00:00:00Z",
        "others": {
            "never": "nothing applied from here", "web2": f"applied at {A[:12]}",
            "web3": f"failed at {B[:12]}",
        },
    }  # fmt: skip


def test_who_was_left_out_is_a_straggler_unless_nothing_would_change() -> None:
    old, new = record(A), record(B, SECOND, ended=2 * 86400.0)
    old.first.outcomes = {m: Outcome(APPLIED) for m in ("web1", "web2", "web3", "web4")}
    old.skipped = {"web5": "down"}
    new.first.outcomes = {"web1": Outcome(APPLIED), "web2": Outcome(SKIPPED, "lent to lab1")}
    new.skipped = {"web3": "nothing would change", "web4": "do\x1bwn", "web6": "down"}
    found = applied([new, old], {f"web{number}" for number in range(1, 7)})
    assert found and (found["applied"], found["of"]) == (2, 6)
    assert found["others"] == {
        "web2": f"applied at {A[:12]}, left out: lent to lab1",
        "web4": f"applied at {A[:12]}, left out: do\ufffdwn",
        "web5": "nothing applied from here",
        "web6": "nothing applied from here, left out: down",
    }


def test_the_plan_tells_of_other_masters_and_of_what_is_to_be_served(site: Site) -> None:
    site.configure(record_syncs=True)
    site.sync_well()
    old = str(site.remote.head("master"))

    def noted() -> tuple[str, ...]:
        work = open_machine(str(site.config), fetch=False)
        return served_elsewhere.notes(work, work.config.saltenv("prod"), old)

    assert noted() == ()
    new = site.remote.commit("master", {"salt/new.sls": "new:\n  test.nop: []\n"})
    for master, commit in (("m2", old), ("m3", new), ("m4\x1b", new)):
        row = {"saltenv": "prod", "branch": "master", "old": None, "new": commit, "why": "branch"}
        Journal(site.remote).add(
            "sync", master=master, root="x", serves=["prod"],
            saltenvs=[{**row, "time": "2026-01-01T00:00:00Z"}],
        )  # fmt: skip
    site.run_here("sync", "test", "--config", str(site.config))
    behind, others, odd = noted()
    assert behind == (
        f"prod is to serve {new[:12]}, which this master does not yet: saltbranch sync prod"
    )
    assert others.endswith(": m2, m3") and odd.endswith(f": m3 ({new[:12]})")


def test_a_rollback_counts_after_what_it_takes_back() -> None:
    mine = record(B)
    mine.first.outcomes = {"web1": Outcome(APPLIED), "web2": Outcome(FAILED)}
    mine.passes.append(Pass("rollback", A, [["web1"], ["web2"]], {"web1": Outcome(APPLIED)}))
    found = applied([mine], ["web1", "web2"])
    assert found and (found["commit"], found["applied"]) == (A, 1)
    assert found["others"] == {"web2": f"failed at {B[:12]}"}


def test_where_nothing_was_applied() -> None:
    mine = record(B)
    assert applied([], ["web1"]) is None and applied([mine], ["web1"]) is None
    mine.first.outcomes = {"web1": Outcome(RUNNING)}
    assert applied([mine], ["web1"]) is None


@pytest.fixture
def prod(site: Site) -> Site:
    site.configure()
    site.sync_well()
    return site


def row(site: Site) -> dict[str, Any]:
    ran = site.run_here("status", "--config", str(site.config), "--json")
    found = conforms("status", json.loads(ran.out))
    return dict(next(r for r in found["saltenvs"] if r["saltenv"] == "prod"))


def shown(site: Site) -> str:
    return site.run_here("status", "--config", str(site.config)).out


def test_an_apply_that_goes_on_was_killed_or_has_stopped(prod: Site) -> None:
    assert (row(prod)["apply"], row(prod)["applied"]) == (None, None)
    root = str(prod.root)
    mine = record(str(prod.remote.head("master")), status="running", ended=None)
    mine.first.at, mine.first.step = 1, "apply"
    mine.first.outcomes = {"web1": Outcome(APPLIED), "web2": Outcome(RUNNING, jid="1")}
    run_state.save(root, mine)
    with files.Lock(run_state.lock_path(root, "master")):
        found = row(prod)["apply"]
        assert (found["state"], found["command"]) == ("running", "")
    found = row(prod)["apply"]
    assert (found["state"], found["batch"], found["batches"]) == ("killed", 2, 2)
    assert (found["running"], found["command"]) == (["web2"], f"saltbranch apply --resume {FIRST}")
    text = shown(prod)
    assert "killed, batch 2 of 2, apply" in text and "may still run on web2" in text
    mine.status, mine.why = "stopped", "a \x1b[2J reason"
    run_state.save(root, mine)
    assert row(prod)["apply"]["state"] == "stopped" and "\x1b[2J" not in shown(prod)
    mine.status = "aborted"
    run_state.save(root, mine)
    assert row(prod)["apply"] is None


def test_one_that_was_killed_while_it_planned(prod: Site) -> None:
    now = time.time()
    leased.write(str(prod.root), "master", Lease(SECOND, A, "Ann", now, now + 60))
    found = row(prod)["apply"]
    assert (found["state"], found["command"]) == ("killed", "saltbranch apply prod")
    run_state.save(str(prod.root), record(A, FIRST))  # an older one has nothing to do with it
    assert row(prod)["apply"]["id"] == SECOND
    aborted = prod.run_here("apply", "--abort", SECOND, "--config", str(prod.config))
    assert aborted.code == 0, aborted
    assert row(prod)["apply"] is None
    assert prod.run_here("apply", "--abort", SECOND, "--config", str(prod.config)).code == 2


def test_records_that_cannot_be_read_are_passed_over(prod: Site) -> None:
    run_state.save(str(prod.root), record(A))
    with open(run_state.path_of(str(prod.root), FIRST), "w") as file:
        file.write("[" * 3000)
    assert row(prod)["apply"] is None
