"""Every runner function called by an orchestration, by the reactor and by the master's schedule, and many times."""

from __future__ import annotations

import gc
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import salt.runner
import yaml

from saltbranch.demo.cluster import Cluster
from saltbranch.salt_master import options as master_options
from tests.ext.test_promotions import FUNCTIONS
from tests.support.running import Master
from tests.support.site import Site, build_template

pytestmark = pytest.mark.xdist_group("callers")
CALLS: dict[str, dict[str, Any]] = {
    "sync": {"wait": 60},
    "status": {},
    "explain": {"minion": "test1"},
    "masters": {},
    "doctor": {},
    "check": {"static": True},
    "promote": {"saltenv": "stage", "plan": True, "diff": False},
    "hold": {"saltenv": "prod", "reason": "a test", "plan": True},
    "unhold": {"saltenv": "prod", "plan": True},
    "hold_all": {"reason": "a test", "plan": True},
    "unhold_all": {"plan": True},
    "rollback": {"saltenv": "stage", "reason": "a test", "plan": True},
    "accept": {"saltenv": "stage", "reason": "a test", "plan": True},
    "why_not": {"saltenv": "stage"},
    "history": {"limit": 5},
    "where": {"what": "develop", "kind": "commit"},
    "diff": {"before": "test", "after": "stage", "minions": "nobody*"},
    "changelog": {"saltenv": "test", "old": "master"},
    "new_minions": {},
    "lab_claim": {"branch": "feature/none", "plan": True},
    "lab_extend": {"having": "lab1", "plan": True},
    "lab_release": {"having": "lab1", "plan": True},
    "lab_list": {},
    "verify": {"saltenv": "test"},
    "apply": {"saltenv": "test", "plan": True},
    "apply_resume": {"id": "20260101T000000Z-0a1b2c3d"},
    "apply_abort": {"id": "20260101T000000Z-0a1b2c3d"},
    "apply_status": {},
    "webhook": {"ref": "refs/heads/develop"},
}
REACTION = """\
call:
  runner.{{ data['fun'] }}:
    - args: {{ data['kwargs'] | json }}
"""


def orchestration() -> str:
    """An sls with a step for each function."""
    steps = {
        name: {"salt.runner": [{"name": f"saltbranch.{name}"}, *({k: v} for k, v in words.items())]}
        for name, words in CALLS.items()
    }
    return yaml.safe_dump(steps)


@pytest.fixture(scope="module")
def called(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    """A master with a reaction that calls what an event names, and a schedule that begins later."""
    folder = tmp_path_factory.mktemp("callers")
    site = Site(folder, build_template(folder / "remote.git"))
    site.remote.commit("develop", {"salt/orch.sls": orchestration()})
    (folder / "react.sls").write_text(REACTION)
    cluster = Cluster(
        folder / "salt",
        minions={},
        master_options={
            "saltbranch_config": str(site.config),
            "reactor": [{"test/call": [str(folder / "react.sls")]}],
            "worker_threads": 3,  # all are called at once
            "loop_interval": 1,
        },
    )
    cluster.write_config()
    site.master_config = cluster.config_dir / "master.d" / "saltbranch.conf"
    site.settings["saltenvs"]["stage"]["promote_from"] = "test"
    site.configure(
        salt_config=str(cluster.master_config_file), master_config=str(site.master_config)
    )
    site.sync_well()
    with cluster:
        yield Master(site, cluster)


@pytest.fixture(scope="module")
def client(called: Master) -> Iterator[salt.runner.RunnerClient]:
    with salt.runner.RunnerClient(called.opts) as client:
        yield client
        client.mminion.destroy()


@pytest.fixture(scope="module")
def expected(client: salt.runner.RunnerClient) -> dict[str, int]:
    """Function to retcode, called by a client."""
    found = {
        name: client.cmd(f"saltbranch.{name}", kwarg=dict(words), print_event=False)["retcode"]
        for name, words in CALLS.items()
    }
    assert set(found.values()) <= {0, 1, 2, 3, 4}
    assert (found["sync"], found["promote"], found["hold"]) == (0, 3, 3)
    return found


def test_every_function_is_here() -> None:
    assert set(CALLS) == FUNCTIONS


def test_from_an_orchestration(called: Master, expected: dict[str, int]) -> None:
    answer = called.cluster.run("salt-run", "state.orchestrate", "orch", "saltenv=test")

    (steps,) = answer.value["data"].values()
    returned = {step["__id__"]: step["changes"]["return"]["retcode"] for step in steps.values()}
    assert returned == expected
    results = {step["__id__"]: step["result"] for step in steps.values()}
    assert results == {name: code == 0 for name, code in expected.items()}


@pytest.mark.parametrize("name", CALLS)
def test_from_the_reactor(called: Master, expected: dict[str, int], name: str) -> None:
    with called.listening("salt/run/") as heard:
        event = {"fun": f"saltbranch.{name}", "kwargs": CALLS[name] or {"__user__": "x"}}
        if not CALLS[name]:
            event["kwargs"] = {}
        assert master_options.fire(called.opts, "test/call", event)
        ended = [e["data"] for e in heard(2) if e["tag"].endswith("/ret")]

    assert [(e["fun"], e["return"].get("retcode")) for e in ended] == [
        (f"runner.saltbranch.{name}", expected[name])
    ]


def _held() -> tuple[int, int]:
    """Resident bytes and open descriptors of this process."""
    gc.collect()
    process = psutil.Process()
    return process.memory_info().rss, process.num_fds()


def test_a_hundred_calls_in_one_process_leave_nothing_open(
    client: salt.runner.RunnerClient,
) -> None:
    """MANY_CALLS=1000 for the figures in the documents."""
    names = ("sync", "status", "where", "why_not", "new_minions")
    many = int(os.environ.get("MANY_CALLS", "100"))

    def call(times: int) -> None:
        for number in range(times):
            name = names[number % len(names)]
            client.cmd(f"saltbranch.{name}", kwarg=dict(CALLS[name]), print_event=False)

    logging.disable(logging.CRITICAL)  # pytest keeps every record of a test
    try:
        call(25)  # imports, caches
        memory, descriptors = _held()
        call(many)
        now, left = _held()
    finally:
        logging.disable(logging.NOTSET)
    if path := os.environ.get("MANY_CALLS_FILE"):
        Path(path).write_text(
            f"{many} calls: {(now - memory) / 2**20:.1f} MiB, {left - descriptors} fds\n"
        )

    assert left <= descriptors
    assert now - memory < 4 * 2**20


def test_from_the_schedule(called: Master, expected: dict[str, int]) -> None:
    """Last, because the master is started anew."""
    jobs = {
        name: {
            "function": f"saltbranch.{name}",
            "kwargs": dict(words),
            "seconds": 20,  # after the start of the master
            "maxrunning": 1,
        }
        for name, words in CALLS.items()
    }
    path = called.cluster.config_dir / "master.d" / "jobs.conf"
    path.write_text(yaml.safe_dump({"schedule": jobs}))
    called.cluster.restart_master()
    returned: dict[str, int] = {}
    end = time.monotonic() + 300  # as many processes as there are calls begin in one second
    with called.listening("__schedule_return") as heard:
        while len(returned) < len(CALLS) and time.monotonic() < end:
            for event in heard(1):
                data = event["data"]
                returned[data["schedule"]] = data["return"]["retcode"]

    assert returned == expected
