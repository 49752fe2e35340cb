"""auto_promote: what moves by itself when every gate passes, on how many machines ever."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from saltbranch.actions import auto_promote
from saltbranch.base.durations import iso
from saltbranch.repository import promotions_due
from tests.cli.test_json_shapes import conforms, out
from tests.support.flow_site import as_yaml
from tests.support.remote import Remote
from tests.support.site import BRANCHES, TIMEOUT, Journal, Site

CODE = "from saltbranch.actions import auto_promote; auto_promote.main()"


def model(**stage: Any) -> dict[str, Any]:
    saltenvs: dict[str, Any] = {s: {"branch": b, "minions": [f"{s}*"]} for s, b in BRANCHES.items()}
    saltenvs["stage"] |= {"promote_from": "test", "auto_promote": True, **stage}
    saltenvs["prod"] |= {"promote_from": "stage"}
    return {"saltenvs": saltenvs}


def set_model(remote: Remote, keys: dict[str, Any]) -> None:
    head = remote.commit("master", {"saltbranch.yaml": as_yaml(keys)}, message="KEY-1 Model")
    for branch in ("stage", "develop"):
        remote.set_branch(branch, head)


def machine(folder: Path, remote: Remote, **changes: Any) -> Site:
    folder.mkdir(exist_ok=True)
    site = Site(folder, remote)
    site.configure(saltenvs=None, **{"promotes": True, **changes})
    site.salt_config.write_text("")
    ran = site.sync()
    assert ran.code == 0, ran
    return site


@pytest.fixture
def site(tmp_path: Path, remote: Remote) -> Site:
    set_model(remote, model())
    return machine(tmp_path / "m0", remote)


def push(remote: Remote, number: int = 1) -> str:
    files = {f"salt/n{number}.sls": "n:\n  test.nop: []\n"}
    return remote.commit("develop", files, message=f"KEY-1{number} Change")


def promote(site: Site) -> None:
    """As the process of a sync does; after that of an earlier sync, where one is at work."""
    deadline = time.monotonic() + TIMEOUT
    while not auto_promote.run(str(site.root), str(site.config)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def made(remote: Remote) -> list[tuple[str, str]]:
    return [(p.saltenv, p.source_commit) for p in Journal(remote).state().promotions]


def row(site: Site) -> dict[str, Any] | None:
    return promotions_due.told(str(site.root)).get("stage")


def test_a_sync_starts_it_and_it_promotes_what_passes(site: Site, remote: Remote) -> None:
    new = push(remote)
    assert site.sync().code == 0
    deadline = time.monotonic() + TIMEOUT
    while not made(remote):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert made(remote) == [("stage", new)]
    (event,) = Journal(remote).events("promotion")
    assert event.details["claimed_by"] == "auto_promote"
    assert remote.head("master") != remote.head("stage"), "a person promotes to prod"


def test_status_says_what_it_waits_for_and_when(tmp_path: Path, remote: Remote) -> None:
    set_model(remote, model(gates=[{"soak": "1h"}]))
    site = machine(tmp_path / "m", remote)
    config = ("--config", str(site.config))
    new = push(remote)
    served = {"saltenv": "test", "old": None, "new": new, "time": iso(time.time() - 1800)}
    Journal(remote).add("sync", master="m", saltenvs=[served])
    site.sync_here()
    promote(site)
    told = site.run_here("status", *config).out
    assert re.search(r"promoted to by itself at \w+ 20[0-9-]+ [0-9:]+ \w+\n", told), told
    assert told.count("soak: served by test for") == 1
    rows = conforms("status", out(site.run_here("status", *config, "--json")))["saltenvs"]
    auto = {r["saltenv"]: r["auto"] for r in rows}
    assert (auto["test"], auto["stage"]["state"], auto["prod"]) == (None, "waiting", None)
    why = site.run_here("why-not", "stage", *config)
    assert why.code == 4 and "auto_promote: it moves by itself as soon as all gates pass" in why.out
    site.configure(promotes=False)
    site.sync_here()
    assert "not by this machine (promotes: false)" in site.run_here("status", *config).out


def test_what_goes_wrong_is_remembered_and_tried_again(
    site: Site, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = push(remote)
    (remote.path / "hooks").mkdir(exist_ok=True)
    hook = remote.path / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho this branch is protected; exit 1\n")
    hook.chmod(0o755)
    promote(site)
    found = row(site)
    assert found and found["state"] == "failed" and "protected" in found["reason"]
    hook.unlink()
    promote(site)
    assert made(remote) == [], "the same plan is not tried again"
    newer = push(remote, 2)
    promote(site)
    assert made(remote) == [("stage", newer)]
    assert new != newer


def test_the_example_of_the_documents(tmp_path: Path, remote: Remote) -> None:
    """To stage by itself after a check and a soak, to production by a person."""
    page = Path(__file__).parents[2] / "docs" / "how-to" / "auto-promote.md"
    block = page.read_text().split("```yaml\n")[1].split("```")[0]
    head = remote.commit("master", {"saltbranch.yaml": block}, message="KEY-1 Model")
    for branch in ("stage", "develop"):
        remote.set_branch(branch, head)
    site = machine(tmp_path / "m", remote)
    bad = remote.commit("develop", {"salt/app/init.sls": "app: [\n"}, message="KEY-2 Broken")
    served = {"saltenv": "test", "old": None, "new": bad, "time": iso(time.time() - 86400)}
    Journal(remote).add("sync", master="m", saltenvs=[served])
    promote(site)
    found = row(site)
    assert found and (found["state"], made(remote)) == ("failed", [])
    assert found["reason"].startswith("check: ")
    good = remote.commit(
        "develop", {"salt/app/init.sls": "app:\n  test.nop: []\n"}, message="KEY-3 Fixed"
    )
    promote(site)
    found = row(site)
    assert found and found["state"] == "waiting" and "soak" in found["reason"]
    served |= {"new": good}
    Journal(remote).add("sync", master="m2", saltenvs=[served])
    promote(site)
    assert made(remote) == [("stage", good)]
    assert site.sync().code == 0
    promote(site)
    assert made(remote) == [("stage", good)]
    ran = site.run_here("promote", "prod", "--yes", "--config", str(site.config))
    assert ran.code == 0, ran
    assert [saltenv for saltenv, _ in made(remote)] == ["stage", "prod"]


def test_once_and_then_there_is_nothing(site: Site, remote: Remote) -> None:
    new = push(remote)
    for _ in range(3):
        promote(site)
    assert made(remote) == [("stage", new)]
    assert row(site) is None


@pytest.mark.parametrize(
    ("keys", "settings"),
    [({"auto_promote": False}, {}), ({}, {"promotes": False})],
)  # fmt: skip
def test_not_where_model_or_machine_do_not_say_so(
    tmp_path: Path, remote: Remote, keys: dict[str, Any], settings: dict[str, Any]
) -> None:
    set_model(remote, model(**keys))
    site = machine(tmp_path / "m", remote, **settings)
    push(remote)
    assert site.sync().code == 0
    assert not (site.root / "state" / "promotions").exists()
    promote(site)
    assert made(remote) == []


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"stage": 1}', '{"stage": {}}', "null", "[" * 9000, "\x00",
             '{"stage": {"state": "x", "reason": "", "digest": "", "since": "", "passes_at": null}}',
             '{"stage": {"state": "failed", "reason": 1, "digest": "", "since": "", "passes_at": 1}}'],
)  # fmt: skip
def test_what_was_remembered_may_be_torn(site: Site, remote: Remote, text: str) -> None:
    (site.root / "state" / "promotions.json").write_text(text)
    assert row(site) is None
    assert site.run_here("status", "--config", str(site.config)).code == 0


def test_a_change_does_not_turn_it_on_for_itself(tmp_path: Path, remote: Remote) -> None:
    set_model(remote, model(auto_promote=False))
    site = machine(tmp_path / "m", remote)
    remote.commit("develop", {"saltbranch.yaml": as_yaml(model())}, message="KEY-2 Me, too")
    site.sync()
    promote(site)
    assert made(remote) == []


def test_a_soak_opens_by_time(tmp_path: Path, remote: Remote) -> None:
    set_model(remote, model(gates=[{"soak": "1h"}]))
    site = machine(tmp_path / "m", remote)
    new = push(remote)
    site.sync()
    since = time.time() - 1800
    served = {"saltenv": "test", "old": None, "new": new, "time": iso(since)}
    Journal(remote).add("sync", master="m", saltenvs=[served])
    promote(site)
    found = row(site)
    assert found and (found["state"], made(remote)) == ("waiting", [])
    assert abs(found["passes_at"] - since - 3600) < 2
    first = (site.root / "state" / "promotions").read_text().split("\n")[0]
    assert abs(int(first) - since - 3600) < 3
    before = (site.root / "state" / "promotions").read_text()
    assert not site.sync_here().changed
    assert (site.root / "state" / "promotions").read_text() == before, "nothing is due"
    served["time"] = iso(time.time() - 7200)
    Journal(remote).add("sync", master="m2", saltenvs=[served])
    promote(site)
    assert made(remote) == [("stage", new)]


def test_what_fails_is_told_once_and_not_tried_again(tmp_path: Path, remote: Remote) -> None:
    tried = tmp_path / "tried"
    program = tmp_path / "no.sh"
    program.write_text(f"#!/bin/sh\necho x >> {tried}\necho no\nexit 1\n")
    program.chmod(0o755)
    command = [str(program)]
    set_model(
        remote,
        model(gates=[{"command": command}])
        | {"notify": [{"events": ["gate_closed"], "to": ["x"]}]},
    )
    targets = {"x": "http://127.0.0.1:1/"}
    site = machine(tmp_path / "m", remote, programs=[command], notify_targets=targets)
    push(remote)
    for _ in range(3):
        promote(site)
    found = row(site)
    assert found and found["state"] == "failed" and "no" in found["reason"]
    assert tried.read_text() == "x\n"
    assert made(remote) == []
    push(remote, 2)
    promote(site)
    assert tried.read_text() == "x\nx\n", "another plan is another try"


def test_what_could_not_be_decided_is_tried_again_ever_later(
    tmp_path: Path, remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried, late = tmp_path / "tried", tmp_path / "late"
    program = tmp_path / "slow.sh"
    program.write_text(f"#!/bin/sh\necho x >> {tried}\n[ ! -e {late} ] || exec sleep 60\n")
    program.chmod(0o755)
    late.touch()
    gate = {"command": [str(program)], "timeout": "1s"}
    keys = model(gates=[gate]) | {"notify": [{"events": ["gate_closed"], "to": ["x"]}]}
    set_model(remote, keys)
    targets = {"x": "http://127.0.0.1:1/"}
    site = machine(tmp_path / "m", remote, programs=[[str(program)]], notify_targets=targets)
    told: list[Any] = []
    monkeypatch.setattr("saltbranch.notify.outbox.put", lambda *words: told.append(words) or "")
    new, real, ahead = push(remote), time.time, 0.0
    monkeypatch.setattr(time, "time", lambda: real() + ahead)
    pauses = []
    for _ in range(4):
        promote(site)
        found = row(site)
        assert found and found["state"] == "trouble" and "no end after 1 s" in found["reason"]
        promote(site)
        assert row(site) == found, "not before it is time again"
        pauses.append(round((found["passes_at"] - time.time()) / 60))
        ahead = found["passes_at"] + 1 - real()
    assert pauses[:2] == [10, 10]
    assert 15 <= pauses[2] <= 25 and 35 <= pauses[3] <= 45
    assert tried.read_text() == "x\n" * 4
    # The process of the sync above may have been the first, and told of it.
    queue = (site.root / "state" / "outbox" / "queue").glob("*")
    by_another = [data.get("notice", data) for data in (json.loads(f.read_text()) for f in queue)]
    told_of = [*(words[1] for words in told), *(notice["event"] for notice in by_another)]
    assert told_of == ["gate_closed"]
    assert "not promoted to by itself yet (tried again " in site.run_here(
        "status", "--config", str(site.config)
    ).out.replace("\n", " ")
    late.unlink()
    promote(site)
    assert made(remote) == [("stage", new)]


def test_a_conflict_and_a_hold_of_all_stop_it(site: Site, remote: Remote) -> None:
    head = remote.head("master")
    rows = [{"saltenv": "stage", "commit": head}]
    Journal(remote).add("hold", all=True, saltenvs=rows, reason="fire")
    new = push(remote)
    promote(site)
    found = row(site)
    assert found and (found["state"], made(remote)) == ("waiting", [])
    assert "all saltenvs are held" in found["reason"]
    Journal(remote).add("unhold", all=True)
    promote(site)
    assert made(remote) == [("stage", new)]
    for branch in ("stage", "develop"):
        remote.commit(branch, {"salt/app/init.sls": f"{branch}:\n  test.nop: []\n"})
    promote(site)
    found = row(site)
    assert found and found["state"] in ("failed", "waiting")
    assert len(made(remote)) == 1


def told_by_hook(folder: Path) -> Counter[str]:
    """Promotion to how often the hook was told of it, where who told was not killed in the middle."""
    texts = (path.read_text() for path in folder.iterdir())
    return Counter(json.loads(text)["id"] for text in texts if text.endswith("}"))


def at_once(sites: list[Site], dice: random.Random) -> bool:
    """All machines try at the same time, and then each once more; whether one was killed."""
    argv = [sys.executable, "-c", CODE]
    running = [subprocess.Popen([*argv, str(s.root), str(s.config)], env=os.environ) for s in sites]
    kills = dice.random() < 0.5
    if kills:
        time.sleep(dice.random() * 2)
        dice.choice(running).kill()
    for process in running:
        process.wait(TIMEOUT)
    for site in dice.sample(sites, 3):
        promote(site)
    return kills


def rounds(tmp_path: Path, remote: Remote, number: int, seed: int) -> None:
    """Three machines at once; each round ends with one promotion that is told once, also where some are killed.

    In every other one the soak has not passed at first, and nothing moves.
    """
    told = tmp_path / "told"
    told.mkdir()
    hook = tmp_path / "hook.sh"
    hook.write_text(f"#!/bin/sh\ncat > $(mktemp {told}/XXXXXXXXXX)\n")
    hook.chmod(0o755)
    set_model(remote, model(gates=[{"soak": "1h"}]) | {"hooks": {"after_promote": [str(hook)]}})
    dice = random.Random(seed)
    sites = [machine(tmp_path / f"m{n}", remote, programs=[[str(hook)]]) for n in range(3)]
    wanted: Counter[tuple[str, str]] = Counter()
    twice = 0  # who is killed while the hook runs tells it once more
    for turn in range(number):
        new = push(remote, turn)
        if turn % 2:
            at_once(sites, dice)
            assert Counter(made(remote)) == wanted, f"{turn}: a gate was passed over"
        served = {"saltenv": "test", "old": None, "new": new, "time": iso(time.time() - 7200)}
        Journal(remote).add("sync", master="m", saltenvs=[served])
        wanted["stage", new] += 1
        twice += at_once(sites, dice)
        assert Counter(made(remote)) == wanted, turn
        events = [e.id for e in Journal(remote).events("promotion")]
        assert len(set(events)) == len(events) == len(wanted), turn
        found = told_by_hook(told)
        assert set(found) == set(events), turn
        assert found.total() <= len(events) + twice, turn
    for site in sites:
        assert row(site) is None, "the others found it done, and nothing alarms"


@pytest.mark.parametrize("seed", [1])
def test_three_machines_at_once(tmp_path: Path, remote: Remote, seed: int) -> None:
    rounds(tmp_path, remote, 4, seed)


@pytest.mark.slow
def test_three_machines_at_once_and_often(tmp_path: Path, remote: Remote) -> None:
    rounds(tmp_path, remote, 200, 7)
