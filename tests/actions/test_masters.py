"""Several masters: status --masters, and promote --wait-masters."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from saltbranch.git.mirror import JOURNAL_REF
from tests.cli.test_json_shapes import conforms
from tests.support.flow_site import FlowSite
from tests.support.site import Site

DAY = 86400


@pytest.fixture
def masters(flow: FlowSite, tmp_path: Path) -> Callable[..., Site]:
    """Makes masters of the remote that record what they serve."""

    def make(name: str, folder: str = "", **settings: Any) -> Site:
        place = tmp_path / (folder or name)
        place.mkdir()
        site = Site(place, flow.remote)
        site.salt_config.write_text(f"id: {name}\nroot_dir: {place}\n")
        site.configure(**{"saltenvs": None, "record_syncs": True, **settings})
        assert site.sync().code == 0
        return site

    return make


def listed(flow: FlowSite, *words: str) -> dict[str, Any]:
    ran = flow.run("status", "--masters", "--json", *words)
    assert ran.code == 0, ran
    found: dict[str, Any] = conforms("status-masters", json.loads(ran.out))
    return found


def states(flow: FlowSite) -> dict[str, str]:
    return {m["master"]: m["state"] for m in listed(flow)["masters"]}


def row_of(found: dict[str, Any], master: str, saltenv: str) -> dict[str, Any]:
    (one,) = [m for m in found["masters"] if m["master"] == master]
    (row,) = [s for s in one["saltenvs"] if s["saltenv"] == saltenv]
    return dict(row)


@contextmanager
def soon(work: Callable[[], object], when: Callable[[], bool]) -> Iterator[None]:
    """Do `work` in a thread as soon as `when` is true."""

    def wait() -> None:
        deadline = time.monotonic() + 60
        while not when() and time.monotonic() < deadline:
            time.sleep(0.05)
        work()

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        thread.join()


# status --masters


def test_who_lags_how_far_and_since_when(flow: FlowSite, masters: Callable[..., Site]) -> None:
    one = masters("one")
    masters("two")
    assert states(flow) == {"one": "in_step", "two": "in_step"}
    old = flow.head("develop")
    flow.push("develop")
    new = flow.push("develop")
    assert one.sync().code == 0

    found = listed(flow)

    assert states(flow) == {"one": "in_step", "two": "behind"}
    row = row_of(found, "two", "test")
    assert (row["commit"], row["wanted"], row["state"]) == (old, new, "behind")
    assert (row["lacks"], row["beyond"]) == (2, 0)
    assert row["behind_since"] is not None
    assert row_of(found, "two", "prod")["state"] == "in_step"
    assert (found["more"], found["records"], found["notes"], found["problems"]) == (0, None, [], [])
    text = flow.well("status", "--masters").out
    assert "one  serves what it is to serve" in text
    assert "two  lags" in text
    assert f"test serves {old[:12]}" in text
    assert "lacks 2 commits, for" in text
    assert f"(to serve {new[:12]})" in text


def test_a_promotion_that_a_master_lacks_dates_its_lag(
    flow: FlowSite, masters: Callable[..., Site]
) -> None:
    masters("one")
    flow.push("develop")
    flow.promoted("stage")
    (promotion,) = flow.state().promotions
    late = row_of(listed(flow), "one", "stage")["behind_since"]
    assert abs(promotion.time - parsed(late)) <= 1


def parsed(text: str) -> float:
    from saltbranch.base.durations import from_iso

    return from_iso(text)


def test_a_rollback_that_a_master_has_not_followed(
    flow: FlowSite, masters: Callable[..., Site]
) -> None:
    flow.push("develop")
    flow.promoted("stage")
    site = masters("one")
    flow.well("rollback", "stage", "--reason", "it breaks", "--yes")
    row = row_of(listed(flow), "one", "stage")
    assert (row["state"], row["lacks"]) == ("ahead", 0)
    assert row["beyond"] >= 1
    assert site.sync().code == 0
    assert states(flow) == {"one": "in_step"}


def test_on_a_master_the_network_is_not_touched_and_its_own_row_is_what_it_serves(
    flow: FlowSite, masters: Callable[..., Site]
) -> None:
    one = masters("one")
    flow.remote.path.rename(flow.remote.path.with_name("gone"))
    ran = one.run_here("status", "--masters", "--json", "--config", str(one.config))
    assert ran.code == 0, ran
    (row,) = json.loads(ran.out)["masters"]
    assert (row["master"], row["here"], row["state"]) == ("one", True, "in_step")


def test_a_master_that_does_not_record_says_so(
    flow: FlowSite, masters: Callable[..., Site]
) -> None:
    one = masters("one", record_syncs=False)
    ran = one.run_here("status", "--masters", "--json", "--config", str(one.config))
    found = json.loads(ran.out)
    assert (found["masters"], found["records"]) == ([], False)
    assert f"record_syncs: true in {one.config}" in found["notes"][0]
    assert "no master records" in listed(flow)["notes"][0]


def test_a_subset_lags_in_nothing_else(flow: FlowSite, masters: Callable[..., Site]) -> None:
    masters("one", serves=["test"])
    flow.push("develop")
    flow.promoted("stage")
    found = listed(flow)
    (one,) = found["masters"]
    assert [s["saltenv"] for s in one["saltenvs"]] == ["test"]
    assert one["state"] == "behind"


def test_a_saltenv_given_up_is_not_told_of_any_more(
    flow: FlowSite, masters: Callable[..., Site]
) -> None:
    one = masters("one")
    one.configure(serves=["test", "prod"])
    assert one.sync().code == 0
    flow.push("develop")
    flow.promoted("stage")
    assert one.sync().code == 0
    assert states(flow) == {"one": "in_step"}


def test_a_master_that_stops_recording_is_forgotten(
    flow: FlowSite, masters: Callable[..., Site]
) -> None:
    one = masters("one")
    masters("two")
    one.configure(record_syncs=None)
    assert one.sync().code == 0
    assert states(flow) == {"two": "in_step"}
    assert not (one.root / "state" / "unreported").exists()
    before = flow.refs()[JOURNAL_REF]
    flow.push("develop")
    assert one.sync().code == 0
    assert flow.refs()[JOURNAL_REF] == before, "it tells on"
    one.configure(record_syncs=True)
    assert one.sync().code == 0
    assert states(flow) == {"one": "in_step", "two": "behind"}


def test_a_master_that_gets_another_name_leaves_the_old_one(
    flow: FlowSite, masters: Callable[..., Site]
) -> None:
    one = masters("one")
    one.salt_config.write_text(f"id: uno\nroot_dir: {one.folder}\n")
    assert one.sync().code == 0
    assert states(flow) == {"uno": "in_step"}


def test_two_masters_of_one_name_are_told_apart(
    flow: FlowSite, masters: Callable[..., Site]
) -> None:
    one, two = masters("salt", "a"), masters("salt", "b")
    flow.push("develop")
    assert one.sync().code == 0
    found = listed(flow)
    assert [m["shared"] for m in found["masters"]] == [True, True]
    assert sorted(m["state"] for m in found["masters"]) == ["behind", "in_step"]
    assert "two roots record as salt: give each master an `id:` of its own" in found["notes"][0]
    assert two.sync().code == 0
    assert sorted(m["state"] for m in listed(flow)["masters"]) == ["in_step", "in_step"]


def test_a_root_that_was_made_anew_is_the_same_master(
    flow: FlowSite, masters: Callable[..., Site]
) -> None:
    one = masters("one")
    one.configure(root=str(one.folder / "another"))
    assert one.sync().code == 0
    found = listed(flow)["masters"]
    assert [(m["master"], m["shared"]) for m in found] == [("one", False)]


def lags(flow: FlowSite, name: str, *, told: float, late: float) -> None:
    """A master that told last `told` seconds ago lacks a promotion of `late` seconds ago."""
    old = flow.head("stage")
    flow.served("stage", old, ago=told, master=name)
    new = flow.push("develop")
    flow.remote.set_branch("stage", new)
    flow.record(
        "promotion", ago=late, saltenv="stage", branch="stage", source="test",
        source_commit=new, old=old, new=new,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("told", "late", "state"),
    [
        (30 * DAY, 8 * DAY, "silent"),
        (30 * DAY, 6 * DAY, "behind"),  # nothing new for it before that
        (6 * DAY, 30 * DAY, "behind"),  # it told of something else since
        (-30 * DAY, 8 * DAY, "silent"),  # its clock is ahead, so its time says nothing
        (-30 * DAY, 6 * DAY, "behind"),
    ],
)
def test_a_master_is_silent_where_there_was_something_to_tell_for_a_week(
    flow: FlowSite, told: float, late: float, state: str
) -> None:
    lags(flow, "old", told=told, late=late)
    (one,) = listed(flow)["masters"]
    assert one["state"] == state
    assert one["clock_ahead"] is (told < 0)
    assert parsed(one["recorded"]) <= time.time() + 1


def test_a_master_with_nothing_new_is_in_step_for_a_year(flow: FlowSite) -> None:
    flow.served("stage", flow.head("stage"), ago=300 * DAY, master="quiet")
    assert states(flow) == {"quiet": "in_step"}
    assert "last recorded 300 d ago" in flow.well("status", "--masters").out


def test_hundreds_of_made_up_masters_are_bounded(flow: FlowSite) -> None:
    from saltbranch.git.program import Git
    from saltbranch.journal import store
    from tests.support.site import event

    row = {"saltenv": "stage", "new": "f" * 40}
    told = [
        event("sync", master=f"m{n:04}\x1b[2J" if n % 2 else f"m{n:04}", saltenvs=[row], root="r")
        for n in range(300)
    ]
    told += [event("sync", master="x" * 2_000_000, saltenvs=[row])]
    head, _ = store.append(Git(str(flow.remote.path)), None, told)
    flow.remote.git("update-ref", JOURNAL_REF, head)
    text = flow.well("status", "--masters").out
    assert "\x1b" not in text
    assert len(text) < 30_000
    assert "and 50 more (--json" in text
    assert len(listed(flow)["masters"]) == 150
    # They hold up a wait as they could hold the saltenv: it ends in its time, and names a few.
    flow.push("develop")
    begun = time.monotonic()
    ran = flow.run("promote", "stage", "--yes", "--wait-masters", "2s")
    assert ran.code == 20
    assert " and 140 more" in ran.err
    assert len(ran.err) < 3_000
    assert time.monotonic() - begun < 40


def test_masters_that_record_at_once_lose_nothing(
    flow: FlowSite, masters: Callable[..., Site]
) -> None:
    sites = [masters(f"m{n}") for n in range(4)]
    for _ in range(2):
        flow.push("develop")
        running = [
            subprocess.Popen(site.argv("sync", "--quiet"), stderr=subprocess.PIPE) for site in sites
        ]
        for process in running:
            _, err = process.communicate(timeout=120)
            assert process.returncode == 0, err
        assert states(flow) == {f"m{n}": "in_step" for n in range(4)}
    told = [e for e in flow.state().events if e.kind == "sync"]
    assert len({e.id for e in told}) == len(told) == 4 * 3
    assert not [s for s in sites if (s.root / "state" / "unreported").exists()]


# promote --wait-masters


def test_it_ends_when_all_serve_it(flow: FlowSite, masters: Callable[..., Site]) -> None:
    one, two = masters("one"), masters("two")
    flow.push("develop")
    before = flow.head("stage")

    with soon(lambda: [run_sync(s) for s in (one, two)], lambda: flow.head("stage") != before):
        ran = flow.run("promote", "stage", "--yes", "--wait-masters", "60s", "--json")
    assert ran.code == 0, ran
    found = conforms("promote", json.loads(ran.out))
    waited = found["waited"]
    assert (waited["saltenv"], waited["commit"]) == ("stage", flow.head("stage"))
    assert waited["served"] == ["one", "two"]
    assert (waited["missing"], waited["silent"], waited["interrupted"]) == ([], [], False)
    assert waited["seconds"] < 60
    assert any("is served by one, two" in note for note in found["notes"])


def run_sync(site: Site) -> None:
    """A sync as a process of its own: stdout and stderr of this one are somebody else's now."""
    subprocess.run(site.argv("sync", "--quiet"), check=True, capture_output=True)


