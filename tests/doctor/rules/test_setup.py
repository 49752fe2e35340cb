"""The rules about what saltbranch wrote, and about its syncs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from saltbranch.base.text import some
from saltbranch.doctor.finding import Finding, in_order
from saltbranch.doctor.rules import setup
from saltbranch.doctor.rules.setup import ServedSlot

DAY = 24 * 3600
SLOT = ServedSlot(
    "test", "develop", "/r/checkouts/develop", exists=True, link="../slots/develop/a",
    slot="/r/slots/develop/a", known=True, differences=(),
)  # fmt: skip


def test_a_slot_as_git_wrote_it_is_fine() -> None:
    assert list(setup.served([SLOT, replace(SLOT, differences=None)])) == []


@pytest.mark.parametrize(
    ("changes", "found", "severity"),
    [
        ({"exists": False, "link": None, "slot": None}, "not-served", "error"),
        ({"link": None, "slot": None}, "checkout-replaced", "error"),
        ({"link": "/somewhere", "slot": None}, "checkout-replaced", "error"),
        ({"known": False}, "slot-unknown", "warning"),
        ({"differences": ("salt/x.sls",)}, "slot-edited", "warning"),
    ],
)
def test_a_slot_that_is_not_ours_any_more_is_found(
    changes: dict[str, Any], found: str, severity: str
) -> None:
    (finding,) = setup.served([replace(SLOT, **changes)])

    assert (finding.id, finding.severity) == (found, severity)


WANTED = {"/r/tops/test/states/top.sls": "ours"}
LINKS = {"/r/tops/test/states/branch_top.jinja": "../x"}


@pytest.mark.parametrize(
    ("texts", "links", "found"),
    [
        (WANTED, LINKS, []),
        ({}, LINKS, ["top-missing"]),
        ({"/r/tops/test/states/top.sls": "theirs"}, LINKS, ["top-changed"]),
        (WANTED, {}, ["top-link"]),
        (WANTED, {"/r/tops/test/states/branch_top.jinja": "../y"}, ["top-link"]),
    ],
)
def test_generated_top_files_are_compared(
    texts: dict[str, str | None], links: dict[str, str | None], found: list[str]
) -> None:
    assert [f.id for f in setup.generated_tops(WANTED, texts, LINKS, links)] == found


@pytest.mark.parametrize(
    ("text", "ours", "included", "found"),
    [
        ("x", True, True, []),
        (None, False, False, ["master-config-missing"]),
        ("y", False, True, ["master-config-foreign"]),
        ("y", True, True, ["master-config-changed"]),
        ("x", True, False, ["master-config-unread"]),
    ],
)
def test_the_masters_file_is_compared(
    text: str | None, ours: bool, included: bool, found: list[str]
) -> None:
    findings = setup.master_file(
        "/m", text=text, wanted="x", ours=ours, included=included, master="/etc/salt/master"
    )

    assert [finding.id for finding in findings] == found


@pytest.mark.parametrize(
    ("failure", "last_good", "timers", "found"),
    [
        (None, 0.0, ["cron"], []),
        (None, 0.0, [], ["no-timer"]),
        ("no network", 0.0, ["cron"], ["sync-failed"]),
        (None, -2.0 * DAY, ["cron"], ["sync-overdue"]),
        (None, None, [], []),
    ],
)
def test_syncs_that_fail_or_stop_are_found(
    failure: str | None, last_good: float | None, timers: list[str], found: list[str]
) -> None:
    findings = setup.syncs(failure=failure, last_good=last_good, now=0.0, timers=timers)

    assert [finding.id for finding in findings] == found


def test_left_overs_restarts_and_an_old_git_are_found() -> None:
    for nothing in (setup.orphans([]), setup.damaged_mirrors([]), setup.restart(None)):
        assert list(nothing) == []
    assert [f.id for f in setup.orphans(["/r/slots/old"])] == ["orphans"]
    assert [f.id for f in setup.damaged_mirrors(["/r/mirror.git.damaged-x"])] == ["damaged-mirror"]
    assert [f.id for f in setup.restart("it is older")] == ["restart-needed"]
    assert list(setup.git_version((2, 38))) == []
    assert [f.id for f in setup.git_version((2, 37, 9))] == ["git-too-old"]
    assert [f.id for f in setup.git_version(())] == ["git-too-old"]


def test_errors_come_first_and_lists_are_cut() -> None:
    found = [
        Finding("a", "note", "", "", ""),
        Finding("b", "error", "", "", ""),
        Finding("c", "warning", "", "", ""),
        Finding("d", "error", "", "", ""),
    ]

    assert [finding.id for finding in in_order(found)] == ["b", "d", "c", "a"]
    assert some("abc", 3) == "a, b, c"
    assert some("abcde", 3) == "a, b, c and 2 more"


def test_a_master_that_is_not_moved_over_yet() -> None:
    finding = setup.not_switched("/etc/salt/saltbranch.yaml")
    assert (finding.id, finding.severity) == ("not-switched", "note")
    assert "adopt --switch" in finding.fix
