"""adopt on a running master with gitfs: its minions get the same before, after --switch, and after --back."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from saltbranch.demo.cluster import Cluster
from tests.actions.test_adopt import control
from tests.actions.test_adopt_gitfs import by_environment
from tests.support.remote import Remote, Submodule
from tests.support.site import run

pytestmark = pytest.mark.daemons


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Cluster]:
    """A master of two remotes, one of them with a mountpoint and a fallback, pinned in the other as a submodule."""
    remote, formula = control(tmp_path / "remote.git"), Remote(tmp_path / "nginx-formula.git")
    head = formula.commit("main", {"nginx/init.sls": "nginx:\n  test.nop: []\n"})
    path = "formulas/nginx-formula/up"
    modules = f'[submodule "up"]\n\tpath = {path}\n\turl = {formula.path}\n'
    for branch, saltenv, ids in (("master", "base", "web*"), ("develop", "dev", "dev*")):
        top = f"{saltenv}:\n  '{ids}': [app, up.nginx]\n"
        pinned = {".gitmodules": modules, path: Submodule(head)}
        remote.commit(branch, {"salt/top.sls": top, **pinned})
    options = by_environment(remote)
    options["gitfs_remotes"] += [
        {f"file://{formula.path}": [{"mountpoint": "salt://up"}, {"fallback": "main"}]},
    ]
    minions: dict[str, dict[str, object]] = {"web1": {"role": "web"}, "dev1": {}}
    quick = {minion: {"autoload_dynamic_modules": False} for minion in minions}
    with Cluster(
        tmp_path / "salt", minions=minions, master_options=options, minion_options=quick
    ) as cluster:
        yield cluster


def given(cluster: Cluster) -> dict[str, Any]:
    """Lows and pillar of each minion, as the master gives them."""
    cluster.run("salt-run", "fileserver.update")
    cluster.local_all("saltutil.refresh_pillar", wait=True)
    lows = cluster.local_all("state.show_lowstate")
    assert all(isinstance(low, list) and len(low) == 2 for low in lows.values()), lows
    return {"lows": lows, "pillar": cluster.local_all("pillar.items")}


def adopted(cluster: Cluster, *arguments: str) -> tuple[int, Any]:
    """Exit code and JSON."""
    config = cluster.root / "saltbranch.yaml"
    places = [
        "--salt-config",
        str(cluster.master_config_file),
        "--root",
        str(cluster.root / "root"),
    ]
    if {"--switch", "--back"} & set(arguments):
        places = []
    words = ["adopt", "--config", str(config), *places, *arguments, "--json"]
    ran = run([sys.executable, "-m", "saltbranch", *words])
    return ran.code, json.loads(ran.out)


def test_minions_of_a_running_master_get_the_same(serving: Cluster) -> None:
    before = given(serving)
    files = {p: p.read_bytes() for p in serving.config_dir.rglob("*") if p.is_file()}
    code, told = adopted(serving, "--leave-out", "main")
    assert (code, told["proof"]["differences"]) == (0, []), told
    assert told["proof"]["compared"]["minions"] == 2
    assert told["proof"]["compared"]["low_chunks"] == 4
    assert {p: p.read_bytes() for p in serving.config_dir.rglob("*") if p.is_file()} == files

    assert adopted(serving, "--switch")[0] == 0
    serving.restart_master()
    assert given(serving) == before
    code, told = adopted(serving, "--leave-out", "main")
    assert (code, told["switched"], told["proof"]["differences"]) == (0, True, [])

    assert adopted(serving, "--back")[0] == 0
    assert {p: p.read_bytes() for p in serving.config_dir.rglob("*") if p.is_file()} == files
    serving.restart_master()
    assert given(serving) == before
