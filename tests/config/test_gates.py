"""Gates as configured: what a command may be."""

from __future__ import annotations

from typing import Any

import pytest

from saltbranch.base.errors import ConfigError
from saltbranch.config.gates import CommandGate, parse_gates, split_command


@pytest.mark.parametrize(
    "value", [5, True, None, "", [], [""], ["a", 1], ["a", ["b"]], {"a": "b"}, ["a\0"], "a 'b"]
)
def test_what_is_no_list_of_words_is_not_a_command(value: Any) -> None:
    with pytest.raises(ConfigError, match="is not a command|No closing quotation") as caught:
        split_command(value, "x.yaml: saltenvs.prod.gates")
    assert "object is not" not in str(caught.value)


def test_a_command_is_a_line_or_a_list() -> None:
    assert split_command("/bin/check --all 'a b'", "x") == ("/bin/check", "--all", "a b")
    assert split_command(["check", "a b"], "x") == ("check", "a b")
    *_, gate = parse_gates([{"command": ["check"]}], "x")
    assert isinstance(gate, CommandGate)
