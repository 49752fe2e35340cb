"""A switch and state runs that are under way, on a real salt-master with real minions."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import salt.client

from saltbranch.actions.status import status
from saltbranch.salt_master import options as master_options
from saltbranch.serve import drain, drain_record
from saltbranch.serve.hold_here import hold_locally
from saltbranch.serve.run import SaltenvResult
from tests.support.running import HOOK, REACTION, Cluster, Master
from tests.support.site import Site, build_template, event, result_of

SECONDS = 60
MINIONS = ("test1", "prod1")


@dataclass
class Fleet:
    """A master, its minions and its site, whose saltenvs test and prod drain."""

    site: Site
    cluster: Cluster
    master: Master
    client: Any
    number: int = 0
    gates: dict[str, Path] = field(default_factory=dict)

    def run(self, minion: str, **kwargs: Any) -> str:
        """Start a state run that lasts until `end`; its job."""
        self.number += 1
        gate = self.site.folder / f"gate{self.number}"
        words = ["cmd.run", f"until test -e {gate}; do sleep 0.1; done"]
        jid = str(
            self.client.cmd_async([minion], "state.single", words, tgt_type="list", kwarg=kwargs)
        )
        assert jid != "0"
        self.gates[jid] = gate
        return jid

    def end(self, *jids: str) -> None:
        """Let runs end, all where none is named."""
        for jid in jids or list(self.gates):
            self.gates.pop(jid).touch()

    def is_returned(self, jid: str) -> bool:
        """Whether the master has the return of all."""
        return bool(self.client.get_cache_returns(jid))

    def push(self, branch: str = "develop") -> str:
        """A new commit."""
        self.number += 1
        return self.site.remote.commit(branch, {"salt/app/n.sls": f"# {self.number}\n"})

    def serves(self, branch: str) -> str:
        """The commit that is served."""
        return (self.site.root / "slots" / branch / "served" / "commit").read_text().strip()

    def set(self, **keys: Any) -> None:
        """Change what the saltenv test has of drain."""
        entry = self.site.settings["saltenvs"]["test"]
        entry.update(keys)
        self.site.configure()
        self.site.sync_here()

    def sync(self, **options: Any) -> SaltenvResult:
        """Sync; what became of the saltenv test."""
        return result_of(self.site.sync_here(**options), "test")

    def sync_and_end(self) -> SaltenvResult:
        """The same, and let all runs end once it says that it waits."""

        def say(text: str) -> None:
            if " waits for " in text:
                self.end()

        return self.sync(say=say)


@pytest.fixture(scope="module")
def _fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with started(tmp_path_factory.mktemp("drain")) as fleet:
        yield fleet


@contextmanager
def started(folder: Path, **options: Any) -> Iterator[Fleet]:
    """A fleet whose master has more options."""
    (folder / "react.sls").write_text(REACTION)
    site = Site(folder, build_template(folder / "remote.git"))
    site.keep_only("test", "prod")
    cluster = Cluster(
        folder / "salt",
        minions={minion: {} for minion in MINIONS},
        minion_options={
            minion: {"autoload_dynamic_modules": False, "multiprocessing": True}
            for minion in MINIONS
        },
        master_options={
            "saltbranch_config": str(site.config),
            "gather_job_timeout": 4,
            "reactor": [{HOOK: [str(folder / "react.sls")]}],
            **options,
        },
    )
    cluster.write_config()
    site.master_config = cluster.config_dir / "master.d" / "saltbranch.conf"
    for entry in site.settings["saltenvs"].values():
        entry["drain"] = "60s"
    site.configure(
        salt_config=str(cluster.master_config_file), master_config=str(site.master_config)
    )
    site.sync_well()
    with cluster:
        client = salt.client.LocalClient(str(cluster.master_config_file))
        try:
            yield Fleet(site, cluster, Master(site, cluster), client)
        finally:
            client.destroy()


@pytest.fixture
def fleet(_fleet: Fleet) -> Iterator[Fleet]:
    """The same for all tests, as the one before found it."""
    yield _fleet
    _fleet.end()
    _fleet.set(drain="60s", drain_then=None)
    until(lambda: not _fleet.cluster.local("test1", "saltutil.is_running", "state.*"))


def until(found: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """What `found` gives once that is something."""
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return value


def waits(fleet: Fleet) -> dict[str, Any] | None:
    """What was kept of the waiting of the saltenv test."""
    return drain_record.load(str(fleet.site.root), "test")


def finished(process: subprocess.Popen[str]) -> tuple[int, list[dict[str, Any]]]:
    """Exit status and saltenvs of a sync with ``--json``."""
    out, err = process.communicate(timeout=2 * SECONDS)
    assert not err, err
    return process.returncode, json.loads(out)["saltenvs"]


def test_a_switch_waits_for_a_run_and_neither_other_saltenvs_nor_a_hold_do(fleet: Fleet) -> None:
    before = fleet.serves("develop")
    new, other = fleet.push(), fleet.push("master")

    with fleet.master.listening("saltbranch/waiting/") as heard:
        jid = fleet.run("test1")
        process = fleet.site.start("--json")
        until(lambda: waits(fleet))
        (told,) = heard(1)

    # The other saltenv is switched, and whoever looks is told.
    assert (fleet.serves("master"), fleet.serves("develop")) == (other, before)
    run = {"minion": "test1", "jid": jid, "function": "state.single"}
    assert run.items() <= told["data"]["runs"][0].items()
    assert told["tag"] == "saltbranch/waiting/test" and told["data"]["new"] == new
    shown = next(s for s in status(str(fleet.site.config)).saltenvs if s.saltenv == "test")
    assert shown.waits and run.items() <= shown.waits["runs"][0].items()
    # Another sync leaves it to the one that waits; a hold of the other saltenv is served at once.
    second = fleet.sync()
    assert (second.state, "another sync waits already" in second.message) == ("waiting", True)
    old = fleet.site.remote.git("rev-parse", "master~1")
    hold = event("hold", saltenv="prod", commit=old, reason="an emergency")
    assert result_of(hold_locally(str(fleet.site.config), hold), "prod").state == "switched"
    assert fleet.serves("master") == old
    assert not fleet.is_returned(jid)

    fleet.end(jid)
    code, rows = finished(process)

    row = next(row for row in rows if row["saltenv"] == "test")
    assert (code, row["state"], row["old"], row["new"]) == (0, "switched", before, new)
    assert row["message"].startswith("waited ") and f"job {jid}" in row["message"]
    assert (row["runs"], fleet.serves("develop"), waits(fleet)) == ([], new, None)
    assert fleet.is_returned(jid)


def test_a_hold_of_the_very_saltenv_that_waits_is_served_at_once(fleet: Fleet) -> None:
    before, new = fleet.serves("develop"), fleet.push()
    jid = fleet.run("test1")
    process = fleet.site.start("--json")
    until(lambda: waits(fleet))
    old = fleet.site.remote.git("rev-parse", "develop~2")
    assert len({before, new, old}) == 3

    hold = event("hold", saltenv="test", commit=old, reason="an emergency")
    assert result_of(hold_locally(str(fleet.site.config), hold), "test").state == "switched"

    assert (fleet.serves("develop"), fleet.is_returned(jid)) == (old, False)
    fleet.end(jid)
    code, rows = finished(process)
    assert (code, rows[0]["state"], rows[0]["held"]) == (0, "unchanged", "an emergency")
    assert fleet.serves("develop") == old
    hold_locally(str(fleet.site.config), event("unhold", saltenv="test", reason="it is over"))
    fleet.sync()


def test_a_plan_says_whom_it_would_wait_for(fleet: Fleet) -> None:
    fleet.push()
    jid = fleet.run("test1")

    row = fleet.sync(plan=True)

    assert (row.state, row.changed) == ("switched", True)
    assert [run["jid"] for run in row.runs] == [jid]
    assert row.message.startswith("would wait for test1: state.single since ")
    assert fleet.sync(drain=0.0).state == "switched"  # --drain 0s waits for nobody


def test_a_run_longer_than_the_drain_is_switched_away_from(fleet: Fleet) -> None:
    fleet.set(drain="2s")
    new, jid = fleet.push(), fleet.run("test1")

    row = fleet.sync()

    assert (row.state, fleet.serves("develop"), fleet.is_returned(jid)) == ("switched", new, False)
    assert [run["jid"] for run in row.runs] == [jid]
    # A busy machine looks later than it wanted to.
    told = re.match(r"switched after (\d+) s during test1: state\.single since ", row.message)
    assert told and int(told[1]) >= 2


def test_with_wait_it_is_left_to_the_next_sync(fleet: Fleet) -> None:
    fleet.set(drain="2s", drain_then="wait")
    before, new, jid = fleet.serves("develop"), fleet.push(), fleet.run("test1")

    ran = fleet.site.sync("test")

    assert (ran.code, fleet.serves("develop")) == (75, before)
    line = f"test: develop not switched, {before[:12]} -> {new[:12]} (not switched after "
    assert ran.out.startswith(line) and f"job {jid}" in ran.out and ran.err == ""
    assert (fleet.site.sync("test", "--quiet").out, fleet.serves("develop")) == ("", before)
    kept = waits(fleet)
    assert kept and kept["since"] < time.time() - 2
    # The same switch is not put off for more than a day.
    drain_record.save(str(fleet.site.root), "test", kept | {"since": time.time() - 90_000})
    row = fleet.sync()
    assert (row.state, fleet.serves("develop")) == ("switched", new)
    assert "during test1" in row.message and not fleet.is_returned(jid)


def test_a_run_that_died_is_not_waited_for_to_the_end(fleet: Fleet) -> None:
    new, jid = fleet.push(), fleet.run("test1")
    running = until(lambda: fleet.cluster.local("test1", "saltutil.find_job", jid))
    os.kill(running["pid"], signal.SIGKILL)
    begun = time.monotonic()

    row = fleet.sync()

    assert (row.state, fleet.serves("develop"), fleet.is_returned(jid)) == ("switched", new, False)
    assert time.monotonic() - begun < 40
    # It is remembered: the next switch waits for it no more.
    again = fleet.push()
    assert fleet.sync().message == "" and fleet.serves("develop") == again


def test_a_minion_that_does_not_answer_is_not_waited_for_to_the_end(fleet: Fleet) -> None:
    daemon = fleet.cluster._daemons["test1"]
    os.killpg(daemon.pid, signal.SIGSTOP)
    try:
        new, jid = fleet.push(), fleet.run("test1")
        begun = time.monotonic()
        row = fleet.sync()
        assert time.monotonic() - begun < 40
        assert (row.state, fleet.serves("develop")) == ("switched", new)
        assert f"job {jid}" in row.message and not fleet.is_returned(jid)
    finally:
        os.killpg(daemon.pid, signal.SIGCONT)
        fleet.end(jid)
    until(lambda: fleet.is_returned(jid))


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_the_next_sync_goes_on_where_a_waiting_one_was_ended(fleet: Fleet, signum: int) -> None:
    before, new = fleet.serves("develop"), fleet.push()
    fleet.run("test1")
    process = fleet.site.start("--json")
    until(lambda: waits(fleet))

    process.send_signal(signum)
    process.communicate(timeout=SECONDS)

    assert process.returncode == (130 if signum == signal.SIGTERM else -signal.SIGKILL)
    assert fleet.serves("develop") == before
    row = fleet.sync_and_end()
    assert (row.state, fleet.serves("develop")) == ("switched", new)
    assert "waited" in row.message


def test_a_runner_in_the_masters_own_process_waits_too(fleet: Fleet) -> None:
    new = fleet.push()
    jid = fleet.run("test1")

    with fleet.master.listening("saltbranch/") as heard:
        assert master_options.fire(fleet.master.opts, HOOK, {"post": {"after": new}})
        (waiting,) = heard(1)
        assert fleet.serves("develop") != new and not fleet.is_returned(jid)
        fleet.end(jid)
        (switched,) = heard(1)

    assert [waiting["tag"], switched["tag"]] == ["saltbranch/waiting/test", "saltbranch/sync/test"]
    assert fleet.is_returned(jid) and fleet.serves("develop") == new


def test_after_a_promotion_nobody_sits_and_waits(fleet: Fleet) -> None:
    before = fleet.serves("develop")
    fleet.push()
    fleet.run("test1")
    begun = time.monotonic()

    row = fleet.sync(patience=0.0)

    assert time.monotonic() - begun < 12
    assert (row.state, fleet.serves("develop")) == ("waiting", before)
    assert row.message.endswith("the next sync goes on")


def test_a_run_by_another_minion_that_names_the_saltenv_is_waited_for(fleet: Fleet) -> None:
    new = fleet.push()
    jid = fleet.run("prod1", saltenv="test")

    row = fleet.sync_and_end()

    assert (row.state, fleet.serves("develop"), fleet.is_returned(jid)) == ("switched", new, True)
    assert "prod1: state.single since " in row.message


def test_a_run_in_the_minions_own_queue_is_waited_for(fleet: Fleet) -> None:
    new, before = fleet.push(), fleet.serves("develop")
    first = fleet.run("test1")
    until(lambda: fleet.cluster.local("test1", "saltutil.find_job", first))
    second = fleet.run("test1", queue=True)
    process = fleet.site.start("--json")
    kept = until(lambda: waits(fleet))
    assert [run["jid"] for run in kept["runs"]] == [first, second]
    # It has been asked for both by now, and the second is in no list of what the minion runs.
    time.sleep(6)
    assert not fleet.cluster.local("test1", "saltutil.find_job", second)

    fleet.end(first)
    until(lambda: fleet.cluster.local("test1", "saltutil.find_job", second))
    time.sleep(2)
    assert fleet.serves("develop") == before

    fleet.end(second)
    code, rows = finished(process)
    assert (code, rows[0]["state"], fleet.serves("develop")) == (0, "switched", new)
    assert fleet.is_returned(second)


def test_while_a_sync_waits_it_goes_on_with_the_other_saltenvs(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain, "_TURN", 1.0)
    pushed: list[str] = []

    def say(text: str) -> None:
        if " waits for " in text:
            pushed.append(fleet.push("master"))
            thread.start()

    def served() -> None:
        until(lambda: fleet.serves("master") == pushed[0])
        fleet.end()

    thread = threading.Thread(target=served)
    hold_locally(str(fleet.site.config), event("unhold", saltenv="prod", reason="it is over"))
    fleet.sync()
    before, new, jid = fleet.serves("master"), fleet.push(), fleet.run("test1")

    result = fleet.site.sync_here(say=say)

    thread.join()
    rows = {row.saltenv: row for row in result.saltenvs}
    assert (rows["prod"].old, rows["prod"].new) == (before, pushed[0])
    assert (rows["test"].state, fleet.serves("develop")) == ("switched", new)
    assert fleet.is_returned(jid)


def test_a_drain_goes_on_where_a_sync_that_waited_was_ended(fleet: Fleet) -> None:
    fleet.set(drain="20s")
    fleet.push()
    fleet.run("test1")
    assert fleet.sync(patience=0.0).state == "waiting"
    kept = waits(fleet)
    assert kept
    drain_record.save(str(fleet.site.root), "test", kept | {"since": kept["since"] - 20})
    begun = time.monotonic()

    row = fleet.sync()

    assert row.state == "switched" and "during test1" in row.message
    assert time.monotonic() - begun < 18


def test_what_is_no_state_run_is_not_waited_for(fleet: Fleet, tmp_path: Path) -> None:
    new = fleet.push()
    for function, words in (("test.sleep", [5]), ("state.list_disabled", [])):
        fleet.client.cmd_async(["test1"], function, words, tgt_type="list")

    assert fleet.sync().message == "" and fleet.serves("develop") == new


@pytest.mark.slow
def test_a_master_that_keeps_no_returns_asks_until_a_run_is_over(tmp_path: Path) -> None:
    with started(tmp_path, job_cache=False) as fleet:
        new, before = fleet.push(), fleet.serves("develop")
        fleet.run("test1")
        process = fleet.site.start("--json")
        until(lambda: waits(fleet))
        time.sleep(15)
        assert (process.poll(), fleet.serves("develop")) == (None, before)
        fleet.end()
        code, rows = finished(process)
        assert (code, rows[0]["state"], fleet.serves("develop")) == (0, "switched", new)
