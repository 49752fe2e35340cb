"""The cluster that the demo and these tests use: it starts anywhere and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from saltbranch.base.errors import SaltError
from saltbranch.demo.cluster import Cluster
from saltbranch.demo.processes import processes_of
from tests.support.running import short_names_of

pytestmark = pytest.mark.daemons

STARTER = """
import sys, time
from pathlib import Path
from saltbranch.demo.cluster import Cluster
Cluster(Path(sys.argv[1]), minions={"lone": {}}, progress=print).start()
print("up", flush=True)
time.sleep(600)
"""


def _wait_until_gone(root: Path) -> list[int]:
    deadline = time.monotonic() + 20
    while processes_of(root) and time.monotonic() < deadline:
        time.sleep(0.1)
    return processes_of(root)


def test_daemons_end_with_a_starter_that_is_killed(tmp_path: Path) -> None:
    """In a folder whose path is too long for a socket."""
    folder = tmp_path / ("long" * 20)
    package = Path(__file__).parents[2]
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(folder)],
        env={**os.environ, "PYTHONPATH": str(package)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert starter.stdout
        lines = [line.strip() for line in iter(starter.stdout.readline, "up\n")]
        assert lines[-1] == "minion lone answers"
        assert len(processes_of(folder)) > 2
        assert len(short_names_of(folder)) == 2
    finally:
        starter.send_signal(signal.SIGKILL)
        starter.communicate()

    left = _wait_until_gone(folder)
    for process in left:
        os.kill(process, signal.SIGKILL)
    alias = Path(yaml.safe_load((folder / "etc" / "master").read_text())["root_dir"])
    assert alias.resolve() == folder / "master"
    shutil.rmtree(alias.parent)
    assert left == []


def test_a_start_that_fails_says_why_and_leaves_nothing_running(tmp_path: Path) -> None:
    cluster = Cluster(
        tmp_path, minions={"lone": {}}, master_options={"interface": "no.such.address.invalid"}
    )

    with pytest.raises(SaltError, match=r"ended while starting: salt-master(.|\n)*invalid"):
        cluster.start()

    assert processes_of(tmp_path) == []
    cluster.stop()


def test_nothing_is_written_outside_its_folder_and_nothing_left_running(
    tmp_path: Path,
) -> None:
    with Cluster(tmp_path, minions={"a b;$(id)": {"colour": "red"}}) as cluster:
        assert cluster.local("a b;$(id)", "grains.get", "colour") == "red"
        cluster.restart_master()
        assert cluster.run("salt-key", "-l", "acc").value == {"minions": ["a b;$(id)"]}
        opened = {
            str(file.readlink())
            for process in processes_of(tmp_path)
            for file in Path(f"/proc/{process}/fd").iterdir()
        }

    paths = {path for path in opened if path.startswith("/") and not path.startswith("/dev/")}
    assert {path for path in paths if Path(path).parents[0] == tmp_path / "master"}
    assert {path for path in paths if tmp_path not in Path(path).parents} == set()
    assert processes_of(tmp_path) == []
    assert short_names_of(tmp_path) == []
