"""Killed by SIGKILL at every step of a sync that fetches a submodule and moves its pin; and two at once."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
from pathlib import Path

import pytest

from tests.actions.test_sync_faults import mounted
from tests.serve.test_formulas import PATH, expected, pin
from tests.support.kill_server import KillServer
from tests.support.remote import Remote
from tests.support.site import FaultyGit, Site, build_template


@pytest.fixture
def formula(tmp_path: Path) -> Remote:
    made = Remote(tmp_path / "formulas" / "nginx.git")
    made.commit("main", {"nginx/init.sls": "v: 0\n"})
    return made


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path, build_template(tmp_path / "remote.git"))
    made.configure(submodules=[str(tmp_path / "formulas")])
    made.keep_only("test")
    return made


def move(site: Site, formula: Remote, number: int) -> dict[str, tuple[Remote, str]]:
    """A commit with the pin of a new commit; every fourth one without, every other one at another place."""
    head = formula.commit("main", {"nginx/init.sls": f"v: {number}\n", f"n{number}": ""})
    path, other = (PATH, "salt/other") if number % 2 else ("salt/other", PATH)
    pins = {path: (formula, head)} if number % 4 else {}
    for gone in (PATH, "salt/other"):
        if gone not in pins:
            site.remote.commit("develop", {gone: None})
    pin(site, "develop", pins)
    return pins


def test_killed_at_every_step(site: Site, formula: Remote, server: KillServer) -> None:
    pins = move(site, formula, 1)
    assert site.sync_here().exit_code == 0
    log = site.folder / "steps"
    for number in range(2, 200):
        old, pins = expected(site, "develop", pins), move(site, formula, number)
        new = expected(site, "develop", pins)
        if number % 5 == 0:  # as for the first time
            shutil.rmtree(site.root / "formulas", ignore_errors=True)
        code = server.run(log, "any", number - 2, "sync", "--quiet", "--config", str(site.config))
        assert code in (0, -signal.SIGKILL)
        assert site.shown("develop") in (old, new)
        result = site.sync_here(wait=30)
        assert result.exit_code == 0, [s.message for s in result.saltenvs]
        assert site.shown("develop") == new
        if code == 0 and number > 60:
            return
    raise AssertionError("it never came to an end")


@pytest.mark.parametrize("apart", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_while_a_list_becomes_known(
    site: Site, formula: Remote, server: KillServer, apart: int
) -> None:
    """At a commit that stays: the next sync has to see that what is served was made by another list."""
    listed, log = site.settings["submodules"], site.folder / "steps"
    pins = {PATH: (formula, formula.head("main"))}
    pin(site, "develop", pins)
    assert site.sync_here().exit_code == 0
    with_it, without = (
        expected(site, "develop", pins),
        site.remote.tree(site.remote.head("develop")),
    )
    for number in range(0, 400, apart):
        site.configure(submodules=None if number % 2 == 0 else listed)
        new = without if number % 2 == 0 else with_it
        code = server.run(log, "any", number, "sync", "--quiet", "--config", str(site.config))
        assert code in (0, -signal.SIGKILL)
        assert site.shown("develop") in (with_it, without)
        assert site.sync_here(wait=30).exit_code == 0
        assert site.shown("develop") == new, f"killed at step {number}"
        if code == 0:
            return
    raise AssertionError("it never came to an end")


@pytest.mark.parametrize("fault", ["git", "torn", "parent"])
def test_git_that_fails_at_any_call(
    site: Site, formula: Remote, tmp_path: Path, fault: str
) -> None:
    faulty = FaultyGit(tmp_path / "bin")
    pins = move(site, formula, 1)
    assert site.sync_here().exit_code == 0
    for number in range(1, 100):
        old, pins = expected(site, "develop", pins), move(site, formula, number * 4 + 1)
        site.run("sync", "--quiet", env=faulty.env(fault, number))
        new = expected(site, "develop", pins)
        assert site.shown("develop") in (old, new)
        assert site.sync_here(wait=30).exit_code == 0
        assert site.shown("develop") == new
        if number > faulty.calls():
            return
    raise AssertionError("it never came to an end")


def test_two_at_once(site: Site, formula: Remote) -> None:
    for number in (1, 2, 3, 5):
        pins = move(site, formula, number)
        started = [site.start("--wait", "60", "--json") for _ in range(3)]
        said = [process.communicate(timeout=120)[0] for process in started]
        assert [process.returncode for process in started] == [0, 0, 0]
        changed = [json.loads(text)["saltenvs"][0]["changed"] for text in said]
        assert sorted(changed) == [False, False, True]
        assert site.shown("develop") == expected(site, "develop", pins)


@pytest.mark.parametrize("free", [0, 60, 200, 700])
def test_full_disk(tmp_path: Path, site: Site, formula: Remote, free: int) -> None:
    """With `free` KiB left: what is served stays, and is the new commit whole or not at all."""
    site.root.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", site.root):
        pins = {PATH: (formula, formula.head("main"))}
        pin(site, "develop", pins)
        assert site.sync_here().exit_code == 0
        before = site.shown("develop")
        large = formula.commit("main", {"large": random.Random(1).randbytes(300_000)})
        pins = {PATH: (formula, large)}
        pin(site, "develop", pins)
        filler, stat = site.root / "filler", os.statvfs(site.root)
        filler.write_bytes(b"\0" * (stat.f_bavail * stat.f_frsize - free * 1024))
        for _ in range(2):
            ran = site.sync()
            if ran.code == 0:
                break
            assert "free some space below the root" in ran.err, ran.err
            assert site.shown("develop") == before
        assert (free == 700) == (ran.code == 0)
        filler.unlink()
        result = site.sync_here()
        assert result.exit_code == 0 and not [n for n in result.notes if "damaged" in n]
        assert site.shown("develop") == expected(site, "develop", pins)
        assert not site.sync_here(verify=True).changed
