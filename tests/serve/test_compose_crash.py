"""Killed at every step, raced, and without room on the disk: what is composed is served whole, the old or the new."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from pathlib import Path

import pytest

from saltbranch.serve import compose
from tests.serve.test_compose import composed
from tests.serve.test_switch_crash import ANY, Crash
from tests.support.kill_server import KillServer
from tests.support.remote import Content
from tests.support.site import Site, result_of

Shown = dict[str, str]


@pytest.fixture
def several(site: Site) -> Site:
    """A saltenv with three roots."""
    site.keep_only("test")
    site.remote.commit("develop", files(0))
    site.configure(states_dir=["salt", "more", "formulas/*"])
    site.sync_well()
    return site


def files(number: int) -> dict[str, Content]:
    """A commit that adds and removes a formula, and a file that another root hides."""
    found: dict[str, Content] = {
        f"formulas/f{number}/f{number}/init.sls": f"{number}\n",
        "more/app/init.sls": f"hidden {number}\n",
        "more/app/more.sls": f"{number}\n",
        "salt/app/init.sls": f"{number}\n",
    }
    if number:
        found[f"formulas/f{number - 1}/f{number - 1}/init.sls"] = None
    return found


def wanted(number: int) -> Shown:
    """What Salt has to find of it."""
    return {
        f"f{number}/init.sls": f"{number}\n",
        "app/init.sls": f"{number}\n",
        "app/more.sls": f"{number}\n",
    }


def seen(site: Site) -> Shown:
    """What Salt finds, less what no commit changes."""
    found = composed(site, "develop")
    return {n: t for n, t in found.items() if n.endswith(".sls") and n != "top.sls"}


def test_killed_at_every_step_of_a_switch(several: Site, server: KillServer) -> None:
    crash = Crash(several, server, "sync", "--quiet", "--config", str(several.config))
    for number in range(1, 100):
        several.remote.commit("develop", files(number))
        killed = crash.is_killed(ANY, number - 1)
        assert seen(several) in (wanted(number - 1), wanted(number))
        several.sync_well()
        assert seen(several) == wanted(number)
        if not killed:
            assert number > 25
            return
    raise AssertionError("it never came to an end")


def test_killed_at_every_step_from_a_word_to_a_list(site: Site, server: KillServer) -> None:
    """Whatever Salt is told at any moment, there is a top file where it looks."""
    site.keep_only("test")
    site.remote.commit("develop", files(0))
    crash = Crash(site, server, "sync", "--quiet", "--config", str(site.config))
    top = site.root / "tops" / "test" / "states" / "branch_top.jinja"
    steps: list[str] = []
    for number in range(100):
        shutil.rmtree(site.root, ignore_errors=True)
        site.master_config.unlink(missing_ok=True)
        site.configure(states_dir="salt")
        site.sync_well()
        site.configure(states_dir=["salt", "more", "formulas/*"])
        step = steps[number - 1] if number else ""
        assert crash.is_killed(step) == (number > 0), step
        told = site.master_config.read_text()
        assert "roots/states" not in told or "top.sls" in composed(site, "develop"), step
        assert top.read_text().startswith("base:"), step
        site.sync_well()
        assert seen(site) == wanted(0), step
        if not number:
            steps = [
                s for s in crash.telling_steps() if "/roots/" in s or "tops" in s or "state/" in s
            ]
            assert len(steps) > 8
        if number == len(steps):
            return
    raise AssertionError("it never came to an end")


def test_a_list_that_changes_while_a_switch_was_not_recorded(
    several: Site, server: KillServer
) -> None:
    crash = Crash(several, server, "sync", "--quiet", "--config", str(several.config))
    several.remote.commit("develop", files(1))
    assert crash.is_killed("open root/state/served~.saltbranch-new")
    several.configure(states_dir=["more", "salt", "formulas/*"])
    several.sync_well()
    assert seen(several)["app/init.sls"] == "hidden 1\n"
    assert not several.sync_here().changed


def test_two_syncs_at_once(several: Site) -> None:
    for number in range(1, 4):
        several.remote.commit("develop", files(number))
        runs = [several.start("--wait", "60") for _ in range(2)]
        assert [run.wait(timeout=60) for run in runs] == [0, 0]
        for run in runs:
            run.communicate()
        assert seen(several) == wanted(number)


def test_a_reader_sees_the_old_or_the_new(several: Site) -> None:
    """At the names that both have: through the link that Salt follows, every file is there at every moment."""
    place = several.root / "slots/develop/served/roots/states/app/init.sls"
    lost: list[OSError] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                place.read_text()
            except OSError as err:
                lost.append(err)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(1, 6):
            several.remote.commit("develop", files(number))
            several.sync_well()
    finally:
        done.set()
        reader.join()
    assert not lost


def test_no_room_on_the_disk(several: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    several.remote.commit("develop", files(1))
    made = 0
    real = os.symlink

    def symlink(target: str, path: str) -> None:
        nonlocal made
        made += "/roots/" in path
        if made > 2 and "/roots/" in path:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        real(target, path)

    with monkeypatch.context() as patch:
        patch.setattr(compose.os, "symlink", symlink)
        result = result_of(several.sync_here(), "test")
        assert (result.state, "No space left" in result.message) == ("failed", True)
    assert seen(several) == wanted(0)
    several.sync_well()
    assert seen(several) == wanted(1)


def test_strange_things_in_the_idle_slot_are_removed(several: Site, tmp_path: Path) -> None:
    idle = several.idle("develop").parent / "roots"
    idle.mkdir(exist_ok=True)
    (idle / "states").mkdir(exist_ok=True)
    (tmp_path / "kept").write_text("kept")
    (idle / "states" / "out").symlink_to(tmp_path)
    several.remote.commit("develop", files(1))
    several.sync_well()
    assert seen(several) == wanted(1)
    assert (tmp_path / "kept").read_text() == "kept"
