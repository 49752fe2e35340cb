"""What people read of a lab."""

from __future__ import annotations

from typing import Any

import pytest

from saltbranch.notify import texts


@pytest.mark.parametrize(
    ("entry", "title", "lines"),
    [
        (
            {
                "action": "claim",
                "lab": 2,
                "branch": "feature/x",
                "minions": ["t1", "t2"],
                "until": "2026-12-02T16:59:25Z",
            },
            "saltbranch: lab2 claimed",
            ["by Ann for feature/x", "minions: t1, t2", "until 2026-12-02T16:59:25Z"],
        ),
        (
            {"action": "release", "lab": 1, "branch": "hotfix/y"},
            "saltbranch: lab1 released",
            ["by Ann for hotfix/y"],
        ),
        # Whoever may push writes entries; the title holds nothing of theirs.
        (
            {"action": "<b>", "lab": "<script>", "branch": "f", "minions": "x"},
            "saltbranch: a lab changed",
            ["by Ann for f"],
        ),
    ],
)
def test_a_lab(entry: dict[str, Any], title: str, lines: list[str]) -> None:
    notice = {"event": "lab", "saltenvs": [], "entry": {"by": "Ann", **entry}}
    assert texts.message(notice) == (title, lines)


NEW, OLD = "b" * 40, "a" * 40


@pytest.mark.parametrize(
    ("entry", "title", "lines"),
    [
        ({"status": "done", "told": "12 applied"}, "is done", ["12 applied"]),
        (
            {
                "status": "stopped",
                "told": "1 failed",
                "why": "1 of 12 minions went wrong",
                "failed": {"web1": "gone"},
            },
            "has stopped",
            [
                "1 failed",
                "1 of 12 minions went wrong",
                "web1: gone",
                "saltbranch apply --resume 1 goes on",
            ],
        ),
        (
            {"status": "rolled-back", "told": "1 failed", "rolled_back_to": OLD},
            f"was rolled back to {OLD[:12]}",
            ["1 failed"],
        ),
        ({"status": "aborted"}, "was aborted", []),
        ({"status": "<b>", "failed": ["x"], "told": 3}, "ended", ["3"]),
    ],
)
def test_an_apply(entry: dict[str, Any], title: str, lines: list[str]) -> None:
    whole = {"by": "Ann", "commit": NEW, "apply": "1", **entry}
    notice = {"event": "apply", "saltenvs": ["prod"], "entry": whole}
    expected = f"saltbranch: prod: apply of {NEW[:12]} {title}", ["by Ann", *lines]
    assert texts.message(notice) == expected
