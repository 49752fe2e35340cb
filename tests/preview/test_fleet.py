"""Fleet files hold pillar: what is wrong with one is told by kind and place."""

from __future__ import annotations

import traceback

import pytest

from saltbranch.base.errors import ConfigError
from saltbranch.preview import fleet
from tests.check.test_expectations import BROKEN_PILLARS

WORD = "hunter2Secret9Zq"


@pytest.mark.parametrize(
    "value", (*(v.replace("SS", WORD) for v in BROKEN_PILLARS), "2024-99-99", "!!int x")
)
def test_nothing_of_a_broken_pillar_is_told(value: str) -> None:
    text = f"grains: {{os: Debian}}\npillar:\n  pw: {value}\n"
    with pytest.raises(ConfigError) as caught:
        fleet._parsed("fleet/m.yaml", text.encode())
    whole = "".join(traceback.format_exception(caught.value))
    assert "hunter" not in whole and "99-99" not in whole
    assert caught.value.message.startswith("fleet/m.yaml") and "this is a bug" not in whole


def test_an_unknown_key_is_told_by_its_place() -> None:
    text = f"grains: {{os: Debian}}\npillar:\n{WORD}: x\n"
    with pytest.raises(ConfigError) as caught:
        fleet._parsed("fleet/m.yaml", text.encode())
    assert caught.value.message == "fleet/m.yaml:3: unknown key"
    assert WORD not in caught.value.hint
