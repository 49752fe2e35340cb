"""apply that is killed between any two steps, or ended by a person, on a running salt-master with three minions."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.apply.test_apply_running import Fleet, end_of, until
from tests.support.site import Journal, run

IDS = ["prod01", "prod02", "prod03"]
PUBLISH = "saltbranch.salt_master.jobs:Jobs.publish"
SEAMS = "saltbranch.verify.seams:ModelSeams"
HOLD = "saltbranch.actions.shared.applying:hold_locally"
HOOK = """\
#!{python}
import json, sys
told = json.load(sys.stdin)
with open("{log}", "a") as log:
    log.write(" ".join([told["hook"], *told["minions"]]) + "\\n")
"""
ONE_CHANGES = """\
{{% if grains.id == 'prod02' %}}
mark:
  cmd.run:
    - name: echo one >> {lines}/prod02
{{% else %}}
none:
  test.nop: []
{{% endif %}}
"""

pytestmark = [pytest.mark.xdist_group("apply"), pytest.mark.slow]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("kills")
    fleet = Fleet(folder, IDS)
    hook = folder / "hook"
    hook.write_text(HOOK.format(python=sys.executable, log=folder / "hooks"))
    hook.chmod(hook.stat().st_mode | stat.S_IXUSR)
    around = [{"command": [str(hook)]}]
    prod = fleet.site.settings["saltenvs"]["prod"]
    prod |= {"before_batch": around, "after_batch": around, "verify": [{"salt": "test.ping"}]}
    fleet.site.configure(programs=[[str(hook)]])
    fleet.site.sync_well()
    with fleet.cluster:
        fleet.warm()
        yield fleet


def hooks(fleet: Fleet) -> list[str]:
    """What the hooks were told, without what they were told again."""
    path = fleet.lines.parent / "hooks"
    return list(dict.fromkeys(path.read_text().splitlines())) if path.exists() else []


def die(fleet: Fleet, when: str, step: str, let_through: int, *words: str) -> None:
    """Run apply, and see it killed there."""
    argv = [sys.executable, "-m", "tests.support.die_at", when, step, str(let_through)]
    killed = run([*argv, "apply", "--config", str(fleet.site.config), *words])
    assert killed.code == -signal.SIGKILL, killed


def told(fleet: Fleet) -> dict[str, Any]:
    """What `status` has of prod."""
    ran = fleet.site.run("status", "--json")
    rows = json.loads(ran.out)["saltenvs"]
    return dict(next(row for row in rows if row["saltenv"] == "prod"))


def fresh(fleet: Fleet, **behave: str) -> tuple[str, ...]:
    fleet.does(**behave)
    (fleet.lines.parent / "hooks").unlink(missing_ok=True)
    return ("prod", "--yes", "--batch", "2", "--json")


@pytest.mark.parametrize(
    ("when", "step", "let_through"),
    [
        ("before", f"{PUBLISH}?", 0),
        ("after", f"{PUBLISH}?", 0),
        ("before", f"{SEAMS}.before", 0),
        ("after", f"{SEAMS}.before", 0),
        ("before", PUBLISH, 0),
        ("after", PUBLISH, 0),
        ("before", PUBLISH, 1),
        ("before", f"{SEAMS}.verify", 0),
        ("after", f"{SEAMS}.verify", 1),
        ("before", f"{SEAMS}.after", 0),
        ("after", f"{SEAMS}.after", 1),
    ],
)
def test_the_same_command_finishes(fleet: Fleet, when: str, step: str, let_through: int) -> None:
    words = fresh(fleet)
    die(fleet, when, step, let_through, *words)
    found = told(fleet)["apply"]
    planned = "?" in step
    assert found["state"] == "killed" and bool(found["batches"]) != planned, found
    goes_on = found["command"].split()[1:]
    assert goes_on == (["apply", "prod"] if planned else ["apply", "--resume", found["id"]])
    code, lines = end_of(fleet.start(*words))
    assert code == 0, lines
    assert lines[-1]["passes"][0]["counts"] == {"applied": 3}
    assert fleet.applied() == {minion: ["former"] for minion in IDS}  # nobody twice
    pairs = ["prod01 prod02", "prod03"]
    assert hooks(fleet) == [f"{h} {p}" for p in pairs for h in ("before_batch", "after_batch")]
    row = told(fleet)
    assert row["apply"] is None and (row["applied"]["applied"], row["applied"]["of"]) == (3, 3)
    assert not list((fleet.site.root / "state" / "applies").glob("lease-*"))


def test_ended_by_a_person_once_twice_and_from_elsewhere(fleet: Fleet) -> None:
    words = fresh(fleet, prod01="sleep 5")
    first = fleet.start(*words)
    until(lambda: "former" in fleet.applied().get("prod01", []), first)
    os.killpg(first.pid, signal.SIGINT)  # as a terminal does
    code, lines = end_of(first)
    end = lines[-1]
    assert (code, end["status"], end["why"]) == (130, "stopped", "it was interrupted")
    assert end["passes"][0]["counts"] == {"pending": 1, "applied": 2}
    assert told(fleet)["apply"]["state"] == "stopped"
    code, lines = end_of(fleet.start("--resume", end["id"], "--json"))
    assert code == 0 and fleet.applied() == {minion: ["former"] for minion in IDS}

    words = fresh(fleet, prod01="sleep 8")
    second = fleet.start(*words)
    until(lambda: "former" in fleet.applied().get("prod01", []), second)
    os.killpg(second.pid, signal.SIGINT)
    until(lambda: _is_heard(second), second)
    os.killpg(second.pid, signal.SIGINT)
    _, err = second.communicate(timeout=60)
    assert second.returncode == 130 and "may still run on prod01" in err, err
    code, lines = end_of(fleet.start(*words))
    assert code == 0 and fleet.applied() == {minion: ["former"] for minion in IDS}

    words = fresh(fleet, prod02="sleep 5")
    third = fleet.start(*words)
    until(lambda: "former" in fleet.applied().get("prod02", []), third)
    name = told(fleet)["apply"]["id"]
    assert "after the batch" in fleet.site.run("apply", "--abort", name).out
    code, lines = end_of(third)
    assert (code, lines[-1]["status"]) == (20, "aborted")
    assert sorted(fleet.applied()) == ["prod01", "prod02"]
    assert fleet.site.run("apply", "--resume", name).code == 4


def _is_heard(process: subprocess.Popen[str]) -> bool:
    """Whether the first ^C was: a process whose handler is Python's own again waits for the second."""
    import select

    assert process.stderr
    ready, _, _ = select.select([process.stderr], [], [], 0)
    return bool(ready)


