"""Two salt-masters for all tests, on loopback: with three minions, and one that serves a real root."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from saltbranch.demo.cluster import Cluster
from saltbranch.salt_master import config_file
from tests.support.layout import BRANCHES, MEMBERS, Layout
from tests.support.running import Master, running_master


@pytest.fixture(scope="session")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """The folders that the cluster serves; `cluster` is needed to look at them."""
    folder = tmp_path_factory.mktemp("site")
    layout = Layout(folder / "root", folder / "cluster" / "master" / "cache")
    layout.create()
    layout.serve_tops(None)
    return layout


@pytest.fixture(scope="session")
def cluster(layout: Layout) -> Iterator[Cluster]:
    """The running salt-master and the minions test1, stage1 and prod1."""
    with Cluster(
        layout.root.parent / "cluster",
        minions={minion: {"home": saltenv} for minion, saltenv in MEMBERS.items()},
        # No branch here has modules of its own, and looking for them takes as long as all the rest.
        minion_options={minion: {"autoload_dynamic_modules": False} for minion in MEMBERS},
        master_options={
            **config_file.OPTIONS,
            "env_order": config_file.env_order(BRANCHES, {}),
            "file_roots": layout.roots("states", "salt"),
            "pillar_roots": layout.roots("pillar", "pillar"),
            "nodegroups": {"staging": "E@stage[0-9]+"},
        },
    ) as cluster:
        assert cluster.cache_dir == layout.cache_dir
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
