"""What pins are called, and what lies between two of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from saltbranch.git.program import Git
from saltbranch.history import pins
from saltbranch.history.pins import FormulaChange, Pinned
from tests.support.formulas import FormulaRemote

BRANCHES = ("refs/heads/", "refs/tags/")


@pytest.fixture
def nginx(tmp_path: Path) -> FormulaRemote:
    return FormulaRemote(tmp_path / "nginx.git")


def test_a_pin_is_called_by_its_highest_tag_else_by_describe_else_by_its_hash(
    nginx: FormulaRemote,
) -> None:
    git = Git(str(nginx.path))
    first = nginx.change("First")
    assert pins.look(git, first, BRANCHES).name == first[:12]
    released = nginx.release("v1.2.0")
    nginx.git("tag", "latest", released)
    nginx.git("tag", "v1.10.0", released)
    assert pins.look(git, released, BRANCHES).name == "v1.10.0"
    nginx.release("v2.0.0")
    later = nginx.change("Later")
    assert pins.look(git, later, BRANCHES).name == f"v2.0.0-1-g{later[:12]}"
    assert pins.look(git, later, BRANCHES).on_branch is True
    lost = nginx.change("Lost", branch="gone")
    nginx.delete_branch("gone")
    assert pins.look(git, lost, BRANCHES).on_branch is False


def test_forwards_backwards_and_apart(nginx: FormulaRemote) -> None:
    git = Git(str(nginx.path))
    first = nginx.change("First")
    second = nginx.change("Second")
    third = nginx.change("Third")
    nginx.set_branch("fork", first)
    fork = nginx.change("Fork", branch="fork")
    told = pins.between(git, first, third)
    assert (told.move, told.count, [c.subject for c in told.commits]) == (
        pins.FORWARD,
        2,
        ["Third", "Second"],
    )
    told = pins.between(git, third, second)
    assert (told.move, told.count, [c.subject for c in told.commits]) == (
        pins.BACKWARD,
        1,
        ["Third"],
    )
    told = pins.between(git, third, fork)
    assert (told.move, told.count, told.lost) == (pins.DIVERGED, 1, 2)
    assert [c.subject for c in told.commits] == ["Fork"]


def test_subjects_are_one_short_line_without_control_characters_and_few(
    nginx: FormulaRemote,
) -> None:
    git = Git(str(nginx.path))
    first = nginx.change("First")
    for number in range(25):
        nginx.commit("master", {"n": str(number)}, message=f"{number} \x1b[31m\x9b" + "y" * 100_000)
    told = pins.between(git, first, nginx.head("master"))
    assert (told.count, len(told.commits)) == (25, pins.MOST)
    for commit in told.commits:
        assert len(commit.subject) <= 160
        assert commit.subject.isprintable()


@pytest.mark.parametrize(
    ("move", "text"),
    [
        (pins.FORWARD, "nginx v1 -> v2, 3 commits"),
        (pins.BACKWARD, "nginx v1 -> v2, BACKWARDS by 3 commits"),
        (pins.DIVERGED, "nginx v1 -> v2, 3 commits; DIVERGED, without 1 commit of the old one"),
        (pins.MOVED, "nginx v1 -> v2, from another repository"),
        (pins.UNKNOWN, "nginx v1 -> v2, not known what lies between"),
        (pins.ADDED, "nginx v2, new"),
        (pins.REMOVED, "nginx v1, removed"),
    ],
)
def test_one_line_says_what_changes(move: str, text: str) -> None:
    old, new = Pinned("1" * 40, "v1"), Pinned("2" * 40, "v2")
    change = FormulaChange("formulas/nginx", "https://x/y", old, new, move, count=3, lost=1)
    assert change.text == text
