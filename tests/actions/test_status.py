"""What `status` says: what is served, why, and what it should be; without the network."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from saltbranch.base.durations import iso
from saltbranch.journal import pending_holds
from tests.support.remote import Link, Remote
from tests.support.site import BRANCHES, Journal, Site, event

FINAL = r"^v[0-9]+(\.[0-9]+)*$"


@pytest.fixture
def journal(remote: Remote) -> Journal:
    return Journal(remote)


def status(site: Site) -> dict[str, Any]:
    """``status --json``."""
    ran = site.run_here("status", "--config", str(site.config), "--json")
    assert (ran.code, ran.err) == (0, "")
    return dict(json.loads(ran.out))


def row(site: Site, saltenv: str = "prod") -> dict[str, Any]:
    """The part of it that is about one saltenv."""
    return next(r for r in status(site)["saltenvs"] if r["saltenv"] == saltenv)


def text(site: Site) -> str:
    """What people read."""
    ran = site.run_here("status", "--config", str(site.config))
    assert (ran.code, ran.err) == (0, "")
    return ran.out


def test_saltenvs_that_follow_their_branches(served: Site, remote: Remote) -> None:
    served.settings["saltenvs"]["stage"]["promote_from"] = "test"
    served.settings["saltenvs"]["prod"]["promote_from"] = "stage"
    served.configure()
    said = status(served)
    assert (said["problems"], said["unreported"], said["failure"]) == ([], False, None)
    for saltenv, branch in BRANCHES.items():
        found = row(served, saltenv)
        assert (found["state"], found["why"], found["drift"]) == ("in_sync", "branch", False)
        assert found["wanted"] == found["head"] == found["served"]["commit"] == remote.head(branch)
        assert found["tag"] is found["hold"] is found["problem"] is None
    assert row(served, "stage")["waiting"] == 1
    assert row(served)["lacking"] == 0
    assert not any(line.endswith(" ") for line in text(served).splitlines())


def test_before_the_first_sync_there_is_nothing(site: Site) -> None:
    ran = site.run_here("status", "--config", str(site.config))
    assert ran.code == 1 and "saltbranch sync" in ran.err


def test_failed_sync_is_told_until_one_is_good(served: Site, remote: Remote) -> None:
    away = remote.path.rename(served.folder / "away.git")
    assert served.sync().code == 1
    assert "cannot read the remote" in status(served)["failure"]
    assert "failed since" in text(served)
    away.rename(remote.path)
    served.sync_well()
    assert status(served)["failure"] is None


@pytest.mark.parametrize("what", ["link", "rewritten", "no states"])
def test_what_a_sync_refuses_is_said_with_why_and_no_sync_is_advised(
    served: Site, remote: Remote, what: str
) -> None:
    served.settings["saltenvs"]["prod"]["protected"] = True
    served.configure()
    served.sync_well()
    old = remote.head("master")
    if what == "link":
        new = remote.commit("master", {"salt/out": Link("/etc/shadow")})
    elif what == "rewritten":
        new = remote.rewrite("master", {"salt/other.sls": ""})
    else:
        gone = dict.fromkeys(p for p in remote.tree(old) if p.startswith("salt/"))
        new = remote.commit("master", gone)
    assert "to serve" not in text(served)
    assert served.sync().code == 4
    said = {
        "link": "holds the symlink 'salt/out'",
        "rewritten": "does not contain",
        "no states": "has no folder salt/",
    }
    found = row(served)
    assert found["wanted"] == new and found["served"]["commit"] == old
    assert said[what] in found["refused"] and found["problem"] == f"refused: {found['refused']}"
    shown = text(served)
    assert shown.count(said[what]) == 1 and "prod: refused, see below" in shown
    assert "saltbranch sync" not in shown
    remote.set_branch("master", old)
    served.sync_well()
    assert row(served)["refused"] is row(served)["problem"] is None


def test_hold_is_shown_with_all_that_is_known(
    served: Site, remote: Remote, journal: Journal
) -> None:
    old = remote.head("master")
    until = iso(time.time() + 3600)
    made = journal.hold("prod", old, until=until, reason="login \x1b[31mbroken")
    remote.commit("master", {"salt/new.sls": ""})
    served.sync_here()
    found = row(served)
    assert (found["state"], found["why"], found["wanted"], found["drift"]) == (
        "in_sync", "hold", old, False,
    )  # fmt: skip
    assert found["hold"] == {
        "saltenv": "prod",
        "commit": old,
        "kind": "hold",
        "reason": "login \N{REPLACEMENT CHARACTER}[31mbroken",
        "by": "Ann <ann@example.com>",
        "asked_by": None,
        "claimed_by": None,
        "since": iso(made.time),
        "until": until,
        "all": False,
        "pending": False,
    }
    shown = text(served)
    assert f"held at {old[:12]} until {until}: login" in shown and "Ann <ann@example.com>" in shown
    assert "1 commit of master beyond it" in shown and "not served yet" not in shown


def test_pending_hold_is_shown_as_such_and_drift_until_it_is_served(
    served: Site, remote: Remote
) -> None:
    old = remote.head("master")
    remote.commit("master", {"salt/new.sls": ""})
    served.sync_well()
    held = event("rollback", saltenv="prod", commit=old, reason="x")
    pending_holds.add(str(served.root), held)
    found = row(served)
    assert (found["state"], found["drift"], found["wanted"]) == ("drift", True, old)
    assert found["hold"]["pending"] is True
    shown = text(served)
    assert f"rolled back to {old[:12]}: x" in shown and "known to this master alone yet" in shown
    assert f"to serve {old[:12]}: saltbranch sync" in shown


def test_hold_that_ended_is_drift_until_the_next_sync(
    served: Site, remote: Remote, journal: Journal
) -> None:
    journal.hold("prod", remote.head("master"), until=iso(time.time() + 2))
    new = remote.commit("master", {"salt/new.sls": ""})
    served.sync_here()
    assert row(served)["why"] == "hold"
    time.sleep(2)
    found = row(served)
    assert (found["why"], found["hold"], found["drift"], found["wanted"]) == (
        "branch", None, True, new,
    )  # fmt: skip


def test_tag_is_shown(site: Site, remote: Remote) -> None:
    site.settings["saltenvs"]["prod"]["follow"] = {"tags": FINAL}
    site.configure()
    site.sync_here()
    assert (row(site)["state"], row(site)["why"]) == ("absent", "nothing")
    assert "no tag on branch 'master' matches" in row(site)["problem"]
    remote.git("tag", "v1.2.0", remote.head("master"))
    site.sync_here()
    remote.commit("master", {"salt/new.sls": ""})
    site.sync_here()
    found = row(site)
    assert (found["state"], found["why"], found["tag"], found["drift"]) == (
        "in_sync", "tag", "v1.2.0", False,
    )  # fmt: skip
    assert "(tag v1.2.0)" in text(site) and "1 commit of master beyond it" in text(site)
    remote.git("tag", "--delete", "v1.2.0")
    site.sync_here()
    assert "was deleted" in row(site)["problem"]
    assert "was deleted" in text(site)


def test_rewritten_journal_and_what_was_not_told(
    served: Site, remote: Remote, journal: Journal
) -> None:
    journal.hold("prod", remote.head("master"))
    served.sync_here()
    remote.git("update-ref", "-d", "refs/saltbranch/journal")
    served.sync_here()
    (served.root / "state" / "unreported").write_text("{}")
    said = status(served)
    assert "was rewritten or removed" in said["problems"][0] and said["unreported"] is True
    assert row(served)["why"] == "hold"
    assert "was rewritten or removed" in text(served)


def test_status_writes_nothing(served: Site, remote: Remote, journal: Journal) -> None:
    journal.hold("prod", remote.head("master"))
    served.sync_here()
    (served.root / "state" / "choices").unlink()
    before = {p: p.lstat().st_mtime_ns for p in served.root.rglob("*")}
    text(served)
    status(served)
    assert {p: p.lstat().st_mtime_ns for p in served.root.rglob("*")} == before
