"""Labs, as syncs serve them: a branch of their own, the pillar of the saltenv, minions that move in two steps."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from saltbranch.base.errors import RemoteError
from saltbranch.git import collect
from saltbranch.git.mirror import Mirror
from saltbranch.git.program import Git
from saltbranch.labs import lent
from saltbranch.repository import prepared
from saltbranch.serve import lab_minions, lent_later
from saltbranch.serve.slots import Slots
from tests.support.labs import FEATURE, Labs, master_options_of, short_gap, with_labs
from tests.support.site import Site, result_of


@pytest.fixture
def labs(site: Site) -> Labs:
    made = with_labs(site)
    site.sync_well()
    return made


def test_labs_are_in_the_masters_configuration_before_anybody_uses_one(labs: Labs) -> None:
    root, options = labs.site.root, master_options_of(labs.site)
    assert options["file_roots"]["lab1"] == [
        f"{root}/tops/lab1/states",
        f"{root}/checkouts/lab1+/salt",
    ]
    assert options["pillar_roots"]["lab2"] == [
        f"{root}/tops/lab2/pillar",
        f"{root}/labs/lab2/pillar",
    ]
    assert options["env_order"] == ["base", "test", "stage", "prod", "lab1", "lab2"]
    before = labs.site.master_config.read_bytes()
    labs.claim(1, FEATURE, "test7")
    with short_gap(0):
        labs.site.sync_well()
    assert labs.site.master_config.read_bytes() == before


def test_a_claim_is_served_with_the_pillar_of_the_saltenv_and_released(labs: Labs) -> None:
    claim = labs.claim(1, FEATURE, "test7")
    with short_gap(0.3):
        result = labs.site.sync_here()
    row = result_of(result, "lab1")
    assert (row.state, row.branch) == ("first", FEATURE)
    assert row.new == labs.site.remote.head(FEATURE)
    assert labs.lent().lent == {"test7": "lab1"}
    assert set(labs.served(1)) == {"top.sls", "new.sls"}
    assert labs.pillar(1) == "branch: develop\n"
    assert result.notes[-2:] == [
        "test7 has lab1 now",
        "no master runs here: modules of test7 are synced by their next highstate",
    ]
    again = labs.site.sync_here()
    assert not again.changed and result_of(again, "lab1").state == "unchanged"

    labs.release(1, claim)
    with short_gap(0.3):
        result = labs.site.sync_here()
    assert labs.lent() == lent.Lent()
    assert labs.served(1) == {}
    assert [row.saltenv for row in result.saltenvs] == ["test", "stage", "prod"]
    assert not labs.site.sync_here().changed


def test_a_push_to_the_branch_is_served(labs: Labs) -> None:
    labs.claim(2)
    labs.site.sync_well()
    assert "new" in labs.served(2)["new.sls"]
    labs.site.remote.commit(FEATURE, {"salt/new.sls": "newer:\n  test.nop: []\n"})
    row = result_of(labs.site.sync_here(), "lab2")
    assert row.state == "switched" and "newer" in labs.served(2)["new.sls"]


def test_a_sync_that_is_killed_while_a_minion_is_moved_is_finished_by_the_next(
    labs: Labs, monkeypatch: pytest.MonkeyPatch
) -> None:
    labs.claim(1, FEATURE, "test7")

    def killed(seconds: float) -> None:
        raise KeyboardInterrupt

    with short_gap(0.5), monkeypatch.context() as patch:
        patch.setattr(lent_later.time, "sleep", killed)
        with pytest.raises(KeyboardInterrupt):
            labs.site.sync_here()
        assert list(labs.lent().moving) == ["test7"] and labs.lent().lent == {}
        assert "new.sls" in labs.served(1)
    with short_gap(0.5):
        result = labs.site.sync_here()
    assert labs.lent().lent == {"test7": "lab1"} and "test7 has lab1 now" in result.notes


def test_a_branch_that_must_not_be_served_gets_no_minions(labs: Labs) -> None:
    from tests.support.remote import Link

    labs.site.remote.commit(FEATURE, {"salt/out": Link("/etc")})
    labs.claim(1, FEATURE, "test7")
    with short_gap(0):
        row = result_of(labs.site.sync_here(), "lab1")
    assert row.state == "refused" and labs.lent().lent == {} and labs.lent().moving == {}
    assert labs.served(1) == {}


def _four_days_later(patch: pytest.MonkeyPatch) -> None:
    now = time.time
    patch.setattr(time, "time", lambda: now() + 4 * 86400)


def test_time_ends_a_claim(labs: Labs, monkeypatch: pytest.MonkeyPatch) -> None:
    labs.claim(1, FEATURE, "test7")
    with short_gap(0):
        labs.site.sync_here()
        assert labs.lent().lent == {"test7": "lab1"}
        _four_days_later(monkeypatch)
        labs.site.sync_here()
    assert labs.lent() == lent.Lent() and labs.served(1) == {}


@pytest.mark.parametrize("kind", ["lab", "hold"])
def test_no_time_in_the_journal_stops_a_sync(labs: Labs, kind: str) -> None:
    """One that only its zone moves out of the calendar: it can be read, and could not be written."""
    until = "9999-12-31T23:59:59-14:00"
    if kind == "lab":
        claim = labs.claim(1)
        labs.journal.add("lab", action="extend", lab=1, claim=claim, until=until)
    else:
        commit = labs.site.remote.head("develop")
        labs.journal.add("hold", saltenv="test", commit=commit, reason="x", until=until)
    assert labs.site.sync().code == 0


def test_a_branch_that_is_gone_or_merged_frees_its_lab(labs: Labs) -> None:
    site = labs.site
    labs.claim(1, FEATURE, "test7")
    site.remote.set_branch("feature/y", site.remote.head("develop"))
    site.remote.commit("feature/y", {"salt/y.sls": "y:\n  test.nop: []\n"})
    labs.claim(2, "feature/y")
    with short_gap(0):
        site.sync_here()
        assert set(labs.lent().labs) == {"lab1", "lab2"}
        site.remote.git("update-ref", "-d", f"refs/heads/{FEATURE}")
        site.sync_here()
        assert set(labs.lent().labs) == {"lab2"} and labs.lent().lent == {}
        site.remote.set_branch("develop", site.remote.head("feature/y"))
        site.sync_here()
    assert labs.lent() == lent.Lent() and labs.served(2) == {}


def test_another_branch_finds_the_lab_empty(labs: Labs) -> None:
    site = labs.site
    claim = labs.claim(1, FEATURE, "test7")
    site.remote.set_branch("feature/y", site.remote.head("develop"))
    site.remote.commit("feature/y", {"salt/y.sls": "y:\n  test.nop: []\n"})
    with short_gap(0.2):
        site.sync_here()
        labs.release(1, claim)
        labs.claim(1, "feature/y", "test8")
        row = result_of(site.sync_here(), "lab1")
    assert row.state == "first" and "y.sls" in labs.served(1)
    assert labs.lent().lent == {"test8": "lab1"}


def test_the_file_that_all_top_files_read_never_has_the_same_time_twice(labs: Labs) -> None:
    path = labs.site.root / "labs" / "lent"
    times = {path.stat().st_mtime_ns}
    with short_gap(0):
        for _ in range(2):
            claim = labs.claim(1, FEATURE, "test7")
            labs.site.sync_here()
            times.add(path.stat().st_mtime_ns)
            labs.release(1, claim)
            labs.site.sync_here()
            times.add(path.stat().st_mtime_ns)
    assert len(times) == 5


def test_pillar_of_the_branch_is_the_administrators_choice(labs: Labs) -> None:
    labs.site.configure(lab_pillar="branch")
    labs.claim(1, FEATURE, "test7")
    with short_gap(0):
        labs.site.sync_here()
    link = labs.site.root / "labs" / "lab1" / "pillar"
    assert os.readlink(link) == "../../checkouts/lab1+/pillar"
    assert (link / "stolen.sls").exists()


def test_fewer_labs_give_minions_back_first(labs: Labs) -> None:
    labs.claim(2, FEATURE, "test7")
    with short_gap(0):
        labs.site.sync_here()
        assert labs.lent().lent == {"test7": "lab2"}
        labs.site.configure(labs=1)
        labs.site.sync_here()
        assert labs.lent() == lent.Lent()
        labs.site.sync_here()
    assert "lab2" not in master_options_of(labs.site)["file_roots"]


def test_composed_roots_work_the_same(labs: Labs) -> None:
    site = labs.site
    for branch in ("master", "stage", "develop", FEATURE):
        files = {f"{f}/extra.sls": f"of-{branch}:\n  test.nop: []\n" for f in ("more", "others")}
        site.remote.commit(branch, {**files})
    site.configure(states_dir=["salt", "more"], pillar_dir=["pillar", "others"])
    site.sync_well()
    labs.claim(1, FEATURE, "test7")
    with short_gap(0):
        site.sync_here()
    root, options = site.root, master_options_of(site)
    states = Path(options["file_roots"]["lab1"][1])
    pillar = Path(options["pillar_roots"]["lab1"][1])
    assert states == root / "slots" / "lab1+" / "served" / "roots" / "states"
    assert "feature/x" in (states / "extra.sls").read_text()
    assert "of-develop" in (pillar / "extra.sls").read_text()
    assert labs.lent().lent == {"test7": "lab1"}
    top = root / "tops" / "lab1" / "pillar" / "branch_top.jinja"
    assert top.read_text() == (site.checkout("develop") / "pillar" / "top.sls").read_text()
    told = site.run_here("explain", "--config", str(site.config), "test7").out
    assert "it cannot be evaluated" not in told and "yes * (compound): app, new" in told


def test_labs_zero_change_nothing(site: Site) -> None:
    site.sync_well()
    before = {
        path.relative_to(site.root): path.read_bytes()
        for path in (site.root / "tops").rglob("*")
        if path.is_file()
    }
    options = site.master_config.read_bytes()
    site.configure(labs=0)
    site.sync_well()
    assert site.master_config.read_bytes() == options
    assert not (site.root / "labs").exists()
    for path, data in before.items():
        assert (site.root / path).read_bytes() == data and b"labs" not in data


def test_a_sync_of_some_saltenvs_leaves_labs_alone_and_one_of_a_lab_does_not(labs: Labs) -> None:
    labs.claim(1, FEATURE, "test7")
    with short_gap(0):
        assert [row.saltenv for row in labs.site.sync_here("test").saltenvs] == ["test"]
        assert labs.lent() == lent.Lent()
        result = labs.site.sync_here("lab1")
    assert [row.saltenv for row in result.saltenvs] == ["lab1"]
    assert labs.lent().lent == {"test7": "lab1"}


def test_a_plan_changes_nothing(labs: Labs) -> None:
    labs.claim(1, FEATURE, "test7")
    result = labs.site.sync_here(plan=True)
    assert (result_of(result, "lab1").state, result_of(result, "lab1").changed) == ("first", True)
    assert result.notes == ["test7 would be lent to lab1: until that is done it gets nothing"]
    assert labs.lent() == lent.Lent() and labs.served(1) == {}


def test_a_master_tells_the_journal_how_many_labs_it_has(labs: Labs) -> None:
    site = labs.site
    site.configure(record_syncs=True)
    site.sync_well()
    assert list(labs.journal.state().lab_counts.values()) == [2]
    labs.claim(1, FEATURE, "test7")
    with short_gap(0):
        site.sync_here()
    rows = [r for e in labs.journal.events("sync") for r in e.details["saltenvs"]]
    assert "lab1" not in [row["saltenv"] for row in rows]
    site.configure(labs=3)
    site.sync_here()
    assert list(labs.journal.state().lab_counts.values()) == [3]
    site.configure(labs=0)
    with short_gap(0):
        site.sync_here()
        site.sync_here()
    assert list(labs.journal.state().lab_counts.values()) == [0]


def test_prune_keeps_labs_in_use_and_removes_those_that_are_gone(labs: Labs) -> None:
    site = labs.site
    labs.claim(2, FEATURE, "test7")
    with short_gap(0):
        site.sync_here()
        site.configure(labs=1)
        told = site.run_here("prune", "--config", str(site.config), "--plan").out
        assert "nothing to remove" in told
        site.sync_here()
        site.sync_here()
    told = site.run_here("prune", "--config", str(site.config), "--plan").out
    assert "tops/lab2" in told and "slots/lab2+" in told and "lab1" not in told


def test_the_gap_begins_when_the_checkouts_are_done(
    labs: Labs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else another sync could give the minion away before any top file has said that it is moved."""
    labs.claim(1, FEATURE, "test7")
    bring, ended = Slots.bring, []

    def slow(self: Slots, *args: Any) -> None:
        bring(self, *args)
        time.sleep(0.2)
        ended.append(time.monotonic())

    monkeypatch.setattr(Slots, "bring", slow)
    monkeypatch.setattr(lent_later, "finish", lambda *_args, **_words: None)
    labs.site.sync_here()
    assert labs.lent().moving["test7"].since >= ended[0]


