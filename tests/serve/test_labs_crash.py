"""Labs, killed at every step, raced, and without room on the disk: the next sync finishes what was begun."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator

import pytest

from saltbranch.labs import lent
from tests.serve.test_switch_crash import ANY, Crash
from tests.support.kill_server import KillServer
from tests.support.labs import FEATURE, Labs, short_gap, with_labs
from tests.support.site import Site

PILLAR = "../../checkouts/{}/pillar"


@pytest.fixture(scope="module")
def server() -> Iterator[KillServer]:
    """What runs and kills saltbranch."""
    with KillServer() as server:
        yield server


@pytest.fixture
def labs(site: Site) -> Labs:
    made = with_labs(site, 1)
    site.settings["saltenvs"]["stage"]["minions"] = ["stage*"]
    site.sync_well()
    return made


def _check(labs: Labs) -> None:
    """What has to hold at any moment."""
    said = lent.loads(path := (labs.site.root / "labs" / "lent").read_bytes())
    assert said != lent.Lent() or path == lent.NOBODY.encode()
    link = os.readlink(labs.site.root / "labs" / "lab1" / "pillar")
    for minion, name in said.lent.items():
        place = said.labs[name]
        assert minion not in said.moving and place.closing is None
        assert (
            place.pillar == link == PILLAR.format({"test": "develop"}.get(place.saltenv, "stage"))
        )
        assert place.saltenv == minion.rstrip("0123456789")
        assert labs.served(1)["new.sls"]


def _finish(labs: Labs) -> None:
    with short_gap(0.01):
        result = labs.site.sync_here(wait=30)
    assert result.exit_code == 0, [s.message for s in result.saltenvs]


def test_killed_at_every_step_of_a_claim_and_a_release(labs: Labs, server: KillServer) -> None:
    crash = Crash(labs.site, server, "sync", "--quiet", "--config", str(labs.site.config))
    for turn, number in crash.calls(14):
        minion = f"{('test', 'stage')[turn % 2]}{turn}"
        claim = labs.claim(1, FEATURE, minion)
        killed = crash.is_killed(ANY, number)
        _check(labs)
        _finish(labs)
        _check(labs)
        assert labs.lent().lent == {minion: "lab1"}
        labs.release(1, claim)
        crash.is_killed(ANY, number)
        _check(labs)
        _finish(labs)
        assert labs.lent() == lent.Lent() and labs.served(1) == {}
        if turn and not killed:
            assert number > 20
            return


def test_two_syncs_at_once(labs: Labs) -> None:
    labs.claim(1, FEATURE, "test7")
    done: list[int] = []

    def sync() -> None:
        done.append(labs.site.sync_here(wait=30).exit_code)

    with short_gap(0.3):
        threads = [threading.Thread(target=sync) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert done == [0, 0] and labs.lent().lent == {"test7": "lab1"}
    _check(labs)


def test_a_full_disk_leaves_the_file_as_it_was(labs: Labs, monkeypatch: pytest.MonkeyPatch) -> None:
    labs.claim(1, FEATURE, "test7")
    path = str(labs.site.root / "labs" / "lent")
    before = (labs.site.root / "labs" / "lent").read_bytes()
    fsync = os.fsync

    def full(fd: int) -> None:
        if os.readlink(f"/proc/self/fd/{fd}").startswith(path):
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(fd)

    with monkeypatch.context() as patch, short_gap(0.01):
        patch.setattr(os, "fsync", full)
        with pytest.raises(Exception, match="No space left"):
            labs.site.sync_here()
    assert (labs.site.root / "labs" / "lent").read_bytes() == before
    assert os.listdir(labs.site.root / "labs").__len__() == 2
    _finish(labs)
    assert labs.lent().lent == {"test7": "lab1"}
