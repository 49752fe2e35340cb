"""The rules about a minion's own configuration."""

from __future__ import annotations

from typing import Any

import pytest

from saltbranch.doctor.rules import minion as rules
from saltbranch.doctor.rules.minion import Minion

PATH = "/etc/salt/minion"
KNOWN = frozenset({"saltenv", "pillarenv", "lock_saltenv", "pillarenv_from_saltenv"})


def described(options: dict[str, Any], own: str | None = "test") -> Minion:
    places = dict.fromkeys(options, (PATH,))
    return Minion(PATH, options, "web1", own, ("test", "prod"), places, KNOWN)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"master": "salt", "id": "web1"},
        {"saltenv": "test"},
        {"saltenv": "test", "lock_saltenv": True, "pillarenv": "test"},
        {"saltenv": None, "pillarenv": None},
        {"file_client": "remote"},
        {"env_order": [], "state_top_saltenv": None},
        {"my-key": 1},
    ],
    ids=str,
)
def test_nothing_is_found_where_nothing_is_wrong(options: dict[str, Any]) -> None:
    assert rules.check(described(options)) == []


@pytest.mark.parametrize(
    ("options", "found", "severity"),
    [
        ({"saltenv": "prod"}, "minion-saltenv", "error"),
        ({"saltenv": "base"}, "minion-saltenv", "error"),
        ({"environment": "prod"}, "minion-saltenv", "error"),
        ({"pillarenv": "prod"}, "minion-pillarenv", "error"),
        ({"file_client": "local"}, "minion-file-client", "warning"),
        ({"pillarenv_from_saltenv": True}, "minion-option-ignored", "note"),
        ({"state_top_saltenv": "prod"}, "minion-option-ignored", "note"),
        ({"top_file_merging_strategy": "same"}, "minion-option-ignored", "note"),
        ({"default_top": "prod"}, "minion-option-ignored", "note"),
        ({"env_order": ["prod"]}, "minion-option-ignored", "note"),
        ({"lock_saltenv": True}, "minion-lock-alone", "note"),
        ({"jinja_env": {"line_comment_prefix": "##"}}, "minion-jinja-syntax", "error"),
        ({"lock-saltenv": True}, "dashed-option", "warning"),
    ],
    ids=str,
)
def test_what_keeps_a_minion_from_its_saltenv_is_found(
    options: dict[str, Any], found: str, severity: str
) -> None:
    (finding,) = rules.check(described(options))

    assert (finding.id, finding.severity) == (found, severity)
    assert PATH in finding.message


def test_of_a_minion_that_nothing_is_known_of_only_unknown_saltenvs_are_wrong() -> None:
    assert rules.check(described({"saltenv": "prod"}, own=None)) == []
    assert [f.id for f in rules.check(described({"saltenv": "gone"}, own=None))] == [
        "minion-saltenv"
    ]


def test_a_masterless_minion_heeds_its_own_options() -> None:
    found = rules.check(described({"file_client": "local", "state_top_saltenv": "prod"}))

    assert [finding.id for finding in found] == ["minion-file-client"]
