"""What the process that renders is kept from, and what does not hang on its verdict."""

from __future__ import annotations

import fcntl
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from saltbranch.actions.status import status
from saltbranch.serve import verify
from saltbranch.serve.verify import Question
from tests.project.test_imports import modules_of
from tests.support.machine import BROKEN, TOP, Machine
from tests.support.site import Site, result_of

LOOP = TOP + "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}\n"


def is_free(site: Site) -> bool:
    """Whether nobody holds the lock of the root."""
    with open(site.root / "lock") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_a_top_that_never_ends_is_stopped_and_said(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "_LIMIT", 4)
    commit = machine.commit({"salt/top.sls": LOOP})
    begin = time.monotonic()

    result = machine.sync()

    assert time.monotonic() - begin < 60
    assert result.state == "switched" and "not verified: it was stopped after 4 s" in result.message
    machine.site.assert_serves("master", commit)
    assert is_free(machine.site)


def test_a_sync_that_is_killed_meanwhile_leaves_nothing_and_the_next_one_ends_it(
    machine: Machine,
) -> None:
    machine.commit({"salt/top.sls": LOOP})
    running = machine.site.start()
    child = wait_for(lambda: children(running.pid, "render_tops.main"))
    time.sleep(1)
    running.send_signal(signal.SIGKILL)
    running.communicate()

    wait_for(lambda: not any(map(is_running, child)) or None)
    assert is_free(machine.site)
    good = machine.commit({"salt/top.sls": TOP, "salt/new.sls": ""})
    machine.site.sync_well()
    machine.site.assert_serves("master", good)


def children(parent: int, word: str) -> list[int] | None:
    """The processes below `parent` whose command has `word` in it."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            above = folder.joinpath("stat").read_text().rpartition(")")[2].split()[1]
            if int(above) == parent and word in folder.joinpath("cmdline").read_text():
                found.append(int(folder.name))
        except OSError:
            continue
    return found or None


def is_running(pid: int) -> bool:
    """Whether it is there, and more than a name that nobody has collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(look: Callable[[], Any]) -> Any:
    """What `look` finds within a minute."""
    for _ in range(1200):
        if (found := look()) is not None:
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come")


def test_code_of_the_branch_gets_no_descriptor_of_the_sync(machine: Machine) -> None:
    probe = (
        "import os\ndef fds():\n    names = []\n    for fd in range(3, 300):\n        try:\n"
        "            names.append(os.readlink(f'/proc/self/fd/{fd}'))\n        except OSError:\n            pass\n"
        "    raise Exception('open: ' + ' '.join(names))\n"
    )
    machine.commit(
        {"salt/_modules/probe.py": probe, "salt/top.sls": TOP + "{{ salt['probe.fds']() }}\n"}
    )

    machine.sync()

    told = json.dumps(machine.verdict().as_dict())
    assert "open: " in told and "lock" not in told and str(machine.site.root) not in told


def test_a_model_counts_whether_its_commit_is_switched_to_or_not(machine: Machine) -> None:
    saltenvs = {
        name: {**entry, "promote_from": "test"} if name == "prod" else entry
        for name, entry in machine.site.settings["saltenvs"].items()
    }
    machine.site.configure(saltenvs=None, model_branch="master")
    machine.commit({"saltbranch.yaml": yaml.safe_dump({"saltenvs": saltenvs})})
    assert machine.site.sync_here().exit_code == 0
    saltenvs["test"]["protected"] = True
    bad = machine.commit(
        {"saltbranch.yaml": yaml.safe_dump({"saltenvs": saltenvs}), "salt/top.sls": BROKEN}
    )

    result = machine.site.sync_here()

    assert (result.exit_code, result_of(result, "prod").state) == (4, "refused")
    found = status(str(machine.site.config))
    assert found.model["commit"] == bad and found.model["problem"] is None
    assert machine.status("test").protected


def test_a_new_minion_is_asked_about_but_not_at_once(
    machine: Machine, asked: list[Question], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.commit({"salt/top.sls": TOP + "{% if grains.id != 'prod3' %}{{ no.x }}{% endif %}\n"})
    assert machine.sync().state == "refused"
    machine.meet("prod3")
    assert machine.sync().state == "refused" and len(asked) == 1
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + verify._AGAIN + 1)

    result = machine.sync()

    assert result.state == "switched" and "2 of 3 minions" in result.message and len(asked) == 2


def test_a_sync_without_news_knows_nothing_of_it(machine: Machine) -> None:
    machine.commit({"salt/new.sls": ""})
    machine.site.sync_well()
    program = "from saltbranch.entry import main; main()"

    found = modules_of("-c", program, "sync", "--config", str(machine.site.config))

    assert "saltbranch.actions.sync" in found
    assert "saltbranch.serve.verify" not in found and "json" not in found
