"""Starts that are made up, starts by the thousand, and processes that end between two steps."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import salt.utils.event

from saltbranch.new_minions import known
from saltbranch.new_minions.known import KNOWN, STARTED, Entry
from tests.new_minions.conftest import Arrivals

pytestmark = pytest.mark.xdist_group("arrivals")
_KILLED = """
import os, signal, sys
from saltbranch.actions.new_minions import new_minions
from saltbranch.ext.minion_jobs import SaltMaster
from saltbranch.salt_master import options

config, salt_config, minion, step, place = sys.argv[1:6]

class Dying(SaltMaster):
    def _die(self, here):
        if here == f"{place} {step}":
            os.kill(os.getpid(), signal.SIGKILL)

    def publish(self, minions, calls, jid=""):
        name = "highstate" if jid else "job"
        self._die(f"before {name}")
        told = super().publish(minions, calls, jid)
        self._die(f"after {name}")
        return told

    def fire(self, tag, data):
        self._die("before event")
        super().fire(tag, data)
        self._die("after event")

new_minions(config, Dying(options.read(salt_config).opts), {}, minion)
"""


def jobs_of(arrivals: Arrivals, function: str) -> int:
    """How many jobs the master has published that have the function."""
    loads = (arrivals.cluster.cache_dir / "jobs").glob("*/*/.load.p")
    return sum(function.encode() in load.read_bytes() for load in loads)


def forge(arrivals: Arrivals, tag: str, data: dict[str, object]) -> None:
    """Let the minion test1 put an event of its own making on the master's bus."""
    with arrivals.master.listening(tag) as heard:
        events = [{"tag": tag, "data": data}]
        arrivals.cluster.local("test1", "event.fire_master", {}, "x", preload={"events": events})
        assert [event["data"].get("id") for event in heard(1)] == [data.get("id")]


@pytest.mark.parametrize(
    ("claimed", "data"),
    [
        ("stage1", {"id": "../../../etc/passwd"}),
        ("stage1", {"id": "no-such-minion"}),
        ("stage1", {"id": {"a": ["{{ 7 * 7 }}"]}}),
        ("stage1", {"id": "x\n- runner.test.arg: []"}),
        ("stage1", {}),
        ("stage1", {"id": "a" * 100_000}),
        ("stage1", {"id": ".key_cache"}),
        ("stage1", {"id": "\x00"}),
    ],
)
def test_what_no_minion_is_called_does_nothing(
    arrivals: Arrivals, claimed: str, data: dict[str, object]
) -> None:
    before = arrivals.site.root.joinpath("state/minions/known").read_bytes()

    with (
        arrivals.master.listening("saltbranch/minion/") as told,
        arrivals.master.listening("salt/run/") as heard,
    ):
        forge(arrivals, f"salt/minion/{claimed}/start", data)
        runs: list[dict[str, Any]] = []
        while not runs:
            events = heard(1)
            assert events, "no run ends"
            runs = [event["data"] for event in events if event["tag"].endswith("/ret")]
        assert told(0) == []

    assert {run["fun"] for run in runs} == {"runner.saltbranch.new_minions"}
    assert {run["return"]["retcode"] for run in runs} <= {0, 2}
    assert arrivals.site.root.joinpath("state/minions/known").read_bytes() == before


def test_a_start_that_is_made_up_brings_the_real_one_no_second_highstate(
    arrivals: Arrivals,
) -> None:
    arrivals.cluster._config.seed_keys("test3")  # accepted, and not up yet
    forge(arrivals, "salt/minion/test3/start", {"id": "test3"})
    arrivals.wait(lambda: (e := arrivals.entry("test3")) and e.stage != STARTED)

    with arrivals.master.listening("saltbranch/minion/") as heard:
        arrivals.cluster.start_minion("test3")
        (event,) = heard(1)

    assert event["data"]["highstate"]
    arrivals.wait(lambda: arrivals.highstates("test3") == 1)
    forge(arrivals, "salt/minion/test3/start", {"id": "test3"})
    time.sleep(3)
    assert arrivals.highstates("test3") == 1


def test_starts_that_are_made_up_all_the_time_keep_no_minion_from_its_place(
    arrivals: Arrivals,
) -> None:
    def lie() -> bool:
        known.note_started(str(arrivals.site.root), "test2")
        entry = arrivals.entry("test2")
        return entry is not None and entry.stage == KNOWN

    arrivals.cluster.start_minion("test2")
    arrivals.wait(lie, 120)
    arrivals.wait(lambda: arrivals.highstates("test2") == 1)


