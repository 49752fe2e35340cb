"""From `feature start --lab` to a test minion that runs the branch, as docs/how-to/labs.md has it: three commands."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from saltbranch.demo.cluster import Cluster
from tests.support import labs
from tests.support.project import Project, run_here
from tests.support.site import Site

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "labs.md"


@pytest.mark.xdist_group("labs")
def test_three_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block = HOW_TO.read_text().split("```bash\n")[1].split("```")[0].splitlines()
    first, second, third = [shlex.split(line) for line in block if not line.startswith("#")]
    project = Project(tmp_path)
    site = Site(tmp_path, project.remote)
    cluster = Cluster(tmp_path / "salt", minions={"test1": {}})
    cluster.write_config()
    site.master_config = cluster.config_dir / "master.d" / "saltbranch.conf"
    site.configure(
        saltenvs=None,
        salt_config=str(cluster.master_config_file),
        master_config=str(site.master_config),
        labs=2,
        record_syncs=True,
    )
    assert site.sync_here().exit_code == 0
    clone = project.clone("clone")
    monkeypatch.chdir(clone.path)
    with cluster:
        assert run_here(*first[1:]).code == 0
        (clone.path / "salt" / "top.sls").write_text("base:\n  '*': [tried]\n")
        (clone.path / "salt" / "tried.sls").write_text("tried:\n  test.nop: []\n")
        clone.git("add", "-A")
        clone.git("commit", "--quiet", "-m", "KEY-50 Ntp")
        assert run_here(*second[1:]).code == 0
        with labs.short_gap(3):
            site.sync_here()
        assert third[:3] == ["salt", "test1", "state.apply"]
        answer = cluster.local("test1", "state.apply", test=third[3] == "test=True")
    assert {run["__id__"] for run in answer.values()} == {"tried"}
    assert project.state().labs[1].minions == ("test1",)
