"""Ordinary mistakes are told in Salt's own words: nothing in them is hidden."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.compiling import Lab, minion

TOP = "base:\n  '*':\n    - app\n"
MISTAKES = {
    "include": ("include: [nothere]\n", "not available on the salt master or through a configured"),
    "no mapping": ("- a\n", "does not render to a dictionary"),
    "id": ("app: [test.nop]\nb: 1\n", "is not a dictionary"),
    "twice": ("app: {test.nop: []}\napp: {test.nop: []}\n", "found conflicting ID 'app'"),
    "two of a kind": ("app:\n  test: [nop, fail_without_changes]\n", "Too many functions declared"),
    "argument": ("app:\n  test.nop: x\n", "is not formed as a list"),
    "requisite": (
        "app:\n  test.nop:\n    - require: [{pkg: b}]\n",
        "Referenced state does not exist",
    ),
    "requisite's form": ("app:\n  test.nop:\n    - require: b\n", "needs to be formed as a list"),
    "extend": ("extend:\n  b:\n    test.nop: []\n", "Cannot extend ID 'b'"),
    "undefined": ("app: {{ nosuch.x }}\n", "'nosuch' is undefined"),
    "unknown": ("{{ salt['nosuch.fun']() }}\n", "has no attribute 'nosuch.fun'"),
    "syntax": ("{% if %}\n", "Expected an expression, got 'end of statement block'"),
    "filter": ("{{ 'x' | nosuch }}\n", "No filter named 'nosuch'"),
    "yaml": ("app: [a\n", "did not find expected"),
    "tab": ("app:\n\ttest.nop: []\n", "found character that cannot start any token"),
    "tab in a list": (
        "app:\n  test.nop:\n    - name: x\n\t- order: 1\n",
        "found a tab character that violates indentation",
    ),
    "type": ("{{ 1 + 'x' }}\n", "unsupported operand type(s) for +: 'int' and 'str'"),
    "import": ("{% from 'nosuch.jinja' import x %}\n", "nosuch.jinja"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_states_is_told_in_salts_words(tmp_path: Path, name: str) -> None:
    text, wanted = MISTAKES[name]
    files = {"salt/top.sls": TOP, "pillar/top.sls": TOP, "pillar/app.sls": "pw: zanzibarquell93\n"}
    (error, *_) = Lab(tmp_path, {**files, "salt/app.sls": text}).one(minion("m1")).errors
    assert wanted in error
    assert "***" not in error