def test_exit_20_names_who_does_not_and_when_it_told_last(
    flow: FlowSite, masters: Callable[..., Site]
) -> None:
    one = masters("one")
    masters("two")
    old = flow.head("stage")
    flow.push("develop")
    with soon(lambda: run_sync(one), lambda: flow.head("stage") != old):
        begun = time.monotonic()
        ran = flow.run("promote", "stage", "--yes", "--wait-masters", "6s")
    assert ran.code == 20, ran
    assert f"not served by two (serves {old[:12]}, recorded a switch last" in ran.err
    assert "one (" not in ran.err
    assert time.monotonic() - begun < 30
    # Once more, where nothing is left to promote.
    again = flow.run("promote", "stage", "--yes", "--wait-masters", "1s")
    assert again.code == 20
    assert "not served by two" in again.err


def test_who_is_silent_is_not_waited_for_and_is_named(
    flow: FlowSite, masters: Callable[..., Site]
) -> None:
    lags(flow, "dead", told=30 * DAY, late=20 * DAY)
    masters("one")
    ran = flow.run("promote", "stage", "--yes", "--wait-masters", "20s", "--json")
    assert ran.code == 0, ran
    flow.push("develop")
    ran = flow.run("promote", "stage", "--yes", "--wait-masters", "1s", "--json")
    assert ran.code == 20
    waited = conforms("promote", json.loads(ran.out))["waited"]
    assert [m["master"] for m in waited["missing"]] == ["one"]
    assert [m["master"] for m in waited["silent"]] == ["dead"]


