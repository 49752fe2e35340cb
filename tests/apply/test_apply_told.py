"""What is told of an apply: by runners, on the master's bus, in its stream, to the journal, and to people."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import salt.runner

from tests.cli.test_json_shapes import conforms
from tests.support.running import Master
from tests.support.site import Journal, Site, run

TAG = "saltbranch/apply/test"


@pytest.fixture
def site(master: Master) -> Iterator[Site]:
    """That of the master, which tells the journal what it does for the time being."""
    site = master.site
    site.configure(record_syncs=True)
    site.sync_well()
    yield site
    site.configure(record_syncs=None)
    site.sync_well()


def applies(site: Site) -> list[dict[str, Any]]:
    """What the journal has of applies, once the next sync has told it."""
    site.sync_well()
    return [dict(event.as_dict()) for event in Journal(site.remote).events("apply")]


def heard_of(heard: Any, count: int) -> list[dict[str, Any]]:
    found = [dict(event["data"]) for event in heard(count)]
    assert all(data.pop("_stamp") for data in found)
    return [conforms("event-apply", data) for data in found]


@pytest.fixture
def client(master: Master) -> Iterator[salt.runner.RunnerClient]:
    with salt.runner.RunnerClient(master.opts) as client:
        yield client
        client.mminion.destroy()


def test_runners_apply_tell_the_bus_and_the_journal(
    master: Master, site: Site, client: salt.runner.RunnerClient
) -> None:
    def call(function: str, *words: str) -> dict[str, Any]:
        found = client.cmd(f"saltbranch.{function}", list(words), print_event=False)
        return dict(found)

    plan = call("apply", "test", "plan=True")
    assert plan.pop("retcode") == 3
    conforms("apply-plan", plan)
    with master.listening(TAG) as heard:
        done = master.runner("apply", "test", "batch=1", "pause=ask", "claimed_by=ann")
        told = heard_of(heard, 3)
    assert (done.code, done.value.pop("retcode")) == (0, 0)
    found = conforms("apply", done.value)
    assert (found["status"], found["passes"][0]["counts"]) == ("done", {"applied": 1})
    assert [(t["event"], t["counts"]) for t in told] == [
        ("begin", {"pending": 1}),
        ("batch", {"pending": 1}),
        ("end", {"applied": 1}),
    ]
    assert {t["id"] for t in told} == {found["id"]} and told[-1]["status"] == "done"
    assert {t["claimed_by"] for t in told} == {"ann"} and found["claimed_by"] == "ann"
    rows = call("apply_status", "test")
    assert rows.pop("retcode") == 0
    (row,) = conforms("apply-status", rows)["applies"]
    assert (row["id"], row["lives"]) == (found["id"], False)
    for function in ("apply_resume", "apply_abort"):
        refused = call(function, found["id"])
        assert refused["retcode"] == 4 and "is done" in refused["error"]
    (entry,) = [e for e in applies(site) if e["apply"] == found["id"]]
    assert (entry["status"], entry["of"], entry["counts"]) == ("done", 1, {"applied": 1})
    assert entry["claimed_by"] == "ann" and entry["master"]
    assert call("apply", "test", "batch=0")["retcode"] == 2
    assert call("apply", "test", "on_failure=x")["retcode"] == 2
    assert call("apply_abort", "../x")["retcode"] == 2


def test_every_line_of_the_stream_is_one_of_those_of_the_schema(site: Site) -> None:
    done = site.run("apply", "test", "--yes", "--json", "--pause", "1s")
    assert done.code == 0, done
    lines = [conforms("apply-stream", json.loads(line)) for line in done.out.splitlines()]
    kinds = [line["event"] for line in lines]
    assert kinds[0] == "test" and kinds[-1] == "end"
    assert {"plan", "begin", "batch", "job", "minion"} <= set(kinds)
    bad = site.run("apply", "nope", "--yes", "--json")
    (line,) = bad.out.splitlines()
    assert bad.code == 2 and conforms("apply-stream", json.loads(line))["error"]["exit_code"] == 2
    with pytest.raises(jsonschema.ValidationError):
        conforms("apply-stream", {**lines[-1], "x": 1})


def test_killed_between_its_end_and_the_journal(site: Site) -> None:
    before = len(applies(site))
    argv = [sys.executable, "-m", "tests.support.die_at", "before"]
    tell = "saltbranch.actions.shared.apply_end:tell"
    killed = run([*argv, tell, "0", "apply", "--config", str(site.config), "test", "--yes"])
    assert killed.code == -signal.SIGKILL, killed
    assert len(applies(site)) == before
    done = site.run("apply", "test", "--yes")
    assert done.code == 0, done
    site.run("status")
    found = applies(site)[before:]
    assert [entry["status"] for entry in found] == ["done", "done"]
    assert len({entry["apply"] for entry in found}) == 2
