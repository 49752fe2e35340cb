"""apply on a running salt-master with twelve minions, of which some do what minions do at the worst moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from saltbranch.demo.cluster import Cluster
from saltbranch.salt_master.jobs import Jobs
from tests.support.on_terminal import OnTerminal
from tests.support.site import Journal, Site, build_template

IDS = [f"prod{number:02}" for number in range(1, 13)]
EMPTY = IDS[11]
SLS = """\
{{% set path = '{behave}/' ~ grains.id %}}
{{% set does = salt['file.read'](path) if salt['file.file_exists'](path) else '' %}}
mark:
  cmd.run:
    - name: echo {name} >> {lines}/{{{{ grains.id }}}}
    - order: 1
{{% if does.startswith('sleep') %}}
slow:
  cmd.run:
    - name: {{{{ does }}}}
{{% elif does == 'fail' and '{name}' != 'former' %}}
bad:
  test.fail_without_changes: []
{{% endif %}}
"""
WITHOUT_ANSWER = "def apply_(*args, **kwargs):\n    return {}\n"

pytestmark = [pytest.mark.xdist_group("apply"), pytest.mark.slow]


class Fleet:
    """The running cluster. What a minion applies appends the name of the commit to a file of its own."""

    def __init__(self, folder: Path, ids: Sequence[str] = IDS) -> None:
        self.ids = list(ids)
        self.site = Site(folder, build_template(folder / "remote.git"))
        self.lines, self.behave = folder / "lines", folder / "behave"
        self.lines.mkdir()
        self.behave.mkdir()
        modules = folder / "modules"
        modules.mkdir()
        (modules / "state.py").write_text(
            "__func_alias__ = {'apply_': 'apply'}\n\n\n" + WITHOUT_ANSWER
        )
        self.former = self.commit("former")
        self.cluster = Cluster(
            folder / "salt",
            minions={minion: {} for minion in ids},
            minion_options={m: {"module_dirs": [str(modules)]} for m in ids if m == EMPTY},
            master_options={"timeout": 12, "gather_job_timeout": 6, "worker_threads": 4},
        )
        self.cluster.write_config()
        self.site.master_config = self.cluster.config_dir / "master.d" / "saltbranch.conf"
        self.site.configure(
            salt_config=str(self.cluster.master_config_file),
            master_config=str(self.site.master_config),
            record_syncs=True,
        )
        self.site.sync_well()

    def warm(self) -> None:
        """Let minions load their modules: on a busy machine that takes longer than an answer may, which is no news."""
        self.cluster.local_all("config.get", "saltenv", minions=self.ids)

    def commit(self, name: str) -> str:
        """What is to be applied next."""
        text = SLS.format(behave=self.behave, lines=self.lines, name=name)
        files: dict[str, object] = {"salt/top.sls": "prod:\n  '*': [app]\n", "salt/app.sls": text}
        self.site.remote.commit("master", {**files, "pillar/top.sls": "{}\n"})
        return str(self.site.remote.head("master"))

    def does(self, **what: str) -> None:
        """How minions behave from now on; those that are not named do nothing special."""
        for path in self.behave.iterdir():
            path.unlink()
        for minion, text in what.items():
            (self.behave / minion).write_text(text)
        for path in self.lines.iterdir():
            path.unlink()

    def applied(self) -> dict[str, list[str]]:
        """What each minion applied, each time."""
        return {path.name: path.read_text().split() for path in self.lines.iterdir()}

    def start(self, *args: str) -> subprocess.Popen[str]:
        """Begin the verb."""
        return subprocess.Popen(
            self.site.argv("apply", *args),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def record(self) -> dict[str, Any]:
        """The newest record as it lies on the disk; empty where there is none."""
        folder = self.site.root / "state" / "applies"
        names = sorted(p for p in folder.glob("2*") if "." not in p.name) if folder.exists() else []
        return dict(json.loads(names[-1].read_text())) if names else {}

    def states(self) -> dict[str, str]:
        """Minion to what became of it, by the newest record."""
        passes = self.record().get("passes") or [{"outcomes": {}}]
        return {m: str(o["state"]) for m, o in passes[0]["outcomes"].items()}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    fleet = Fleet(tmp_path_factory.mktemp("apply"))
    with fleet.cluster:
        fleet.warm()
        yield fleet


def until(is_so: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert process.poll() is None, process.communicate()
        if time.monotonic() > end:
            process.kill()
            raise AssertionError(process.communicate())
        time.sleep(0.05)


def end_of(process: subprocess.Popen[str]) -> tuple[int, list[dict[str, Any]]]:
    out, err = process.communicate(timeout=200)
    assert "Traceback" not in err and "\n{\n" not in out, (out, err)
    lines = [json.loads(line) for line in out.splitlines()]
    return process.returncode, lines


def test_killed_between_steps_and_the_same_command_finishes(fleet: Fleet) -> None:
    fleet.does(prod02="sleep 4", prod05="sleep 4")
    before = fleet.record().get("id")
    words = ("prod", "--yes", "--batch", "4", "--max-failures", "1", "--canary", "prod03", "--json")
    first = fleet.start(*words)
    until(
        lambda: fleet.record().get("id") != before and fleet.states().get("prod02") == "running",
        first,
    )
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    told = fleet.site.run("apply", "prod", "--status").out
    assert "killed" in told and "prod02" in told and "--resume" in told
    # The lease is still on: what is pushed now is not served yet, and it says why.
    fleet.commit("later")
    waits = fleet.site.sync()
    assert waits.code == 75 and "is being applied" in waits.out
    code, lines = end_of(fleet.start(*words))
    assert code == 20, lines  # one minion answers nothing
    assert lines[0]["event"] == "resume"
    end = lines[-1]
    assert end["status"] == "done"
    assert end["passes"][0]["batches"][0] == ["prod03"]
    assert end["passes"][0]["counts"] == {"applied": 11, "failed": 1}
    assert end["passes"][0]["minions"][EMPTY]["reason"] == "it returned nothing"
    # Nobody twice: that one has a line of its own for each run.
    assert fleet.applied() == {m: ["former"] for m in IDS if m != EMPTY}
    assert fleet.site.sync_well()
    assert "apply" in fleet.site.run("history", "prod").out


def test_every_minion_ends_as_something_and_two_do_not_apply_at_once(fleet: Fleet) -> None:
    fleet.cluster.stop_minion("prod11")
    fleet.does(prod02="fail", prod03="sleep 70", prod04="sleep 60", prod07="sleep 9")
    with Jobs(str(fleet.cluster.master_config_file)) as jobs:
        jobs.publish(["prod06"], "state.single", ["cmd.run", "sleep 12"])
    words = ("prod", "--yes", "--timeout", "45s", "--max-failures", "100%", "--json")
    first = fleet.start(*words)
    until(lambda: "later" in fleet.applied().get("prod04", []), first)
    other = fleet.site.run("apply", "prod", "--yes")
    assert other.code == 75 and "runs since" in other.err
    os.killpg(fleet.cluster._daemons["prod04"].pid, signal.SIGKILL)
    code, lines = end_of(first)
    end = lines[-1]
    assert code == 20 and end["status"] == "done", end
    assert end["skipped"] == {"prod11": "down"}
    found = {m: o["state"] for m, o in end["passes"][0]["minions"].items()}
    wrong = {"prod02": "failed", "prod03": "timed-out", "prod04": "gone", EMPTY: "failed"}
    assert found == {m: wrong.get(m, "applied") for m in IDS if m != "prod11"}
    minions = end["passes"][0]["minions"]
    assert minions["prod04"]["reason"] == "it does not answer"
    assert "bad" in minions["prod02"]["reason"]
    assert fleet.applied() == {m: ["later"] for m in IDS if m not in ("prod11", EMPTY)}
    fleet.cluster.stop_minion("prod04")
    for minion in ("prod04", "prod11"):
        fleet.cluster.start_minion(minion)
    fleet.cluster.local_all("test.ping", minions=IDS)


def test_a_person_tries_again_who_failed_and_goes_on_without_who_cannot(fleet: Fleet) -> None:
    fleet.does(prod05="fail")
    argv = fleet.site.argv("apply", "prod", "--yes", "--batch", "4", "--on-failure", "ask")
    with OnTerminal(argv) as terminal:
        facts = terminal.until("[a]gain: try prod05 again")
        assert (
            "batch 2 of 3: prod05, prod06, prod07, prod08; 4 pending, 7 applied, 1 failed" in facts
        )
        (fleet.behave / "prod05").unlink()
        terminal.type("again\n")
        facts = terminal.until(f"[g]o on without {EMPTY}")
        assert f"{EMPTY}: failed: it returned nothing" in facts
        terminal.type("g\n")
        code, _ = terminal.end()
    record = fleet.record()
    assert (code, record["status"], len(record["decided"])) == (20, "done", 2)
    assert record["passes"][0]["batches"] == [
        IDS[:4], ["prod06", "prod07", "prod08"], ["prod05"], IDS[8:],
    ]  # fmt: skip
    assert fleet.states() == {m: "failed" if m == EMPTY else "applied" for m in IDS}
    twice = {"prod05": ["later", "later"]}
    assert fleet.applied() == {m: ["later"] for m in IDS if m != EMPTY} | twice


def test_a_rollback_brings_the_former_commit_back(fleet: Fleet) -> None:
    fleet.does(prod05="fail")
    newer = fleet.commit("later")
    Journal(fleet.site.remote).add(
        "promotion",
        saltenv="prod",
        branch="master",
        source="stage",
        source_commit=newer,
        old=fleet.former,
        new=newer,
        served_before=fleet.former,
    )
    fleet.site.sync_well()
    words = ("prod", "--yes", "--batch", "4", "--on-failure", "rollback", "--json")
    code, lines = end_of(fleet.start(*words))
    end = lines[-1]
    assert code == 20 and end["status"] == "rolled-back", end
    assert end["passes"][1]["commit"] == fleet.former
    assert end["passes"][1]["batches"] == [IDS[:4], ["prod05", "prod06", "prod07", "prod08"]]
    assert end["passes"][1]["counts"] == {"applied": 8}
    assert end["stays"]["former"] == fleet.former and end["decided"] == []
    # The files of those that were touched are those of the former commit, nobody else was touched.
    assert fleet.applied() == {minion: ["later", "former"] for minion in IDS[:8]}
    held = fleet.site.run("status").out
    assert "rolled back" in held and fleet.former[:12] in held
    assert fleet.site.sync().code == 0  # it is pushed, and stays
    assert [e.text("commit") for e in Journal(fleet.site.remote).events("rollback")] == [
        fleet.former
    ]
    told = Journal(fleet.site.remote).events("apply")[-1]
    assert told.text("status") == "rolled-back" and told.details["failed"] == {"prod05": "failed"}
