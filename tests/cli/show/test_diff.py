"""The text of a diff: 80 columns, errors by cause and counted, and how to see what is hidden."""

from __future__ import annotations

from dataclasses import replace

import pytest

from saltbranch.cli.show import diff
from saltbranch.compiler.model import Compiled
from saltbranch.preview.fleet_diff import FleetDiff
from tests.support import diffs

ONE = diffs.chunk("one")


def text_of(result: FleetDiff) -> str:
    return "\n".join(line for _, line in diff.report(result))


def test_no_line_is_wider_than_80_columns_but_for_a_longer_word() -> None:
    lines = text_of(diffs.hostile()).splitlines()
    for line in lines:
        words = line.split()
        assert len(line) <= 80 or any(len(word) > 60 for word in words), line
        assert line.strip() not in ("+", "-", "~", "^")
    assert any(len(line) > 60 for line in lines)


@pytest.mark.parametrize("start", ["::error::x", "##[error]x"])
def test_no_line_begins_with_what_a_ci_takes_for_a_command(start: str) -> None:
    for length in range(60, 100):
        folded = diff.folded(f"    + {'a' * length} {start} {'b ' * 60}")
        assert not any(line.lstrip().startswith(("::", "##[")) for line in folded)
        assert " ".join(" ".join(folded).split()) == " ".join(
            f"+ {'a' * length} {start} {'b ' * 60}".split()
        )


def broken(count: int) -> FleetDiff:
    """A fleet of which every minion has errors of its own wording, and four causes."""
    old = Compiled("", "partial", ("no such sls",), chunks=(ONE,))
    found = []
    for number in range(count):
        name = f"web{number}"
        errors = (
            f"Rendering SLS 'prod:a' failed: nothing for {name}; line 3",
            f"Rendering SLS 'prod:b' failed: <object at 0x7f{number:06x}>",
            "no such sls",
        ) + (
            ("pillar: Specified SLS 'rare' in environment 'prod' is not available",)
            if number == 3
            else ()
        )
        found.append(diffs.minion(name, old, Compiled("", "partial", errors, chunks=(ONE,))))
    return diffs.fleet(*found)


def test_errors_are_told_once_for_a_cause_and_new_ones_first() -> None:
    text = text_of(broken(40))
    assert "errors: 4 causes" in text
    kept = [line for line in text.splitlines() if " minions, " in line or "1 minion, " in line]
    assert [line.split(":")[0].strip() for line in kept] == [
        "40 minions, new", "40 minions, new", "1 minion, new", "40 minions, both sides",
    ]  # fmt: skip
    assert "nothing for <minion>" in text and "web3\n" in text
    assert len(text.splitlines()) < 25


def test_a_plan_of_a_fleet_with_errors_everywhere_is_short() -> None:
    few = list(diff.brief(broken(40), "0" * 64, "saltbranch diff prod"))
    many = list(diff.brief(broken(400), "0" * 64, "saltbranch diff prod"))
    assert len(few) == len(many) < 12
    assert any("400 minions, new" in line for line in many)


def test_what_holds_of_a_minion_that_came_out_in_part_is_told() -> None:
    gap = "pillar: Specified SLS 'secrets.db' in environment 'prod' is not available on the salt master"
    side = Compiled("", "partial", (gap,), chunks=(ONE, diffs.chunk("two")))
    text = text_of(diffs.fleet(diffs.minion("m1", side, replace(side, chunks=(ONE,)))))
    assert "2 states of theirs were compared, without pillar: secrets.db" in text
    assert "only one side" not in text and "does not hold" not in text
    new = Compiled("", "partial", (gap, "Rendering SLS 'prod:x.y' failed: no"), chunks=(ONE,))
    text = " ".join(text_of(diffs.fleet(diffs.minion("m1", side, new))).split())
    assert "without pillar: secrets.db, x.y; of 1 minion only one side has an error" in text


def test_a_hidden_value_says_of_which_path_it_is_and_how_to_see_it() -> None:
    def side(digit: str) -> Compiled:
        hidden = {"masked": digit * 32}
        return Compiled("", "ok", chunks=(diffs.chunk("a", port=hidden, other={"masked": "f" + digit * 31}),),
                        pillar={"web:port": digit * 32, "web:password": "e" + digit * 31})  # fmt: skip

    text = text_of(diffs.fleet(diffs.minion("m1", side("1"), side("2"))))
    assert "port: changed (hidden: the pillar's web:port)" in text
    assert "other: changed (hidden: it comes from a template)" in text
    assert 'shown_pillar: ["web:port"]' in " ".join(text.split())


def test_nobody_is_told_how_to_show_a_password() -> None:
    def side(digit: str) -> Compiled:
        return Compiled("", "ok", chunks=(diffs.chunk("a", pw={"masked": digit * 32}),),
                        pillar={"db:password": digit * 32})  # fmt: skip

    text = text_of(diffs.fleet(diffs.minion("m1", side("1"), side("2"))))
    assert "the pillar's db:password" in text and "shown_pillar" not in text
