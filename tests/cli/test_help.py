"""The help texts: every verb has examples, lines that fit 80 columns, and its place in the overview."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator

import pytest
import typer
from typer.models import CommandInfo

from saltbranch.cli import app as command_line

_COLUMNS = 80


def _verbs() -> Iterator[tuple[str, CommandInfo]]:
    app = command_line.build()
    for command in app.registered_commands:
        yield command.name or "", command
    for group in app.registered_groups:
        assert isinstance(group.typer_instance, typer.Typer)
        for command in group.typer_instance.registered_commands:
            yield f"{group.name} {command.name}", command


VERBS = dict(_verbs())


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_examples_of_itself(verb: str) -> None:
    text = inspect.cleandoc(VERBS[verb].callback.__doc__ or "")  # type: ignore[union-attr]
    examples = text.partition("\b\nExample")[2]
    assert f"saltbranch {verb}" in examples


@pytest.mark.parametrize("verb", VERBS)
def test_the_examples_fit_80_columns(verb: str) -> None:
    text = inspect.cleandoc(VERBS[verb].callback.__doc__ or "")  # type: ignore[union-attr]
    kept = [part for part in text.split("\n\n") if part.startswith("\b")]
    too_long = [line for part in kept for line in part.split("\n") if len(line) > _COLUMNS - 2]
    assert not too_long


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "saltbranch", *words]
    env = {"PATH": "/usr/bin:/bin", "COLUMNS": str(_COLUMNS), "PYTHONPATH": ":".join(sys.path)}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


def test_the_overview_groups_the_verbs() -> None:
    shown = _run("--help").stdout
    panels = [line.split("─ ")[1].rstrip(" ─╮") for line in shown.splitlines() if "╭─ " in line]
    assert panels == [
        "Options", "Set up", "Serve", "Develop and promote", "Emergency", "Look back",
    ]  # fmt: skip
    first = [line.split()[1] for line in shown.splitlines() if line.startswith("│ ")]
    assert first.index("rollback") < first.index("hold") < first.index("unhold")


def test_paragraphs_are_wrapped_by_the_terminal_and_not_by_the_source() -> None:
    lines = [line.strip() for line in _run("help", "promote").stdout.splitlines()]
    assert "Branch, back-merges, tag and journal move by one atomic push, or none of them" in lines


@pytest.mark.parametrize(
    ("habit", "words"),
    [
        (["version"], ["--version"]),
        (["-V"], ["--version"]),
        (["help"], ["--help"]),
        (["help", "feature", "start"], ["feature", "start", "--help"]),
    ],
)
def test_what_habit_types_is_understood(habit: list[str], words: list[str]) -> None:
    assert (done := _run(*habit)).returncode == 0
    assert done.stdout == _run(*words).stdout
