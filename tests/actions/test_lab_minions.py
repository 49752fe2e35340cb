"""lab claim on a running salt-master: minions that their own configuration keeps in a saltenv are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from saltbranch.demo.cluster import Cluster
from tests.actions.test_lab_master import labs_of, said
from tests.support.site import Journal, Site, build_template


@pytest.mark.xdist_group("labs")
def test_a_pinned_minion_is_not_lent(tmp_path: Path) -> None:
    site = Site(tmp_path, build_template(tmp_path / "remote.git"))
    cluster = Cluster(
        tmp_path / "salt",
        minions={"test1": {"saltenv": "a grain"}, "test2": {}, "test3": {}, "test4": {}},
        minion_options={
            "test2": {"saltenv": "test"},
            "test3": {"lock_saltenv": True},
            "test4": {"pillarenv": "test"},
        },
    )
    cluster.write_config()
    site.master_config = cluster.config_dir / "master.d" / "saltbranch.conf"
    site.settings |= {
        "salt_config": str(cluster.master_config_file),
        "master_config": str(site.master_config),
    }
    labs_of(site, 1)
    site.sync_well()
    with cluster:
        words = ("claim", "a", "--minions", "test1,test2,test3,test4")
        told = said(site, *words, "--plan", code=4)["error"]["message"]
        assert "test1" not in told
        for option in (
            "test2 has saltenv: test",
            "test3 has lock_saltenv: True",
            "test4 has pillarenv: test",
        ):
            assert option in told
        assert Journal(site.remote).events("lab") == []
        found = said(site, "claim", "a", "--minions", "test1,test9", "--plan", code=3)
        assert found["notes"] == [
            "whether its saltenv is pinned is not known: no answer from test9"
        ]
    assert said(site, "claim", "a", "--minions", "test2", "--plan", code=3)["notes"] == []
