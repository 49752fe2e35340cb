"""The words of a command line before any verb reads them."""

from __future__ import annotations

import pytest

from saltbranch.entry import in_order


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (["sync", "-q"], ["sync", "-q"]),
        (["--config", "X", "sync", "test"], ["sync", "--config", "X", "test"]),
        (["-c", "X", "--json", "status"], ["status", "-c", "X", "--json"]),
        (["--config=X", "sync", "--", "a"], ["sync", "--config=X", "--", "a"]),
        (["-cX", "sync"], ["sync", "-cX"]),
        (["--json", "feature", "list"], ["feature", "list", "--json"]),
        (["--json", "feature"], ["feature", "--json"]),
        (["--json", "feature", "--help"], ["--json", "feature", "--help"]),
        (["--json", "--help"], ["--json", "--help"]),
        (["--json"], ["--json"]),
        (["-c"], ["-c"]),
        (["--plan", "sync"], ["--plan", "sync"]),
        (["version"], ["--version"]),
        (["help"], ["--help"]),
        (["help", "hold"], ["hold", "--help"]),
        ([], []),
    ],
)
def test_options_before_the_verb_go_after_it(given: list[str], wanted: list[str]) -> None:
    assert in_order(list(given)) == wanted
