"""promote --wait: exactly the plan that was shown, once time or people have opened its gates."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from saltbranch.promote import wait_gates
from tests.cli.test_json_shapes import conforms
from tests.promote.test_approvals import Keys
from tests.support.flow_site import FlowSite, as_yaml

NOW = ("promote", "stage", "--yes", "--wait", "1m")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks at the clock that seldom in a test."""
    monkeypatch.setattr(wait_gates, "_BREATH", 0.2)
    monkeypatch.setattr(wait_gates, "_AGAIN", 0.5)


def soaking(flow: FlowSite, left: float, **stage: Any) -> str:
    """Something to promote to stage that has `left` seconds of an hour to go; its commit."""
    flow.configure(stage={"gates": [{"soak": "1h"}], **stage})
    new = flow.push("develop")
    flow.served("test", new, ago=3600 - left)
    return new


@contextmanager
def meanwhile(monkeypatch: pytest.MonkeyPatch, work: Callable[[], Any]) -> Iterator[None]:
    """`work` is done when a promotion begins to wait."""
    done: list[Any] = []

    def tell(self: Any, text: str) -> None:
        if not done:
            done.append(True)
            work()

    with monkeypatch.context() as patch:
        patch.setattr("saltbranch.cli.run_merge.Terminal.waits", tell)
        yield
    assert done, "it did not wait"


def test_a_soak_that_ends_meanwhile(flow: FlowSite) -> None:
    new = soaking(flow, 4)
    plan = flow.plan("promote", "stage")
    ran = flow.run(*NOW, "--expect", plan["digest"])
    assert ran.code == 0, ran
    assert flow.contains("stage", new)
    assert "promote stage: waits for soak, until " in ran.err
    assert "%" not in ran.err, "no progress without a terminal"
    assert flow.trailers(flow.head("stage"))["Plan-Digest"] == plan["digest"]


def test_a_window_that_opens_meanwhile(flow: FlowSite, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    ahead = 3600 - real() % 3600  # to the next hour, but for some seconds
    opens = datetime.fromtimestamp(real() + ahead + 1, timezone.utc)
    span = f"{opens:%H}:00-{(opens.hour + 1) % 24:02}:00"
    flow.configure(stage={"gates": [{"window": {"allow": [span]}}]})
    flow.push("develop")
    monkeypatch.setattr(time, "time", lambda: real() + ahead - 4)
    ran = flow.run(*NOW, "--json")
    assert ran.code == 0, ran
    found = conforms("promote", json.loads(ran.out))
    assert {g["gate"]: g["verdict"] for g in found["plan"]["gates"]}["window"] == "pass"
    assert ran.err == ""


@pytest.mark.parametrize("which", ["source", "target", "model"])
def test_another_plan_or_model_stops_it(
    flow: FlowSite, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    new = soaking(flow, 3)

    def change() -> None:
        if which == "model":
            flow.model["saltenvs"]["stage"]["gates"] = []
            flow.push("master", {"saltbranch.yaml": as_yaml(flow.model)})
        else:
            flow.push("develop" if which == "source" else "stage")

    with meanwhile(monkeypatch, change):
        ran = flow.run(*NOW)
    assert ran.code == 4, ran
    said = {"source": "develop moved", "target": "stage moved", "model": "the model became another"}
    assert f"while it waited, {said[which]}" in ran.err
    assert "nothing was changed" in ran.err
    assert not flow.contains("stage", new)


def test_an_emergency_stop_that_comes_is_obeyed(
    flow: FlowSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    soaking(flow, 3)
    before = flow.head("stage")

    def stop() -> None:
        rows = [{"saltenv": "stage", "commit": before}]
        flow.record("hold", all=True, saltenvs=rows, reason="fire")

    with meanwhile(monkeypatch, stop):
        ran = flow.run(*NOW)
    assert ran.code == 4, ran
    assert "all saltenvs are held by Bob" in ran.err
    assert flow.head("stage") == before


def test_a_soak_that_begins_anew_meanwhile(flow: FlowSite, monkeypatch: pytest.MonkeyPatch) -> None:
    soaking(flow, 3)
    before = flow.head("stage")
    with meanwhile(monkeypatch, lambda: flow.served("test", before, ago=0)):
        ran = flow.run(*NOW)
    assert ran.code == 4, ran
    assert "test does not serve this commit yet" in ran.err
    assert flow.head("stage") == before


def test_approvals_that_come_meanwhile(
    flow: FlowSite, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    keys = Keys(tmp_path)
    rule = {"count": 1, "from": [keys.line("dora@example.com", "dora")]}
    new = soaking(flow, 3, gates=[{"soak": "1h"}, {"approvals": rule}])
    words = ("approve", "stage", "--expect", flow.plan("promote", "stage")["digest"])
    argv = [sys.executable, "-m", "saltbranch", *words, "--key", keys.path("dora"), "--yes"]
    thread = Thread(target=subprocess.run, args=(argv,), kwargs={"cwd": flow.clone, "check": True})
    with meanwhile(monkeypatch, thread.start):
        ran = flow.run(*NOW)
    thread.join()
    assert ran.code == 0, ran
    assert flow.contains("stage", new)


def test_people_who_do_not_come_are_waited_for_until_the_end(
    flow: FlowSite, tmp_path: Path
) -> None:
    rule = {"count": 1, "from": [Keys(tmp_path).line("dora@example.com", "dora")]}
    flow.configure(stage={"gates": [{"approvals": rule}]})
    flow.push("develop")
    said = flow.refused("promote", "stage", "--yes", "--wait", "2s")
    assert "waits for approvals, at most until " in said
    assert "not promoted, because of" in said


def test_what_takes_longer_is_refused_at_once_and_says_when(flow: FlowSite) -> None:
    soaking(flow, 600)
    begun = time.monotonic()
    said = flow.refused("promote", "stage", "--yes", "--wait", "5m")
    assert "soak cannot pass before " in said and "(in 10 min)" in said
    assert time.monotonic() - begun < 60


def test_what_neither_time_nor_people_open_is_refused_at_once(flow: FlowSite) -> None:
    soaking(flow, 60, gates=[{"soak": "1h"}, {"command": ["/bin/false"]}])
    assert "false: fail" in flow.refused(*NOW)
    conflict = {"salt/app/init.sls": "a:\n  test.nop: []\n"}
    flow.push("develop", conflict)
    flow.push("stage", {"salt/app/init.sls": "b:\n  test.nop: []\n"})
    assert "conflicts in" in flow.refused(*NOW)


@pytest.mark.parametrize("text", ["", "0s", "60", "2d", "soon"])
def test_what_is_no_time_is_refused(flow: FlowSite, text: str) -> None:
    assert "--wait: " in flow.refused("promote", "stage", "--yes", "--wait", text, code=2)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_nothing_is_locked_or_left(
    flow: FlowSite, how: signal.Signals
) -> None:
    soaking(flow, 50)
    before = flow.refs()
    process = subprocess.Popen(
        [sys.executable, "-m", "saltbranch", *NOW],
        cwd=flow.clone, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert process.stderr and process.stdout
    assert "waits for soak" in process.stderr.readline()
    flow.plan("promote", "stage")  # others work on meanwhile
    process.send_signal(how)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (out, err)
    assert "interrupted while it waited; nothing was changed" in err
    assert flow.refs() == before
