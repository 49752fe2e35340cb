"""Fleet files hold pillar: what is wrong with one is told by kind and place."""

from __future__ import annotations

import json
import traceback
from pathlib import Path

import pytest

from saltbranch.base.errors import ConfigError
from saltbranch.compiler.cache import base_of
from saltbranch.config.minions import Matcher
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


GROUPS = {"test": (Matcher("glob", "*"),)}
TRAVEL = {
    "numbers as keys": "grains: {os: Debian, 80: http, 1.5: x}\n",
    "nothing and truth as keys": "grains: {os: Debian, null: x, true: y}\n",
    "in pillar": "grains: {}\npillar: {ports: {80: http, other: [{443: x, a: b}]}}\n",
    "in returns": "grains: {}\nreturns: {network.interfaces: {0: x, a: b}}\n",
    "a date": "grains: {a: 2026-01-02, 1: x}\n",
}


@pytest.mark.parametrize("name", TRAVEL)
def test_keys_of_several_types_are_told_to_a_compile(name: str, tmp_path: Path) -> None:
    bases = set()
    for text in (TRAVEL[name], TRAVEL[name].replace("x", "z").replace("2026", "2027")):
        (tmp_path / "web1.yaml").write_text(text)
        ((one,), ()) = map(tuple, fleet.read_folder(fleet.DiskFolder(str(tmp_path)), GROUPS, {}))
        bases.add(base_of(one, "shared"))
        assert json.loads(json.dumps(one.as_job(), default=str))["id"] == "web1"
    assert len(bases) == 2


@pytest.mark.parametrize(
    "text",
    [
        "grains: {2026-01-02: x}\n",
        "grains: {a: [{2026-01-02 03:04:05: x}]}\n",
        "grains: {}\npillar: {hunter2: {2026-01-02: x}}\n",
        "grains: &a {b: *a}\n",
        "grains: {}\nreturns: {f: &a [*a]}\n",
        "grains:\n  a0: &a0 [x]\n"
        + "".join(f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30)),
        f"grains: {{a: {'[' * 2000}{']' * 2000}}}\n",
    ],
)
def test_what_no_compile_can_be_told_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="a date as a key, or aliases without end") as caught:
        fleet._parsed("fleet/m.yaml", text.encode())
    assert caught.value.message.startswith("fleet/m.yaml: ") and "hunter" not in str(caught.value)
