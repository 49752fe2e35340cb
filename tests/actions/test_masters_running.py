"""Two salt-masters on loopback, of one remote, and a minion that goes to the other one when the first is gone."""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from saltbranch.demo.cluster import Cluster
from saltbranch.demo.processes import free_ports
from tests.support.flow_site import FlowSite, build_flow_template
from tests.support.site import Site

MINION = "stage1"
SECONDS = 60


@dataclass(frozen=True, slots=True)
class Pair:
    """Two masters, `one` with the minion, and a clone to promote from."""

    flow: FlowSite
    sites: tuple[Site, Site]
    clusters: tuple[Cluster, Cluster]

    def sync(self, number: int) -> None:
        """Sync a master as its timer does."""
        ran = self.sites[number].run("sync", "--quiet")
        assert ran.code == 0, ran

    def commit_at(self, number: int) -> str:
        """The commit of its saltenv as the minion reads it, of the master it is connected to."""
        read = self.clusters[number].local_all(
            "cp.get_file_str", "salt://saltbranch_commit", minions=[MINION], saltenv="stage"
        )
        return str(read[MINION]).split()[0]

    def wait_for_minion(self, number: int) -> None:
        """Return when the minion answers that master."""
        deadline = time.monotonic() + SECONDS
        while MINION not in self.clusters[number].answering([MINION]):
            assert time.monotonic() < deadline, self.clusters[0].minion_log(MINION).read_text()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Both set up as a person does it: init first, then the start. The masters share their key, as Salt wants it."""
    folder = tmp_path_factory.mktemp("pair")
    (folder / "template").mkdir()
    flow = FlowSite(folder, build_flow_template(folder / "template"))
    addresses, ports = ["127.0.0.1", "127.0.0.2"], free_ports()
    failover = {
        "master": addresses, "master_type": "failover", "master_alive_interval": 2, "retry_dns": 0,
        "master_tries": -1, "publish_port": ports[0], "master_port": ports[1],
        "autoload_dynamic_modules": False,
    }  # fmt: skip
    minions: list[dict[str, Any]] = [{MINION: {}}, {}]
    clusters, sites = [], []
    for number, address in enumerate(addresses):
        place = folder / f"m{number}"
        options = {
            "interface": address, "publish_port": ports[0], "ret_port": ports[1],
            "id": f"salt{number}", "loop_interval": 1,
        }  # fmt: skip
        cluster = Cluster(
            place / "salt", minions=minions[number], minion_options={MINION: failover}, later=minions[number],
            master_options=options,
        )  # fmt: skip
        cluster.write_config()
        site = Site(place, flow.remote)
        site.master_config = cluster.config_dir / "master.d" / "saltbranch.conf"
        site.configure(
            saltenvs=None, record_syncs=True, salt_config=str(cluster.master_config_file),
            master_config=str(site.master_config),
        )  # fmt: skip
        assert site.sync().code == 0
        clusters.append(cluster)
        sites.append(site)
    keys = [c.root / "master" / "pki" for c in clusters]
    with clusters[0]:
        answers(addresses[0], ports[1])
        keys[1].mkdir(parents=True, exist_ok=True)
        for name in ("master.pem", "master.pub"):
            shutil.copy(keys[0] / name, keys[1] / name)
        with clusters[1]:
            answers(addresses[1], ports[1])
            # Both are up before it starts, so it begins with the first.
            clusters[0].start_minion(MINION)
            shutil.copytree(keys[0] / "minions", keys[1] / "minions", dirs_exist_ok=True)
            pair = Pair(flow, (sites[0], sites[1]), (clusters[0], clusters[1]))
            pair.wait_for_minion(0)
            yield pair


def answers(address: str, port: int) -> None:
    """Wait until the master takes requests."""
    deadline = time.monotonic() + SECONDS
    while True:
        with socket.socket() as probe:
            if probe.connect_ex((address, port)) == 0:
                return
        assert time.monotonic() < deadline, address
        time.sleep(0.1)


def test_promoted_on_both_cut_off_and_failed_over(pair: Pair) -> None:
    flow = pair.flow
    # Both serve it: a promotion that waits for them says so.
    flow.push("develop")
    before = flow.head("stage")
    done = threading.Event()

    def timers() -> None:
        while flow.head("stage") == before and not done.wait(0.05):
            pass
        for number in (0, 1):
            pair.sync(number)

    timer = threading.Thread(target=timers)
    timer.start()
    ran = flow.run("promote", "stage", "--yes", "--wait-masters", f"{SECONDS}s", "--json")
    done.set()
    timer.join()
    assert ran.code == 0, ran
    assert json.loads(ran.out)["waited"]["served"] == ["salt0", "salt1"]
    assert pair.commit_at(0) == flow.head("stage")

    # The first one is cut off from the remote.
    site = pair.sites[0]
    site.configure(remote=str(site.folder / "out-of-reach.git"))
    old = flow.head("stage")
    flow.push("develop")
    new = flow.promoted("stage")
    pair.sync(1)
    assert site.run("sync", "--quiet").code == 1
    ran = flow.run("promote", "stage", "--yes", "--wait-masters", "1s")
    assert ran.code == 20, ran
    assert f"not served by salt0 (serves {old[:12]}, recorded a switch last" in ran.err
    assert "salt1 (" not in ran.err
    states = {m["master"]: m["state"] for m in listed(pair)}
    assert states == {"salt0": "behind", "salt1": "in_step"}
    # Between two masters' syncs minions see what their master serves.
    assert pair.commit_at(0) == old

    # The minion of a master that stops goes to the other one, and gets what that serves.
    pair.clusters[0].stop_master()
    pair.wait_for_minion(1)
    assert pair.commit_at(1) == new


def listed(pair: Pair) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(pair.flow.well("status", "--masters", "--json").out)[
        "masters"
    ]
    return found
