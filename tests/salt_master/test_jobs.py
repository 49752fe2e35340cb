"""Jobs for minions: what is published, who returned, and what happens without a master."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import salt.config
import salt.loader
import salt.utils.jid

from saltbranch.base.errors import SaltError
from saltbranch.demo.cluster import Cluster
from saltbranch.salt_master import job_client, jobs_child
from saltbranch.salt_master.job_client import TOO_LARGE, UNREADABLE, JobClient
from saltbranch.salt_master.jobs import Jobs, Return

JID = "20260101000000000001"


@pytest.fixture
def opts(tmp_path: Path) -> dict[str, Any]:
    folders = dict.fromkeys(("root_dir", "cachedir", "sock_dir", "pki_dir"), str(tmp_path))
    return {**salt.config.DEFAULT_MASTER_OPTS, **folders}


def returned(opts: dict[str, Any], minion: str, value: Any, **more: Any) -> Path:
    """What the master keeps of a return; its file."""
    returners = salt.loader.returners(opts, {})
    returners["local_cache.prep_jid"](passed_jid=JID)
    returners["local_cache.returner"]({"jid": JID, "id": minion, "return": value, **more})
    folder = salt.utils.jid.jid_dir(JID, f"{opts['cachedir']}/jobs", opts["hash_type"])
    return Path(folder) / minion / "return.p"


def test_returns_have_what_the_master_kept(opts: dict[str, Any]) -> None:
    client = JobClient(opts)
    assert client.returns(JID) == {}
    returned(opts, "web1", {"a": 1}, retcode=2, success=False)
    returned(opts, "web2", None, retcode=0, success=True)
    assert client.returns(JID) == {
        "web1": {"return": {"a": 1}, "retcode": 2, "success": False},
        "web2": {"return": None, "retcode": 0, "success": True},
    }
    assert list(client.returns(JID, {"web1"})) == ["web2"]


def test_a_return_that_cannot_be_read_is_a_return(
    opts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)  # as in that process
    returned(opts, "web1", {}).write_bytes(b"\xc1")
    returned(opts, "web2", "x" * 2000)
    monkeypatch.setattr(job_client, "_LARGEST", 1000)
    found = JobClient(opts).returns(JID)
    assert found == {"web1": {"problem": UNREADABLE}, "web2": {"problem": TOO_LARGE}}


def test_another_job_cache_is_read_through_salt(opts: dict[str, Any]) -> None:
    returned(opts, "web1", {"a": 1}, retcode=2, success=False)

    class Client:
        returners = {"redis.get_jid": salt.loader.returners(opts, {})["local_cache.get_jid"]}

    client = JobClient({**opts, "master_job_cache": "redis"})
    client._made = Client()
    assert client.returns(JID) == {"web1": {"return": {"a": 1}, "retcode": 2, "success": False}}
    assert client.returns(JID, {"web1"}) == {}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({1: b"\xff", "t": (1, None)}, ({"1": "\ufffd", "t": [1, None]}, "")),
        (float("nan"), ("nan", "")),
        ("x" * 30_000, ("x" * 20_000 + "...", "")),
        (["x" * 19_000] * 200, (None, TOO_LARGE)),
    ],
)
def test_what_a_minion_returns_is_bounded(value: Any, expected: tuple[Any, str]) -> None:
    assert jobs_child._bounded(value) == expected


def test_a_deep_return_is_too_large() -> None:
    deep: Any = []
    for _ in range(100):
        deep = [deep]
    assert jobs_child._bounded(deep) == (None, TOO_LARGE)


def test_without_a_master_it_says_what_to_do(tmp_path: Path) -> None:
    with Jobs(str(tmp_path / "master")) as jobs, pytest.raises(SaltError) as failed:
        jobs.accepted()
    assert "no salt-master here" in failed.value.message
    assert failed.value.hint


def test_a_master_that_is_down_and_one_that_keeps_nothing(tmp_path: Path) -> None:
    config = tmp_path / "master"
    config.write_text(f"root_dir: {tmp_path}\njob_cache: False\n")
    with Jobs(str(config)) as jobs, pytest.raises(SaltError) as failed:
        jobs.accepted()
    assert "job_cache" in failed.value.hint
    config.write_text(f"root_dir: {tmp_path}\nuser: {os.environ.get('USER', 'root')}\n")
    with Jobs(str(config)) as jobs:
        assert jobs.accepted() == []
        with pytest.raises(SaltError) as failed:
            jobs.publish(["web1"], "test.ping")
        assert "while the master runs" in failed.value.hint
        with pytest.raises(SaltError, match="for nobody"):
            jobs.publish([], "test.ping")
        for jid in ("../../etc", "", "2026"):
            with pytest.raises(SaltError, match="not the id of a job"):
                jobs.returns(jid)


@pytest.fixture(scope="module")
def jobs(cluster: Cluster) -> Iterator[Jobs]:
    with Jobs(str(cluster.master_config_file)) as jobs:
        yield jobs


def test_a_job_for_just_these_minions(jobs: Jobs) -> None:
    assert jobs.accepted() == ["prod1", "stage1", "test1"]
    assert jobs.up(["test1", "prod1"]) == {"test1", "prod1"}
    begun = time.monotonic()
    found = jobs.run_and_wait(["test1", "stage1"], "test.arg", ["x", 3], {"y": [1]}, timeout=60)
    assert set(found) == {"test1", "stage1"}
    one = found["test1"]
    assert one and one.value["args"] == ["x", 3] and one.value["kwargs"]["y"] == [1]
    assert time.monotonic() - begun < 30


def test_a_job_published_twice_runs_once(jobs: Jobs, tmp_path: Path) -> None:
    jid = jobs.new_jid()
    assert not jobs.is_published(jid)
    path = tmp_path / "runs"
    path.touch()
    for _ in range(2):
        assert jobs.publish(["test1"], "file.append", [str(path), "once"], jid=jid) == jid
    assert set(jobs.wait(jid, ["test1"], timeout=60)) == {"test1"}
    assert jobs.is_published(jid)
    # What came second was thrown away before this began.
    jobs.run_and_wait(["test1"], "test.ping", timeout=60)
    assert path.read_text().splitlines() == ["once"]


def test_a_failed_function_and_one_that_is_not_there(jobs: Jobs) -> None:
    found = jobs.run_and_wait(["test1"], "test.retcode", [7], timeout=60)
    assert found["test1"] == Return("test1", True, 7, False)
    found = jobs.run_and_wait(["test1"], "no.such", timeout=60)
    assert found["test1"] and found["test1"].retcode and not found["test1"].success


def test_who_still_runs_a_job(jobs: Jobs) -> None:
    jid = jobs.publish(["test1"], "test.sleep", [4])
    assert jobs.find_job(jid, ["test1", "prod1"]) == {"test1": True, "prod1": False}
    assert jobs.still_running(jid, ["test1", "prod1"]) == {"test1"}
    assert jobs.wait(jid, ["test1"], timeout=0.1) == {}
    assert jobs.wait(jid, ["test1"], timeout=60, go_on=lambda: False) == {}
    heard: list[str] = []
    found = jobs.wait(jid, ["test1"], timeout=60, on_return=lambda one: heard.append(one.minion))
    assert found["test1"].value is True
    assert heard == ["test1"]
    assert jobs.still_running(jid, ["test1"]) == set()


def test_a_runner_on_the_master(jobs: Jobs) -> None:
    assert jobs.runner("test.arg", ["x"], {"y": 2})["kwargs"]["y"] == 2  # type: ignore[index]
    for function in ("no.such", "test.raise_exception"):
        with pytest.raises(SaltError, match=f"runner '?{function}"):
            jobs.runner(function)
    with pytest.raises(SaltError, match="no answer in"):
        jobs.runner("test.sleep", [5], timeout=0.2)
    assert jobs.accepted()  # by a new process
