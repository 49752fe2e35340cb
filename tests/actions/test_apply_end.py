"""What is told of an apply that is over: once, also where its process was killed before it could."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from saltbranch.actions.shared import apply_end
from saltbranch.apply import run_state
from saltbranch.apply.outcome import APPLIED, FAILED, Outcome
from saltbranch.base import files
from saltbranch.git.mirror import Mirror
from saltbranch.repository.machine import load_config
from saltbranch.serve import leased, report
from saltbranch.serve.leased import Lease
from tests.actions.test_status_applies import FIRST, record
from tests.cli.test_json_shapes import conforms
from tests.support.receiver import Receiver, until
from tests.support.site import Journal, Site

RULES = [{"events": ["apply", "verify"], "to": ["ops"]}]


@pytest.fixture
def prod(site: Site) -> Site:
    site.configure(record_syncs=True)
    site.sync_well()
    return site


def killed(site: Site, **changes: Any) -> run_state.Record:
    """As an apply leaves it that was killed between its end and the journal."""
    commit = str(site.remote.head("master"))
    ended = time.time()
    values = {"ended": ended, "since": ended - 60, **changes}
    mine = record(commit, **values)
    mine.skipped = {"web3": "down", "web4": "nothing would change"}
    mine.first.outcomes = {"web1": Outcome(APPLIED), "web2": Outcome(FAILED, "hunter2")}
    mine.first.at = 2
    mirror = Mirror(str(site.root))
    config = load_config(str(site.config), mirror, mirror.branches())
    apply_end.end(config, mine, ended)
    run_state.save(str(site.root), mine)
    lease = Lease(FIRST, commit, "Ann", ended - 60, ended + 200)
    leased.write(str(site.root), "master", lease)
    return mine


def look(site: Site, *words: str) -> Any:
    return site.run_here(*words, "--config", str(site.config), "--json")


def entries(site: Site) -> list[dict[str, Any]]:
    site.sync_well()
    return [dict(event.as_dict()) for event in Journal(site.remote).events("apply")]


@pytest.mark.parametrize("words", [("status",), ("apply", "--status"), ("apply", "--abort", FIRST)])
def test_whoever_comes_next_tells_it_once(prod: Site, words: tuple[str, ...]) -> None:
    mine = killed(prod)
    for _ in range(2):
        look(prod, *words)
    (entry,) = entries(prod)
    assert (entry["id"], entry["apply"], entry["status"]) == (mine.untold[0]["id"], FIRST, "done")
    assert (entry["of"], entry["unchanged"]) == (4, 1)
    assert entry["counts"] == {"applied": 1, "failed": 1} and entry["failed"] == {"web2": "failed"}
    assert "hunter2" not in json.dumps(entry)  # what a minion says may hold its pillar
    assert not (prod.root / "state" / "applies" / "lease-master").exists()
    look(prod, *words)
    assert len(entries(prod)) == 1


def test_killed_after_it_was_handed_over(prod: Site) -> None:
    mine = killed(prod)
    for _ in range(2):
        look(prod, "status")
        run_state.save(str(prod.root), mine)  # before that was written down
    assert len(entries(prod)) == 1
    look(prod, "status")  # it is in the journal by now
    assert len(entries(prod)) == 1
    assert not Path(report.path(str(prod.root))).exists()


def test_who_only_looks_waits_for_nobody(prod: Site) -> None:
    killed(prod)
    for path in (f"{prod.root}/lock", run_state.lock_path(str(prod.root), "master")):
        with files.Lock(path):
            assert look(prod, "status").code == 0
        assert run_state.load(str(prod.root), FIRST).untold
    assert look(prod, "status").code == 0 and len(entries(prod)) == 1


def test_without_a_journal_of_syncs_people_here_are_told(prod: Site) -> None:
    target = {"ops": "http://127.0.0.1:9/x"}
    prod.configure(record_syncs=None, notify=RULES, notify_targets=target)
    prod.sync_well()
    killed(prod, status="stopped", why="1 of 2 minions went wrong")
    for _ in range(2):
        assert look(prod, "status").code == 0
    queue = [
        p for p in (prod.root / "state" / "outbox" / "queue").iterdir() if "apply" in p.read_text()
    ]
    assert len(queue) == 1 and "hunter2" not in queue[0].read_text()
    assert entries(prod) == []


def test_people_are_told_once_by_the_journal(prod: Site) -> None:
    with Receiver() as server:
        prod.configure(notify=RULES, notify_targets={"ops": server.url()})
        prod.sync_well()
        killed(prod, status="stopped", why="1 of 2 minions went wrong")
        look(prod, "status")
        for _ in range(3):
            prod.sync_well()
        assert until(lambda: server.got)
        prod.run_here("notify", "--test", "--config", str(prod.config))  # what comes later is there
        assert [got["event"] for got in server.got] == ["apply", "test"]
        told = server.got[0]
    assert told["title"].endswith("has stopped") and "--resume" in told["text"]
    assert "1 applied, 1 failed" in told["text"] and "hunter2" not in json.dumps(told)


def test_what_minions_and_hooks_say_is_short_and_steers_nothing() -> None:
    odd = [f"web{number}\x1b[2J\n" for number in range(30)]
    mine = record("a" * 40, why="before: lb\x1b[2J\n" + "x" * 100_000)
    mine.first.batches = [odd]
    mine.decided = ["Ann: go on: before: lb\x1b[2J\n" + "x" * 100_000] * 3
    mine.first.outcomes = {m: Outcome(FAILED, "hunter2" * 10_000) for m in odd}
    told = apply_end.entry(mine, "1", 1.0, master="m1")
    text = json.dumps(told.as_dict())
    assert len(text) < 8000 and len(told.details["failed"]) == 20
    assert "\\u001b" not in text and "\\n" not in text and "hunter2" not in text
    assert told.details["counts"] == {"failed": 30}


def test_history_where_and_status_say_what_is_proven(prod: Site) -> None:
    mine = killed(prod)
    shown = prod.run_here("status", "--config", str(prod.config)).out
    assert f"{mine.first.commit[:12]} applied on 0 of 0 minions" in shown
    prod.sync_well()
    (row,) = [e for e in conforms("history", json.loads(look(prod, "history", "prod").out))["entries"]
              if e["what"] == "apply"]  # fmt: skip
    assert (row["outcome"], row["seconds"]) == ("done", 60) and row["counts"] == {
        "applied": 1,
        "failed": 1,
    }
    text = prod.run_here("history", "prod", "--config", str(prod.config)).out
    assert "done  in 60 s" in text and "1 applied, 1 failed" in text
    found = conforms("where-commit", json.loads(look(prod, "where", mine.first.commit).out))
    minions = {s["saltenv"]: s["minions"] for s in found["saltenvs"]}
    (one,) = minions["prod"]
    assert (one["runs"], one["of"], one["apply"]) == (2, 4, FIRST) and minions["test"] == []
    text = prod.run_here("where", mine.first.commit, "--config", str(prod.config)).out
    assert "runs on 2 of 4 minions of " in text
    assert text.count("whether minions run it is not known") == 2  # test and stage have it, too
    newest = prod.run_here("where", "develop", "--config", str(prod.config)).out
    assert "runs on" not in newest


def test_an_entry_that_a_stranger_wrote_does_not_steer_the_terminal(prod: Site) -> None:
    commit = str(prod.remote.head("master"))
    Journal(prod.remote).add(
        "apply", saltenv="prod", commit=commit, status="\x1b[2J", told="\x1b[2J", why="x\ny",
        counts={"applied": 3, "\x1b[2J": 1}, of=3, master="m\x1b[2J[red]", apply="\x1b[2J", since="\x1b[2J",
    )  # fmt: skip
    prod.sync_well()
    for words in (("history", "prod"), ("where", commit), ("status",)):
        ran = prod.run_here(*words, "--config", str(prod.config))
        assert ran.code == 0 and "\x1b[2J" not in ran.out + ran.err
    conforms("history", json.loads(look(prod, "history", "prod").out))
    conforms("where-commit", json.loads(look(prod, "where", commit).out))