def test_on_a_master_its_own_sync_counts(flow: FlowSite, masters: Callable[..., Site]) -> None:
    one = masters("one")
    flow.push("develop")
    words = ("promote", "stage", "--yes", "--wait-masters", "20s", "--json")
    ran = one.run_here(*words, "--config", str(one.config))
    assert ran.code == 0, ran
    waited = json.loads(ran.out)["waited"]
    assert (waited["served"], waited["commit"]) == (["one"], flow.head("stage"))


def test_on_a_master_what_it_serves_counts_where_it_cannot_record(
    flow: FlowSite, masters: Callable[..., Site]
) -> None:
    one = masters("one")
    flow.push("develop")
    # The server takes branches, and of the journal only what comes with one.
    flow.hook("pre-receive", 'n=$(wc -l); [ "$n" -gt 1 ]')
    ran = one.run_here(
        "promote", "stage", "--yes", "--wait-masters", "20s", "--json", "--config", str(one.config)
    )
    assert ran.code == 0, ran
    assert json.loads(ran.out)["waited"]["served"] == ["one"]


@pytest.mark.parametrize(("verb", "saltenv"), [("release", "stage"), ("hotfix", "prod")])
def test_what_else_promotes_waits_for_its_saltenv(
    flow: FlowSite, masters: Callable[..., Site], verb: str, saltenv: str
) -> None:
    masters("one")
    flow.push("develop")
    flow.well(verb, "start", "1.0", *(["--yes"] if verb == "release" else []))
    if verb == "hotfix":
        flow.commit({"salt/fix.sls": "fix:\n  test.nop: []\n"}, "KEY-9 Fix")
        flow.well(verb, "publish")
    ran = flow.run(verb, "finish", "1.0", "--yes", "--wait-masters", "1s", "--json")
    assert ran.code == 20, ran
    waited = json.loads(ran.out)["waited"]
    assert (waited["saltenv"], [m["master"] for m in waited["missing"]]) == (saltenv, ["one"])