def test_what_was_begun_is_finished_and_time_goes_on_while_the_remote_is_away(
    labs: Labs, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = labs.site
    labs.claim(1, FEATURE, "test7")

    def killed(seconds: float) -> None:
        raise KeyboardInterrupt

    with short_gap(0.2), monkeypatch.context() as patch:
        patch.setattr(lent_later.time, "sleep", killed)
        with pytest.raises(KeyboardInterrupt):
            site.sync_here()
    assert list(labs.lent().moving) == ["test7"]
    site.remote.path.rename(away := site.folder / "away")
    # What only a sync that reads the remote is to look at again holds nobody up.
    ready = prepared.load(str(site.root), str(site.config))
    assert ready
    ready.signatures.append((str(site.config), f"{prepared.AGAIN}a test"))
    prepared.save(ready)
    with short_gap(0.2):
        with pytest.raises(RemoteError):
            site.sync_here()
        assert labs.lent().lent == {"test7": "lab1"} and labs.lent().tell == {}
        _four_days_later(monkeypatch)
        with pytest.raises(RemoteError):
            site.sync_here()
        assert labs.lent() == lent.Lent() and labs.served(1) == {}
        away.rename(site.remote.path)
        site.sync_well()


@pytest.mark.parametrize("damaged", ["", "[]", "3", "{", '{"a": 1}'])
def test_minions_that_pin_their_saltenv_are_kept_whatever_stood_there(
    labs: Labs, damaged: str
) -> None:
    root = str(labs.site.root)
    Path(lab_minions.pins_path(root)).write_text(damaged)
    (said,) = lab_minions.refuse(root, {"test7": ("claim", "saltenv: prod")})
    assert said.startswith("test7 is not lent: its own configuration has saltenv: prod")
    assert lab_minions.pinned(root, "claim") == {"test7": "saltenv: prod"}


def test_git_gc_keeps_what_a_lab_serves_and_no_fetch_looks_at_its_slots(labs: Labs) -> None:
    labs.claim(1)
    labs.site.sync_well()
    commit = labs.site.remote.head(FEATURE)
    mirror = labs.site.root / "mirror.git"
    assert not [p for p in (mirror / "worktrees").iterdir() if "lab" in p.name]
    git = Git(str(mirror))
    git.out("update-ref", "-d", f"refs/heads/{FEATURE}")
    with (mirror / "config").open("a") as config:
        config.write("[gc]\n\tpruneExpire = now\n")
    (mirror / "worktrees" / "lab1+-a").symlink_to("../labs/lab1+-a")  # of one that was killed
    collect.collect(str(mirror))
    assert git.commit_or_none(commit) == commit
    assert not [p for p in (mirror / "worktrees").iterdir() if "lab" in p.name]
    slots = Slots(str(labs.site.root), "lab1+", Mirror(str(labs.site.root)))
    assert [slots.differences(name) for name in "ab"] == [[], []]


@pytest.mark.parametrize(
    "spoil",
    ["checkouts/lab1+", "slots/lab1+/served", "slots/lab1+/a/tree/.git", "mirror.git/labs/lab1+-a"],
)
def test_a_quiet_sync_notices_a_lab_that_lacks_a_part(labs: Labs, spoil: str) -> None:
    labs.claim(1)
    labs.site.sync_well()
    assert not labs.site.sync_here().changed
    path = labs.site.root / spoil
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
    labs.site.sync_well()
    assert set(labs.served(1)) == {"top.sls", "new.sls"}
    assert not labs.site.sync_here().changed
