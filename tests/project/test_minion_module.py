"""The module and state `saltbranch` for minions, at a running master."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from saltbranch.demo.cluster import Cluster
from tests.support.running import Master
from tests.support.site import Site, build_template

PROJECT = Path(__file__).parents[2]
SHIPPED = ("_modules/saltbranch.py", "_states/saltbranch.py", "saltbranch/applied.sls")
TOP = "base:\n  '*':\n    - app\n    - saltbranch.applied\n"
pytestmark = pytest.mark.xdist_group("minion-module")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    """A master whose develop has what the project ships for minions, and the minion test1."""
    folder = tmp_path_factory.mktemp("module")
    remote = build_template(folder / "remote.git")
    shipped = {f"salt/{name}": (PROJECT / "salt" / name).read_text() for name in SHIPPED}
    remote.commit("develop", {**shipped, "salt/top.sls": TOP})
    site = Site(folder, remote)
    cluster = Cluster(folder / "salt", minions={"test1": {}})
    cluster.write_config()
    site.master_config = cluster.config_dir / "master.d" / "saltbranch.conf"
    site.configure(
        salt_config=str(cluster.master_config_file), master_config=str(site.master_config)
    )
    site.sync_well()
    with cluster:
        cluster.local("test1", "saltutil.sync_all", saltenv="test")
        yield Master(site, cluster)


def test_a_minion_knows_what_its_saltenv_serves_and_what_it_applied(served: Master) -> None:
    site, minion = served.site, served.cluster
    old = site.remote.head("develop")
    assert minion.local("test1", "saltbranch.commit") == old
    assert minion.local("test1", "saltbranch.commit", "prod") == site.remote.head("master")
    assert minion.local("test1", "saltbranch.commit", "nowhere") is None
    assert minion.local("test1", "saltbranch.applied") == {}

    tried = minion.local("test1", "state.apply", test=True)
    assert minion.local("test1", "saltbranch.applied") == {}
    done = minion.local("test1", "state.apply")
    applied = minion.local("test1", "saltbranch.applied")

    (row,) = [r for r in done.values() if r["__id__"] == "saltbranch-applied"]
    assert (row["result"], row["changes"], row["comment"]) == (True, {}, f"Applied {old}")
    assert [r["result"] for r in tried.values()] == [True, True]
    assert {k: applied[k] for k in ("saltenv", "commit", "failed")} == {
        "saltenv": "test", "commit": old, "failed": 0,
    }  # fmt: skip
    assert applied["time"] and "commit_at_end" not in applied

    # Twice, so that both slots were served: Salt's hash cache goes by name and time.
    for number in range(2):
        new = site.remote.commit(
            "develop", {"salt/app/init.sls": f"bad{number}:\n  test.fail_without_changes: []\n"}
        )
        site.sync_here()
        assert minion.local("test1", "saltbranch.commit") == new
        assert minion.local("test1", "saltbranch.applied")["commit"] == old
        minion.local("test1", "state.apply")
        applied = minion.local("test1", "saltbranch.applied")
        assert (applied["commit"], applied["failed"]) == (new, 1)
        old = new


def test_a_switch_in_the_middle_of_a_run_shows(served: Master) -> None:
    site = served.site
    began, go = site.folder / "began", site.folder / "go"
    waits = f"wait:\n  cmd.run:\n    - name: touch {began}; until [ -e {go} ]; do sleep 0.1; done\n"
    old = site.remote.commit("develop", {"salt/app/init.sls": waits})
    site.sync_here()

    run = threading.Thread(target=served.cluster.local, args=("test1", "state.apply"))
    run.start()
    while not began.exists():
        assert run.is_alive()
    new = site.remote.commit("develop", {"salt/app/init.sls": "app:\n  test.nop: []\n"})
    site.sync_here()
    go.touch()
    run.join()

    applied = served.cluster.local("test1", "saltbranch.applied")
    assert (applied["commit"], applied["commit_at_end"]) == (old, new)


def test_what_others_see_of_it_is_one_file_that_is_no_state(served: Master) -> None:
    names = served.cluster.local("test1", "cp.list_master", saltenv="test")
    states = served.cluster.local("test1", "cp.list_states", saltenv="test")

    assert [n for n in names if "commit" in n] == ["saltbranch_commit"]
    assert "saltbranch_commit" not in states
    pillar = served.site.root / "tops" / "test" / "pillar"
    assert sorted(p.name for p in pillar.iterdir()) == ["branch_top.jinja", "top.sls"]


def test_without_a_master_that_says_so_the_commit_is_not_known(served: Master) -> None:
    link = served.site.root / "tops" / "stage" / "states" / "saltbranch_commit"
    target = link.readlink()
    link.unlink()
    try:
        (served.cluster.cache_dir / "file_lists" / "roots" / "stage.p").unlink(missing_ok=True)
        assert served.cluster.local("test1", "saltbranch.commit", "stage") is None
    finally:
        link.symlink_to(target)
