"""Which folders `states_dir` and `pillar_dir` name: what is taken, what is refused, and how it is told."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from saltbranch.base.errors import ConfigError
from saltbranch.config.check import build_config
from saltbranch.config.read import check_model, parse_file
from saltbranch.config.roots import PILLAR, STATES, Root, Roots, of_text, plain
from saltbranch.config.roots_keys import parse

SALTENVS = "saltenvs: {t: {branch: master, minions: [m]}}\n"


def roots(states: object, pillar: object = "pillar", **more: Any) -> Roots:
    return parse(states, pillar, "the file", **more)


def test_a_word_is_one_folder_and_nothing_is_composed() -> None:
    found = roots("./a//salt/", "pillar")
    assert (found.states, found.pillar) == (plain("a/salt", "pillar").states, (Root("pillar"),))
    assert (found.composed, found.identity) == ((), "")
    assert (found.prefix(STATES), found.prefix(PILLAR)) == ("a/salt", "pillar")


def test_a_list_is_composed_and_only_that() -> None:
    found = roots(["salt", "formulas/*", {"infra": ["web", "role-*"]}, {".": "db"}])
    assert found.states == (
        Root("salt"),
        Root("formulas/*", ("*",)),
        Root("infra", ("web", "role-*")),
        Root(".", ("db",)),
    )
    assert found.composed == (STATES,) and found.identity
    assert found.written(STATES) == [
        "salt", {"formulas/*": ["*"]}, {"infra": ["web", "role-*"]}, {".": ["db"]},
    ]  # fmt: skip
    assert roots(found.written(STATES)).states == found.states


def test_its_text_holds_all_of_it() -> None:
    found = roots(
        ["salt", {".": ["a\u00fc'\"", "b c"]}], ["p", "q*"], fleet="fleet", stand_in="x/y"
    )
    assert of_text(found.text()) == found
    assert "\n" not in found.text() and "\t" not in found.text()
    assert found.identity != roots(["salt"], ["p", "q*"]).identity


@pytest.mark.parametrize(
    ("states", "pillar", "why"),
    [
        (".", "pillar", "is not a folder inside"),
        (["."], "pillar", "all of the repository cannot be served"),
        (["./"], "pillar", "all of the repository cannot be served"),
        (["../x"], "pillar", "is not a folder inside"),
        (["/etc"], "pillar", "is not a folder inside"),
        (["a\nb"], "pillar", "is not a folder inside"),
        ([], "pillar", "names no folder"),
        ({}, "pillar", "names no folder"),
        ([1], "pillar", "is no folder of the repository"),
        (None, "pillar", "is no folder of the repository"),
        ([["a"]], "pillar", "is no folder of the repository"),
        ([{".": []}], "pillar", "is no folder of the repository"),
        ([{".": {"a": 1}}], "pillar", "is no folder of the repository"),
        ([{".": ["a/b"]}], "pillar", "is no name right inside"),
        ([{".": [".git"]}], "pillar", "is no name right inside"),
        ([{".": ["..", "a"]}], "pillar", "is no name right inside"),
        ([{".": [""]}], "pillar", "is no name right inside"),
        ([{"../x": ["a"]}], "pillar", "is not a folder inside"),
        (["a", "./a/"], "pillar", "names 'a' twice"),
        ([f"f{n}" for n in range(300)], "pillar", "more than 200"),
        ("salt", "salt/pillar", "contain one another"),
        ("salt", ["salt/pillar"], "contain one another"),
        ("salt", ["*/pillar"], "contain one another"),
        ("pillar/states", "pillar", "contain one another"),
        (["pillar/states"], "pillar", "contain one another"),
        (["salt", "pillar"], "pillar", "contain one another"),
    ],
)
def test_what_is_refused(states: object, pillar: object, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as err:
        roots(states, pillar)
    assert "the file" in err.value.message and err.value.hint


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("salt/a.sls", "a.sls"),
        ("salt/.hidden", ".hidden"),
        ("formulas/x/nginx/init.sls", "nginx/init.sls"),
        ("formulas/x/README", None),
        ("formulas/x/test/a.sls", None),
        ("formulas/x/.ci/a.sls", None),
        ("formulas/top.sls", None),
        ("web/init.sls", "web/init.sls"),
        ("other/init.sls", None),
        ("pillar/a.sls", None),
        ("Tests/a.sls", None),
        ("fleet/a.sls", None),
        ("formulas/x/pillar/a.sls", None),
    ],
)
def test_names_by_pattern(path: str, name: str | None) -> None:
    found = roots(
        ["salt", "formulas/*", {".": ["web", "Tests", "fleet", "pillar"]}],
        ["pillar", "formulas/*/pillar"],
        fleet="./fleet/",
    )
    assert found.name_of(STATES, path) == name


def test_signs_of_a_word_are_no_glob() -> None:
    found = roots(["a"], "p[12]*")
    assert found.secret == (("p[[]12][*]",),)
    assert roots("s*").name_of(STATES, "s*/x.sls") == "x.sls"
    assert roots("s*").name_of(STATES, "sx/x.sls") is None


def test_the_schema_and_the_file_take_the_same() -> None:
    text = f"states_dir: [salt, 'f/*', {{.: [a]}}]\npillar_dir: {{p: [a, b]}}\n{SALTENVS}"
    config = check_model(text, "m")[1]
    assert config.roots.pillar == (Root("p", ("a", "b")),)
    assert yaml.safe_load(text)["states_dir"][2] == {".": ["a"]}


@pytest.mark.parametrize(
    ("folder", "why"),
    [
        ("etc", "not an absolute path"),
        ("/", "cannot be /"),
        ("/srv", "contain one another"),
        ("/srv/sb/slots", "contain one another"),
        ("/srv/sb/../sb", "without '..'"),
    ],
)
def test_folders_of_the_machine(folder: str, why: str) -> None:
    machine = parse_file(f"remote: /r\nroot: /srv/sb\nextra_roots: ['{folder}']\n{SALTENVS}", "m")
    with pytest.raises(ConfigError, match=why):
        build_config(machine, "m")


def test_folders_of_a_machine_do_not_count_in_a_model() -> None:
    model = parse_file(f"extra_roots: [/etc]\n{SALTENVS}", "model")
    machine = parse_file("remote: /r\nroot: /a\n", "m")
    assert build_config(machine, "m", model).extra_roots == ()
