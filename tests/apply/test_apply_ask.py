"""apply that stops on the shared salt-master: what a person is asked, what a rollback leaves, what the preview adds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.on_terminal import OnTerminal
from tests.support.running import Master
from tests.support.site import Journal, Site

QUESTION = "[r]ollback?"


@dataclass(frozen=True)
class Stage:
    """The saltenv test serves a commit that manages a file, and its check wants another file. former: before that."""

    site: Site
    former: str
    motd: Path
    well: Path

    def on_terminal(self, *words: str) -> OnTerminal:
        return OnTerminal(self.site.argv("apply", *words))

    def let_go(self) -> None:
        """End the hold that a rollback of a test before made, if one did."""
        assert self.site.sync().code == 0  # it is published
        done = self.site.run("unhold", "test", "--yes", "--reason", "it is well")
        assert done.code == 0 or "test is not held" in done.err, done
        self.site.sync_well()

    def last(self) -> dict[str, Any]:
        """The newest record, as programs see it."""
        rows = json.loads(self.site.run("apply", "test", "--status", "--json").out)["applies"]
        return dict(rows[0])


@pytest.fixture(scope="module")
def stage(master: Master, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    site, folder = master.site, tmp_path_factory.mktemp("stage")
    motd, well = folder / "motd", folder / "well"
    before = json.loads(json.dumps(site.settings["saltenvs"]))
    check = {"salt": "file.file_exists", "args": [str(well)], "retries": 0, "name": "well"}
    always = {"salt": "test.ping", "name": "ping", "on": "changed"}
    site.settings["saltenvs"]["test"]["verify"] = [check, always]
    site.configure(record_syncs=True)
    former = str(site.remote.head("develop"))
    sls = f"motd:\n  file.managed:\n    - name: {motd}\n    - contents: hello\n"
    site.remote.commit("develop", {"salt/app/init.sls": sls})
    newer = str(site.remote.head("develop"))
    Journal(site.remote).add(
        "promotion", saltenv="test", branch="develop", source="topic", source_commit=newer,
        old=former, new=newer, served_before=former,
    )  # fmt: skip
    site.sync_well()
    found = Stage(site, former, motd, well)
    yield found
    site.configure(saltenvs=before, record_syncs=None)
    found.let_go()
    nop = "app:\n  test.nop: []\n"
    site.remote.commit("develop", {"salt/app/init.sls": nop})
    site.sync_well()


def test_a_plan_tells_checks_and_what_a_rollback_leaves(stage: Stage) -> None:
    planned = stage.site.run("apply", "test", "--plan", "--on-failure", "rollback")
    assert planned.code == 3, planned
    assert "checks after it: well, ping (on: changed)" in planned.out
    assert f"a rollback would serve {stage.former[:12]} again, and does not undo:" in planned.out
    left = "motd | file.managed (app) stays on 1 minion: test1"
    assert left in planned.out
    # The plan of the verb that only holds says the same.
    words = ("rollback", "test", "--reason", "it is bad", "--plan")
    planned = stage.site.run(*words)
    assert f"going back to {stage.former[:12]} does not undo:" in planned.out
    assert left in planned.out
    state = {"key": "motd | file.managed", "sls": "app", "minions": ["test1"]}
    found = json.loads(stage.site.run(*words, "--json").out)["stays"]
    assert found == {"former": stage.former, "states": [state], "unknown": {}}


def test_a_person_is_asked_and_without_one_it_stops(stage: Stage) -> None:
    stopped = stage.site.run("apply", "test", "--yes", "--on-failure", "ask")
    assert stopped.code == 20, stopped
    name = stage.last()["id"]
    for option in ("--resume", "--rollback", "--abort"):
        assert f"saltbranch apply {option} {name}" in stopped.err
    with stage.on_terminal("--resume", name) as terminal:
        facts = terminal.until(QUESTION)
        assert "1 of 1 went wrong, and --max-failures is 0" in facts
        assert "test1: failed: it did not pass verify: well: it answered false" in facts
        assert f"with {stage.former[:12]}, and does not undo:" in facts
        assert "motd | file.managed (app) stays on 1 minion: test1" in facts
        assert "[s]top, [g]o on without test1, [a]gain: try test1 again" in facts
        terminal.type("what?\n")
        terminal.until(QUESTION)
        terminal.type("\x03")
        code, _ = terminal.end()
    assert code == 20 and stage.last()["status"] == "stopped"
    with stage.on_terminal("--resume", name) as terminal:
        terminal.until(QUESTION)
        stage.well.touch()
        terminal.type("a\n")
        code, shown = terminal.end()
    assert code == 0 and "1 applied" in shown, shown
    # All minions passed all checks, so it is a verification: who was tried again was changed.
    assert f"note: verified: 2 checks, 1 minion, by apply {name}" in shown
    assert stage.site.sync().code == 0
    event = Journal(stage.site.remote).events("verify")[-1]
    assert event.details["apply"] == name and event.details["complete"] is True
    found = stage.last()
    assert found["status"] == "done"
    assert [line.partition(": ")[2].split(":")[0] for line in found["decided"]] == ["stop", "again"]


def test_drift_is_told_from_what_a_commit_brings(stage: Stage) -> None:
    stage.motd.write_text("by hand\n")
    planned = stage.site.run("apply", "test", "--plan")
    told = "test1: 1 change more than the commit brings (drift): file.managed motd (app)"
    assert "compared with the preview since the last apply: 1 minion" in planned.out
    assert told in planned.out
    text = stage.site.remote.git("show", "develop:salt/app/init.sls").replace("hello", "hi")
    stage.site.remote.commit("develop", {"salt/app/init.sls": f"{text}\n"})
    stage.site.sync_well()
    planned = stage.site.run("apply", "test", "--plan")
    assert "compared with the preview since the last apply: 1 minion: as it says" in planned.out
    stage.motd.write_text("hi\n")
    planned = stage.site.run("apply", "test", "--plan")
    told = "test1: 1 change of the commit that the test run does not find: file.managed motd (app)"
    assert told in planned.out


def test_a_person_takes_it_back(stage: Stage) -> None:
    stage.well.unlink()
    with stage.on_terminal("test", "--yes", "--on-failure", "ask") as terminal:
        terminal.until(QUESTION)
        terminal.process.kill()
    killed = stage.site.run("apply", "test", "--status")
    assert ": killed, since" in killed.out and "1 failed" in killed.out
    # Whoever goes on after a kill is asked the same again.
    with stage.on_terminal("--resume", stage.last()["id"]) as terminal:
        terminal.until(QUESTION)
        terminal.type("r\n")
        before = terminal.until(f"rolling back to {stage.former[:12]}")
        left = "motd | file.managed (app) stays on 1 minion: test1"
        assert left not in before and left in terminal.until("stays on 1 minion: test1")
        code, shown = terminal.end()
    assert code == 20 and f"the rollback to {stage.former[:12]} has not undone:" in shown
    assert left in shown
    assert stage.last()["status"] == "rolled-back" and stage.motd.exists()


@pytest.mark.slow
def test_a_stopped_apply_is_taken_back_by_its_id(stage: Stage) -> None:
    stage.let_go()
    stopped = stage.site.run("apply", "test", "--yes")
    assert stopped.code == 20, stopped
    name = stage.last()["id"]
    no = stage.site.run("apply", "--rollback", name)
    assert no.code == 4 and stage.last()["status"] == "stopped", no
    assert f"a rollback to {stage.former[:12]} does not undo:" in no.out
    back = stage.site.run("apply", "--rollback", name, "--yes")
    assert back.code == 20 and stage.last()["status"] == "rolled-back", back
    assert ": rollback: 1 of 1 went wrong" in stage.last()["decided"][0]
    again = stage.site.run("apply", "--rollback", name, "--yes")
    assert again.code == 4 and "is rolled-back" in again.err
