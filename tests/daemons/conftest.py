"""Two salt-masters for all tests in this folder, on loopback: with three minions, and one that serves a real root."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from saltbranch.config.minions import Matcher
from saltbranch.demo.cluster import Cluster
from saltbranch.salt_master import config_file as masterconf
from saltbranch.salt_master.top_file import BRANCH_TOP, render_top
from tests.daemons.running import Master, running_master

# saltenv -> its branch; the minions are assigned in three different ways.
BRANCHES = {"test": "develop", "stage": "stage", "prod": "master"}
GROUPS = {
    "test": [Matcher("glob", "test*")],
    "stage": [Matcher("nodegroup", "staging")],
    "prod": [Matcher("list", "prod1,prod2")],
}
MEMBERS = {"test1": "test", "stage1": "stage", "prod1": "prod"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep these tests on one worker of ``-n 2 --dist loadgroup``, so that one cluster will do."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("daemons"))
            item.add_marker("daemons")


@dataclass
class Site:
    """What the cluster serves: checkouts and generated tops, laid out as a sync leaves them."""

    root: Path
    cache_dir: Path
    _slots: Iterator[int] = field(default_factory=itertools.count)

    def create(self) -> None:
        """Make the fixed part, which no switch touches."""
        (self.root / "checkouts").mkdir(parents=True)
        for saltenv, branch in BRANCHES.items():
            for kind, source in (("states", "salt"), ("pillar", "pillar")):
                tops = self.root / "tops" / saltenv / kind
                tops.mkdir(parents=True)
                (tops / "top.sls").write_text(render_top(saltenv, GROUPS))
                (tops / BRANCH_TOP).symlink_to(f"../../../checkouts/{branch}/{source}/top.sls")

    def roots(self, kind: str, source: str) -> dict[str, list[str]]:
        """``file_roots`` or ``pillar_roots``."""
        return {
            saltenv: [
                str(self.root / "tops" / saltenv / kind),
                str(self.root / "checkouts" / branch / source),
            ]
            for saltenv, branch in BRANCHES.items()
        }

    def build(self, saltenv: str, files: Mapping[str, object]) -> Path:
        """Write a new slot for the branch of `saltenv`; data become YAML, text stays as it is."""
        slot = self.root / "slots" / BRANCHES[saltenv] / str(next(self._slots))
        for name, content in files.items():
            path = slot / name
            path.parent.mkdir(parents=True, exist_ok=True)
            text = content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False)
            path.write_text(text)
        for source in ("salt", "pillar"):
            (slot / source).mkdir(parents=True, exist_ok=True)
        return slot

    def switch(self, saltenv: str, slot: Path, *, forget_list: bool = True) -> None:
        """Serve `slot`: one rename, then the list of files that the master remembers for 20 s."""
        checkout = self.root / "checkouts" / BRANCHES[saltenv]
        new = checkout.with_suffix(".new")
        new.symlink_to(os.path.relpath(slot, checkout.parent))
        new.replace(checkout)
        if forget_list:
            self.forget_list(saltenv)

    def forget_list(self, saltenv: str) -> None:
        """Drop the file server's list of what a saltenv holds."""
        (self.cache_dir / "file_lists" / "roots" / f"{saltenv}.p").unlink(missing_ok=True)

    def serve(self, saltenv: str, files: Mapping[str, object]) -> None:
        """Build and switch."""
        self.switch(saltenv, self.build(saltenv, files))

    def serve_tops(self, top: object, *saltenvs: str) -> None:
        """Serve one top file for states and pillar, and beside it sls files that say where from.

        top: data or text, or None for a branch without.
        """
        for saltenv in saltenvs or BRANCHES:
            files: dict[str, object] = {}
            for sls in ("role", "secret"):
                files[f"salt/{sls}.sls"] = {f"{saltenv}:{sls}": {"test.nop": []}}
                files[f"pillar/{sls}.sls"] = {f"{saltenv}:{sls}": "value"}
            if top is not None:
                files |= {"salt/top.sls": top, "pillar/top.sls": top}
            self.serve(saltenv, files)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The folders that the cluster serves; `cluster` is needed to look at them."""
    folder = tmp_path_factory.mktemp("site")
    site = Site(folder / "root", folder / "cluster" / "master" / "cache")
    site.create()
    site.serve_tops(None)
    return site


@pytest.fixture(scope="session")
def cluster(site: Site) -> Iterator[Cluster]:
    """The running salt-master and the minions test1, stage1 and prod1."""
    with Cluster(
        site.root.parent / "cluster",
        minions={minion: {"home": saltenv} for minion, saltenv in MEMBERS.items()},
        # No branch here has modules of its own, and looking for them takes as long as all the rest.
        minion_options={minion: {"autoload_dynamic_modules": False} for minion in MEMBERS},
        master_options={
            **masterconf.OPTIONS,
            "env_order": masterconf.env_order(BRANCHES, {}),
            "file_roots": site.roots("states", "salt"),
            "pillar_roots": site.roots("pillar", "pillar"),
            "nodegroups": {"staging": "E@stage[0-9]+"},
        },
    ) as cluster:
        assert cluster.cache_dir == site.cache_dir
        yield cluster


@pytest.fixture(scope="session")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    """A running master with the minion test1, for the tests of runners and events."""
    with running_master(tmp_path_factory.mktemp("runner")) as master:
        yield master


Look = Callable[..., dict[str, list[str]]]


@pytest.fixture
def pillar(cluster: Cluster) -> Look:
    """Ask all minions for their pillar now: minion id -> the names of its values."""

    def look(**kwargs: Any) -> dict[str, list[str]]:
        return {
            minion: sorted(answer)
            for minion, answer in cluster.local_all("pillar.items", **kwargs).items()
        }

    return look


@pytest.fixture
def states(cluster: Cluster) -> Look:
    """Run the highstate on all minions: minion id -> the ids of the states that ran."""

    def look(**kwargs: Any) -> dict[str, list[str]]:
        return {
            minion: sorted(run["__id__"] for run in answer.values() if "__id__" in run)
            for minion, answer in cluster.local_all("state.apply", **kwargs).items()
        }

    return look
