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
