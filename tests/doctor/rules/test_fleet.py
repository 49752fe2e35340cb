"""The rules about the minions that the master knows."""

from __future__ import annotations

from saltbranch.config.minions import Matcher
from saltbranch.doctor.finding import Finding
from saltbranch.doctor.rules import fleet

GROUPS = {
    "test": [Matcher("glob", "test*")],
    "prod": [Matcher("nodegroup", "production"), Matcher("pcre", ".*1$")],
}
NODEGROUPS = {"production": "L@web1,db1"}


def check(*minions: str) -> list[Finding]:
    return list(fleet.check(minions, GROUPS, NODEGROUPS, "/etc/salt/saltbranch.yaml"))


def test_minions_of_one_saltenv_each_are_fine() -> None:
    assert check("test2", "web1", "db1", "x1") == []
    assert check() == []


def test_minions_of_no_saltenv_are_named_together() -> None:
    (finding,) = check("test2", "web2", "db3")

    assert (finding.id, finding.severity) == ("unclaimed-minions", "warning")
    assert finding.items == ("web2", "db3")
    assert "2 of 3" in finding.message


def test_a_minion_of_two_saltenvs_is_an_error_that_names_both() -> None:
    (finding,) = check("test1")

    assert (finding.id, finding.severity) == ("minion-claimed-twice", "error")
    assert "test (glob test*) and prod (pcre .*1$)" in finding.message
