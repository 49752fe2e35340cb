"""auto_promote where it meets holds, windows, approvals and other promotions that move by themselves."""

from __future__ import annotations

import json
import time
from pathlib import Path

from saltbranch.git.mirror import JOURNAL_REF
from saltbranch.git.program import Git
from saltbranch.journal import store as journal
from tests.actions.test_auto_promote import machine, made, model, promote, push, row, set_model
from tests.promote.test_approvals import Keys
from tests.support.flow_site import FlowSite, build_flow_template
from tests.support.remote import Remote
from tests.support.site import TIMEOUT, Journal, Site, event


def command(folder: Path, name: str, text: str) -> list[str]:
    """A program of that text, which agrees."""
    program = folder / name
    program.write_text(f"#!/bin/sh\n{text}\nexit 0\n")
    program.chmod(0o755)
    return [str(program)]


def test_all_that_may_move_moves_in_whatever_order_they_stand(
    tmp_path: Path, remote: Remote
) -> None:
    keys = model()
    found = keys["saltenvs"]
    found["prod"]["auto_promote"] = True
    keys["saltenvs"] = {name: found[name] for name in ("prod", "stage", "test")}
    set_model(remote, keys)
    site = machine(tmp_path / "m", remote)
    new = push(remote)
    promote(site)
    assert made(remote)[0] == ("stage", new)
    assert [saltenv for saltenv, _ in made(remote)] == ["stage", "prod"]


def test_a_stop_while_a_gate_is_asked_is_waited_for(tmp_path: Path, remote: Remote) -> None:
    """The plan has not failed by it, so it is promoted when all are let go."""
    git = Git(str(remote.path))
    next_ = tmp_path / "next"
    argv = command(
        tmp_path,
        "slow.sh",
        f"[ -e {next_} ] && git -C {remote.path} update-ref {JOURNAL_REF} $(cat {next_}) && rm {next_}",
    )
    set_model(remote, model(gates=[{"command": argv}]))
    site = machine(tmp_path / "m", remote, programs=[argv])
    rows = [{"saltenv": "stage", "commit": remote.head("stage")}]
    stop = event("hold", all=True, reason="fire", saltenvs=rows)
    next_.write_text(journal.append(git, Journal(remote).head(), [stop])[0])
    new = push(remote)
    promote(site)
    found = row(site)
    assert found and (found["state"], made(remote)) == ("waiting", [])
    assert "all saltenvs are held" in found["reason"]
    Journal(remote).add("unhold", all=True)
    promote(site)
    assert made(remote) == [("stage", new)]


def test_approvals_of_a_plan_with_its_diff_are_waited_for(tmp_path: Path) -> None:
    """The same digest in the clone of who approves and on the master; the approval wakes the master."""
    own = tmp_path / "flow"
    own.mkdir()
    flow = FlowSite(own, build_flow_template(tmp_path / "template"))
    (own / "fleet").mkdir()
    (own / "fleet" / "stage1.yaml").write_text("grains: {kernel: Linux, os: Debian}\n")
    keys = Keys(tmp_path)
    rule = {"count": 1, "from": [keys.line("dora@example.com", "dora")]}
    flow.configure(
        top={"fleet": str(own / "fleet")},
        stage={"auto_promote": True, "gates": [{"diff": {"minions": 5}}, {"approvals": rule}]},
    )
    site = machine(tmp_path / "m", flow.remote)
    new = flow.push("develop", {"salt/app/init.sls": "new:\n  test.nop: []\n"})
    promote(site)
    found = row(site)
    assert found and (found["state"], made(flow.remote)) == ("waiting", [])
    whole = found["reason"].rpartition(" ")[2]
    assert found["reason"].startswith("approvals: 0 of 1; saltbranch approve stage --expect ")
    assert whole.startswith(flow.plan("promote", "stage")["digest"])
    flow.well("approve", "stage", "--expect", whole, "--key", keys.path("dora"), "--yes")
    assert site.sync().code == 0
    deadline = time.monotonic() + TIMEOUT
    while not made(flow.remote):
        assert time.monotonic() < deadline, row(site)
        time.sleep(0.1)
    assert made(flow.remote) == [("stage", new)]


def test_doctor_says_that_no_machine_does_it(tmp_path: Path, remote: Remote) -> None:
    set_model(remote, model())
    site = machine(tmp_path / "m", remote, promotes=False)

    def told(where: Site) -> list[str]:
        ran = where.run_here("doctor", "--json", "--config", str(where.config))
        return [f["id"] for f in json.loads(ran.out)["findings"]]

    assert "nobody-promotes" in told(site)
    other = machine(tmp_path / "other", remote)
    assert "nobody-promotes" not in told(other)
    new = push(remote)
    promote(other)
    assert made(remote) == [("stage", new)]
    site.sync_here()
    assert "nobody-promotes" not in told(site), "another one has done it"