def test_a_thousand_starts_in_a_moment_are_one_thing_to_do(arrivals: Arrivals) -> None:
    arrivals.cluster._config.seed_keys("test4")
    opts = arrivals.master.opts
    most = 0
    with (
        salt.utils.event.get_master_event(opts, opts["sock_dir"], listen=False) as bus,
        arrivals.master.listening("salt/run/") as heard,
    ):
        before, begun = jobs_of(arrivals, "sync_all"), time.monotonic()
        for number in range(1000):
            minion = ("test1", "nobody", "test4", "other1")[number % 4]
            bus.fire_event({"id": minion}, f"salt/minion/{minion}/start")
            if number % 100 == 0:
                most = max(most, _processes(arrivals))
        ended = [e for e in heard(1999) if e["tag"].endswith("/ret")]
        took = time.monotonic() - begun

    assert len(ended) >= 999  # the one that does the work may go on
    assert took < 200
    assert {e["data"]["return"].get("retcode") for e in ended} == {0}
    assert jobs_of(arrivals, "sync_all") - before <= 8
    assert most <= _processes(arrivals) + 2

    with arrivals.master.listening("saltbranch/minion/new/test") as told:
        arrivals.cluster.start_minion("test4")
        assert len(told(1)) == 1


def _processes(arrivals: Arrivals) -> int:
    """Processes of the master."""
    master = arrivals.cluster._daemons[""].pid
    with contextlib.suppress(psutil.NoSuchProcess):
        return len(psutil.Process(master).children(recursive=True))
    return 0


STEPS = [(place, step) for step in ("job", "highstate", "event") for place in ("before", "after")]


def test_killed_between_any_two_steps_it_is_applied_once(
    arrivals: Arrivals, tmp_path: Path
) -> None:
    """The reactor's part is played by processes that end at one step after the other, for the same minion."""
    arrivals.cluster._config.seed_keys("test5")
    with _without_reactor(arrivals):
        arrivals.cluster.start_minion("test5")
        arrivals.wait(lambda: arrivals.cluster._ping(["test5"]))

        with arrivals.master.listening("saltbranch/minion/new/test") as told:
            for place, step in STEPS:
                assert _run(arrivals, "test5", step, place) == -signal.SIGKILL, (place, step)
            assert _run(arrivals, "test5", "never", "never") == 0
            events = [event["data"] for event in told(2)]

    entry = arrivals.entry("test5")
    assert entry and entry.stage == KNOWN
    assert {event["highstate"] for event in events} == {entry.jid}
    assert len(events) == 2  # the one that was killed after it had told, and the one that went on
    arrivals.wait(lambda: arrivals.highstates("test5") >= 1)
    time.sleep(2)
    assert arrivals.highstates("test5") == 1


@contextlib.contextmanager
def _without_reactor(arrivals: Arrivals) -> Iterator[None]:
    """The reaction is away, so a start does nothing by itself: it is read at each event."""
    reaction = arrivals.cluster.config_dir / "master.d" / "saltbranch-new-minion.sls"
    aside = reaction.rename(reaction.with_suffix(".aside"))
    try:
        yield
    finally:
        aside.rename(reaction)


def _run(arrivals: Arrivals, minion: str, step: str, place: str) -> int:
    argv = [
        str(arrivals.site.config),
        str(arrivals.cluster.master_config_file),
        minion,
        step,
        place,
    ]
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, *argv],
        env={**os.environ},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert b"Traceback" not in done.stderr, done.stderr
    return done.returncode


def test_a_server_that_is_built_anew_is_new_and_one_with_a_highstate_behind_it_is_told_so(
    arrivals: Arrivals,
) -> None:
    """Its key is another one; that this minion kept its cachedir is what a second master would see, too."""
    cluster, own = arrivals.cluster, arrivals.cluster.root / "minions" / "test5" / "pki"
    cluster.stop_minion("test5")
    (cluster.root / "master" / "pki" / "minions" / "test5").unlink()
    shutil.rmtree(own)
    before: Entry | None = arrivals.entry("test5")

    with _without_reactor(arrivals):
        cluster.start_minion("test5")
        arrivals.wait(lambda: cluster._ping(["test5"]))
        answer = arrivals.master.runner("new_minions", "test5")

    (event,) = answer.value["placed"]
    assert (event["had_highstate"], event["highstate"]) == (True, None)
    entry = arrivals.entry("test5")
    assert entry and before and entry.key != before.key
    assert arrivals.highstates("test5") == 1
