"""Clocks that are wrong: nothing that was done gets another order, and somebody is told."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from saltbranch.base.durations import from_iso
from saltbranch.git.mirror import JOURNAL_REF
from saltbranch.repository import timeline
from tests.actions.test_history import by_request, change
from tests.support.clone import Clone
from tests.support.flow_site import FlowSite
from tests.support.remote import Remote
from tests.support.site import Journal, Site

DAY = 86400
AHEAD, BACK = 2 * 365 * DAY, -2 * 365 * DAY


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def merged_elsewhere(clone: Clone, shift: float) -> str:
    """A pull request for stage, merged by a machine whose clock is wrong by `shift` seconds; its promotion."""
    change(clone, "request")
    ref, id_ = by_request(clone)
    clone.pull("stage", "develop")
    before, clone.clock = clone.clock, int(time.time() + shift)
    clone.merge(ref, "stage", "Merge pull request #7 from ann/x")
    clone.push("stage")
    clone.clock = before
    return id_


@pytest.mark.parametrize("shift", [AHEAD, BACK, 0])
def test_a_pull_request_stands_where_its_branch_has_it(clone: Clone, shift: float) -> None:
    change(clone, "before")
    first = clone.promote("stage")
    id_ = merged_elsewhere(clone, shift)

    assert [p.id for p in timeline.promotions(clone.work())] == [first, id_]
    rows = json.loads(clone.run("history", "stage", "--json").out)["entries"]
    assert [r["id"] for r in rows] == [id_, first]
    change(clone, "after")
    assert clone.run("promote", "stage", "--yes").code == 0
    assert [p.id for p in clone.work().state.promotions][:2] == [first, id_]


@pytest.mark.parametrize("shift", [AHEAD, BACK])
def test_whether_a_pull_request_ends_a_rollback_is_no_matter_of_clocks(
    flow: FlowSite, shift: float
) -> None:
    """One merged after the rollback lifts its hold, by whatever clock."""
    flow.push("develop")
    flow.well("promote", "stage", "--via", "branch", "--yes")
    (ref,) = [r for r in flow.refs() if r.startswith("refs/heads/promote/stage/")]
    flow.git("fetch", "--quiet")
    stage = flow.head("stage")
    flow.record(
        "rollback", ago=-shift, saltenv="stage", branch="stage", commit=stage,
        from_commit=stage, reason="r",
    )  # fmt: skip
    merge = flow.refs()[ref]
    flow.remote.git("update-ref", "refs/heads/stage", merge)
    flow.push("develop")

    flow.well("hold", "prod", "--reason", "writes what the journal lacks", "--yes")

    assert "stage" not in flow.state().holds


@pytest.mark.parametrize("shift", [AHEAD, BACK])
def test_a_pull_request_from_before_a_rollback_does_not_end_it(
    flow: FlowSite, shift: float
) -> None:
    flow.push("develop")
    flow.well("promote", "stage", "--via", "branch", "--yes")
    (ref,) = [r for r in flow.refs() if r.startswith("refs/heads/promote/stage/")]
    before, merge = flow.head("stage"), flow.refs()[ref]
    flow.remote.git("update-ref", "refs/heads/stage", merge)
    flow.record(
        "rollback", ago=-shift, saltenv="stage", branch="stage", commit=before, from_commit=merge,
        reason="r",
    )  # fmt: skip

    flow.well("hold", "prod", "--reason", "writes what the journal lacks", "--yes")

    assert flow.state().holds["stage"].commit == before


def test_a_hold_with_an_end_says_that_a_clock_is_wrong(flow: FlowSite) -> None:
    flow.push("develop")
    flow.to_prod()
    assert "clock" not in flow.run("hold", "prod", "--reason", "x", "--until", "2h", "--plan").out
    flow.record("hold", ago=-7200, saltenv="stage", commit=flow.head("stage"), reason="r")

    said = flow.run("hold", "prod", "--reason", "x", "--until", "2h", "--plan").out
    assert "2 h ahead of this machine's clock" in said
    assert "clock" not in flow.run("hold", "prod", "--reason", "x", "--plan").out
    made = json.loads(
        flow.run("hold", "prod", "--reason", "x", "--until", "2h", "--yes", "--json").out
    )
    assert abs(from_iso(made["until"]) - time.time() - 7200) < 60, "by the clock of this machine"


def test_status_and_doctor_say_it_too(served: Site, remote: Remote) -> None:
    Journal(remote).hold("prod", remote.head("master"), reason="x")
    served.sync_well()
    config = ("--config", str(served.config))
    assert json.loads(served.run_here("status", *config, "--json").out)["problems"] == []
    event = Journal(remote).add("unhold", saltenv="prod")
    shift(remote, event.time + 3 * 3600)
    served.sync_well()

    (problem,) = json.loads(served.run_here("status", *config, "--json").out)["problems"]
    assert "3 h ahead of this machine's clock" in problem
    doctor = served.run_here("doctor", *config)
    assert doctor.code == 1 and "warning clock " in doctor.out


def shift(remote: Remote, moment: float) -> None:
    """Write an event of that time."""
    from saltbranch.journal import store as journal
    from saltbranch.journal.events import Event

    here = Journal(remote)
    event = Event("unhold", journal.new_id(moment), moment, "Bob <b@c>", {"saltenv": "stage"})
    remote.git("update-ref", JOURNAL_REF, journal.append(here.git, here.head(), [event])[0])


def test_what_is_to_be_told_is_not_kept_for_years_where_the_clock_went_back(
    served: Site, remote: Remote
) -> None:
    served.configure(record_syncs=True)
    served.sync_well()
    remote.commit("develop", {"salt/new.sls": ""})
    remote.path.joinpath("hooks").mkdir(exist_ok=True)
    hook = remote.path / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    served.sync_here()
    told = served.root / "state" / "unreported"
    os.utime(told, (time.time() + AHEAD,) * 2)
    hook.unlink()

    served.sync_well()

    assert not told.exists()
    assert Journal(remote).events("sync")