@pytest.mark.parametrize("how", ["nobody", "another saltenv", "silent"])
def test_what_nobody_would_ever_tell_is_refused_beforehand(
    flow: FlowSite, masters: Callable[..., Site], how: str
) -> None:
    if how == "another saltenv":
        masters("one", serves=["test"])
    if how == "silent":
        lags(flow, "dead", told=30 * DAY, late=20 * DAY)
    flow.push("develop")
    said = flow.refused("promote", "stage", "--yes", "--wait-masters", "60s")
    if how == "silent":
        assert "for a week nothing was heard of dead" in said
    else:
        assert "no master records what it serves as stage" in said
        assert "record_syncs: true" in said


@pytest.mark.parametrize("text", ["", "0s", "60", "-5s", "2d", "soon", "9" * 400 + "s"])
def test_what_is_no_time_is_refused(flow: FlowSite, text: str) -> None:
    said = flow.refused("promote", "stage", "--yes", "--wait-masters", text, code=2)
    assert "--wait-masters" in said


def test_a_pull_request_is_not_waited_for(flow: FlowSite) -> None:
    words = ("promote", "stage", "--yes", "--via", "branch", "--wait-masters", "5s")
    assert "exclude each other" in flow.refused(*words, code=2)


def test_a_rollback_meanwhile_ends_it(flow: FlowSite, masters: Callable[..., Site]) -> None:
    masters("one")
    old = flow.head("stage")
    flow.push("develop")

    def roll_back() -> None:
        flow.record("rollback", saltenv="stage", commit=old, reason="no", from_commit=None)

    with soon(roll_back, lambda: flow.head("stage") != old):
        begun = time.monotonic()
        ran = flow.run("promote", "stage", "--yes", "--wait-masters", "300s")
    assert ran.code == 20
    assert f"meanwhile stage is to serve {old[:12]}" in ran.err
    assert time.monotonic() - begun < 100


