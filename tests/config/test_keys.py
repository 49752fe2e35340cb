"""The JSON schema that editors get says what the configuration's own check says."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from saltbranch.base.errors import ConfigError
from saltbranch.config.check import build_config
from saltbranch.config.keys import json_schema
from saltbranch.config.read import parse_file

GOOD: dict[str, Any] = {
    "remote": "git@git.example.com:ops/salt.git",
    "gpg_keys": "/etc/salt/gpgkeys",
    "ext_pillar": ["nodegroups", "file_tree"],
    "saltenvs": {
        "test": {"branch": "develop", "minions": "test*"},
        "stage": {
            "branch": "stage",
            "promote_from": "test",
            "minions": ["stage*", {"list": ["s1"]}],
        },
        "prod": {
            "branch": "master",
            "promote_from": "stage",
            "minions": {"nodegroup": "prod"},
            "protected": True,
            "verify_switch": "fleet",
            "gates": [
                "ticket",
                "check",
                {"soak": "2h"},
                {"diff": {"minions": 50, "removed_states": 0, "reviewed": True, "expect": False}},
                {"command": ["lint", "x"], "name": "lint", "timeout": "1m"},
            ],
        },
    },
}
STAGE = GOOD["saltenvs"]["stage"]


def both_accept(data: dict[str, Any]) -> tuple[bool, bool]:
    """Whether the schema and whether the check accept `data`."""
    validator = jsonschema.Draft202012Validator(json_schema())
    try:
        build_config(parse_file(repr(data), "saltbranch.yaml"), "/x/saltbranch.yaml")
    except ConfigError:
        checked = False
    else:
        checked = True
    return not list(validator.iter_errors(data)), checked


def test_both_accept_a_good_file() -> None:
    assert both_accept(GOOD) == (True, True)


@pytest.mark.parametrize(
    "change",
    [
        {"remot": "x"},
        {"fetch_timeout": "soon"},
        {"gpg_keys": ["/etc/salt/gpgkeys"]},
        {"ext_pillar": "nodegroups"},
        {"ext_pillar": [{"nodegroups": {}}]},
        {"saltenvs": {"test": {"minions": "x"}}},
        {"saltenvs": {"test": {"branch": "develop", "minions": {"grain": "role:web"}}}},
        {"saltenvs": {"test": {"branch": "develop", "minions": 5}}},
        {"saltenvs": {"test": {"branch": "develop", "minions": "x", "protectd": True}}},
        *(
            {"saltenvs": {"test": {"branch": "develop", "minions": "x", "verify_switch": value}}}
            for value in ("tops", True, "", 5, ["top"])
        ),
        {"saltenvs": {**GOOD["saltenvs"], "stage": {**STAGE, "direct_pushes": "reprot"}}},
        {"saltenvs": {**GOOD["saltenvs"], "stage": {**STAGE, "direct_pushes": 5}}},
        *(
            {"saltenvs": {"test": {"branch": "develop", "minions": "x", "gates": gates}}}
            for gates in (
                "ticket",
                ["tickets"],
                [5],
                [{"soak": 90}],
                [{"diff": {"minion": 5}}],
                [{"diff": {"minions": -1}}],
                [{"diff": {"minions": True}}],
                [{"diff": {"reviewed": 1}}],
                [{"diff": 5}],
                [{"check": "compiled"}],
                [{"command": "x", "nam": "y"}],
            )
        ),
    ],
)
def test_both_refuse(change: dict[str, Any]) -> None:
    assert both_accept({**GOOD, **change}) == (False, False)


def test_both_refuse_a_gate_that_says_nothing_where_a_number_or_flag_belongs() -> None:
    for rule in ({"minions": None}, {"minions": 1.5}, {"expect": None}, {"reviewed": "yes"}):
        prod = {**GOOD["saltenvs"]["prod"], "gates": [{"diff": rule}]}
        saltenvs = {**GOOD["saltenvs"], "prod": prod}
        assert both_accept({**GOOD, "saltenvs": saltenvs}) == (False, False), rule