def test_only_those_that_change(fleet: Fleet) -> None:
    words = fresh(fleet)
    assert fleet.site.sync().code == 0
    verified = Journal(fleet.site.remote).events("verify")
    last = verified[-1].details  # an apply of all of them
    assert (last["passed"], last["complete"], last["minions"]) == (True, True, len(IDS))
    # A state that says itself whether it changes something: here only one does.
    text = ONE_CHANGES.format(lines=fleet.lines)
    fleet.site.remote.commit("master", {"salt/app.sls": text})
    fleet.site.sync_well()
    code, lines = end_of(fleet.start(*words, "--only", "changed"))
    end = lines[-1]
    assert code == 0 and end["passes"][0]["batches"] == [["prod02"]], end
    assert end["skipped"] == dict.fromkeys(("prod01", "prod03"), "nothing would change")
    assert fleet.applied() == {"prod02": ["one"]}
    assert fleet.site.sync().code == 0  # one of only some is none
    assert len(Journal(fleet.site.remote).events("verify")) == len(verified)
    row = told(fleet)["applied"]
    # Of the others the test run has proven that they have it.
    assert (row["applied"], row["of"], row["others"]) == (3, 3, {})


@pytest.mark.parametrize(
    ("when", "step", "let_through"),
    [("before", HOLD, 0), ("after", HOLD, 0), ("before", PUBLISH, 1), ("after", PUBLISH, 1)],
)
def test_killed_in_a_rollback(fleet: Fleet, when: str, step: str, let_through: int) -> None:
    words = (*fresh(fleet, prod02="fail"), "--on-failure", "rollback")
    if told(fleet)["hold"] is None:
        fleet.commit("former")
        fleet.site.sync_well()
    former, old = told(fleet)["served"]["commit"], str(fleet.site.remote.head("master"))
    newer = fleet.commit("later")
    Journal(fleet.site.remote).add(
        "promotion", saltenv="prod", branch="master", source="stage", source_commit=newer,
        old=old, new=newer, served_before=former, lifts_hold=True,
    )  # fmt: skip
    fleet.site.sync_well()
    die(fleet, when, step, let_through, *words)
    found = told(fleet)["apply"]
    assert (found["state"], found["kind"], found["commit"]) == ("killed", "rollback", former)
    code, lines = end_of(fleet.start(*words))
    assert (code, lines[-1]["status"]) == (20, "rolled-back"), lines
    assert fleet.applied() == {minion: ["later", "former"] for minion in IDS[:2]}
    row = told(fleet)
    assert row["hold"]["commit"] == row["served"]["commit"] == row["applied"]["commit"] == former
    assert fleet.site.sync().code == 0  # the hold is pushed, so the next promotion lifts it