def test_a_remote_that_goes_away_is_told_and_not_waited_for_longer(
    flow: FlowSite, masters: Callable[..., Site]
) -> None:
    masters("one")
    old = flow.head("stage")
    flow.push("develop")
    gone = flow.remote.path.with_name("gone")
    with soon(lambda: flow.remote.path.rename(gone), lambda: flow.head("stage") != old):
        ran = flow.run("promote", "stage", "--yes", "--wait-masters", "5s", "--json")
    assert ran.code == 20, ran
    found = json.loads(ran.out)
    assert "cannot read the remote" in found["problems"][-1]
    assert found["moved"], "what was pushed is told all the same"


def test_ctrl_c_leaves_with_the_whole_result(flow: FlowSite, masters: Callable[..., Site]) -> None:
    masters("one")
    old = flow.head("stage")
    flow.push("develop")
    words = ("promote", "stage", "--yes", "--wait-masters", "300s", "--json")
    process = subprocess.Popen(
        [sys.executable, "-m", "saltbranch", *words],
        cwd=flow.clone, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while flow.head("stage") == old and time.monotonic() < deadline:
        time.sleep(0.05)
    seen = flow.clone / ".git" / "refs" / "saltbranch-remote" / "heads" / "stage"
    while not (seen.exists() and seen.read_text().strip() == flow.head("stage")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 20, (out, err)
    found = json.loads(out)
    assert found["waited"]["interrupted"] is True
    assert found["moved"]
    assert "was waited for until ^C" in found["problems"][-1]
