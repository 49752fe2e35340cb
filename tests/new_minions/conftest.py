"""A running master with the reactor installed, which minions come to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from saltbranch.actions.install_reactor import install_reactor
from saltbranch.demo.cluster import Cluster
from saltbranch.new_minions import known
from saltbranch.new_minions.known import Entry
from saltbranch.salt_master import options as master_options
from tests.support.running import Master
from tests.support.site import Site, build_template

ODD = "test {{ 7 }},*'\"é"
LATER = ("test2", "test3", "test4", "test5", ODD, "stage1", "other1")
# Each highstate leaves a line on its minion.
APPLY = "app:\n  cmd.run:\n    - name: echo applied >> {{ opts['cachedir'] | tojson }}/highstates\n"


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The master, and what became of minions that came to it."""

    master: Master

    @property
    def site(self) -> Site:
        """What it serves."""
        return self.master.site

    @property
    def cluster(self) -> Cluster:
        """Its daemons."""
        return self.master.cluster

    def cache(self, minion: str) -> Path:
        """The minion's own cachedir."""
        return self.cluster.root / "minions" / minion / "cache"

    def highstates(self, minion: str) -> int:
        """How often it has applied its highstate."""
        path = self.cache(minion) / "highstates"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def entry(self, minion: str) -> Entry | None:
        """What the master knows of it."""
        found = known.load(str(self.site.root))
        return found.minions.get(minion) if found else None

    def wait(self, happened: Callable[[], Any], seconds: float = 60) -> Any:
        """What `happened` says at last."""
        end = time.monotonic() + seconds
        while not (found := happened()):
            assert time.monotonic() < end, "it does not happen"
            time.sleep(0.1)
        return found


@pytest.fixture(scope="module")
def arrivals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arrivals]:
    """A master that has the minion test1 since before the reactor was installed."""
    folder = tmp_path_factory.mktemp("arrivals")
    remote = build_template(folder / "remote.git")
    site = Site(folder, remote)
    for branch in ("develop", "stage"):
        remote.commit(
            branch,
            {
                "salt/app/init.sls": APPLY,
                "salt/_modules/brought.py": "def word():\n    return 'brought'\n",
            },
        )
    cluster = Cluster(
        folder / "salt",
        minions={"test1": {}, **{name: {} for name in LATER}},
        later=LATER,
        master_options={"loop_interval": 1, "worker_threads": 3},  # a thousand starts at once
    )
    cluster.write_config()
    site.master_config = cluster.config_dir / "master.d" / "saltbranch.conf"
    site.settings["saltenvs"]["test"]["first_highstate"] = True
    site.configure(
        salt_config=str(cluster.master_config_file), master_config=str(site.master_config)
    )
    site.sync_well()
    installed = install_reactor(str(site.config))
    assert installed.notes == ("1 accepted minions are known: none of them is new",)
    with cluster:
        master = Master(site, cluster)
        with master.listening("salt/run/") as heard:  # until the reactor is there, too
            for _ in range(100):
                master_options.fire(master.opts, "salt/minion/nobody/start", {"id": "nobody"})
                if heard(0):
                    break
            quiet = time.monotonic()
            while time.monotonic() < quiet + 3:  # what else was started meanwhile is over, too
                if heard(0):
                    quiet = time.monotonic()
        yield Arrivals(master)
