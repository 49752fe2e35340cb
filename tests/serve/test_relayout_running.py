"""A running salt-master serves on while its root is moved to another layout, and is not restarted for it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.support.former_layout import lay_out_as_before
from tests.support.running import Master, running_master
from tests.support.site import result_of

SOURCE = "salt://app/files/run.sh"


@pytest.fixture
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    """One of its own: what others did to the shared one shall not matter here."""
    with running_master(tmp_path_factory.mktemp("moved")) as master:
        yield master


@pytest.fixture
def file_of_test1(master: Master) -> Callable[[], object]:
    """Ask the minion for a file that the master serves."""
    return lambda: master.cluster.local("test1", "cp.get_file_str", SOURCE, saltenv="test")


def test_master_serves_on_while_its_root_is_moved_over(
    master: Master, file_of_test1: Callable[[], object]
) -> None:
    site = master.site
    site.sync_well()
    lay_out_as_before(site)
    pid = (master.cluster.cache_dir.parent / "pid").read_text()
    served = site.slot("develop") / "salt" / "app" / "files" / "run.sh"
    assert os.path.relpath(served, site.root / "slots") == "develop/a/salt/app/files/run.sh"
    seen = [file_of_test1()]
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.append(file_of_test1())

    reader = threading.Thread(target=read)
    reader.start()
    try:
        moved = site.sync_well()
        again = site.sync_well()
    finally:
        done.set()
        reader.join()
    seen.append(file_of_test1())

    assert len(seen) > 2
    assert set(map(str, seen)) == {"#!/bin/sh\necho run\n"}
    assert {s.state for s in moved.saltenvs} == {"unchanged"}
    assert (moved.restart_needed, again.restart_needed) == (None, None)
    assert [note for note in again.notes if "layout" in note] == []
    assert os.readlink(site.checkout("develop")) == "../slots/develop/served/tree"

    site.remote.commit(
        "develop",
        {
            "salt/app/files/run.sh": "#!/bin/sh\necho again\n",
            "salt/moved.sls": "moved: {test.nop: []}\n",
            "pillar/app.sls": "branch: moved\n",
        },
    )
    site.sync_well()
    assert file_of_test1() == "#!/bin/sh\necho again\n"
    assert "moved" in master.cluster.local("test1", "cp.list_states", saltenv="test")
    assert master.cluster.local("test1", "pillar.items", unmask=True) == {"branch": "moved"}
    assert result_of(site.sync_here(), "test").state == "unchanged"
    assert (master.cluster.cache_dir.parent / "pid").read_text() == pid
