"""State tests: how they are read, and how low chunks are judged."""

from __future__ import annotations

from dataclasses import replace

import pytest

from saltbranch.check.expectations import StateTest, judge, parse
from saltbranch.compiler.model import Compiled, failed

CHUNKS = [
    {"state": "pkg", "fun": "installed", "__id__": "nginx", "name": "nginx", "__sls__": "web"},
    {
        "state": "file", "fun": "managed", "__id__": "conf", "name": "/etc/n.conf",
        "__sls__": "web", "mode": "0644", "contents": "hunter2",
    },
]  # fmt: skip
COMPILED = Compiled("m", "ok", low=CHUNKS)


def one(body: str) -> StateTest:
    tests, wrong = parse("tests/web.yaml", f"title:\n{body}")
    assert not wrong and len(tests) == 1
    return tests[0]


@pytest.mark.parametrize(
    "expectation",
    [
        "nginx | pkg.installed",
        "pkg.installed",
        "{state: file.managed, name: /etc/n.conf}",
        "{id: conf}",
        "{sls: web, arguments: {mode: '0644'}}",
    ],
)
def test_what_is_there_satisfies_must_and_breaks_must_not(expectation: str) -> None:
    assert list(judge(one(f"  must:\n  - {expectation}\n"), COMPILED)) == []
    (found,) = judge(one(f"  must_not:\n  - {expectation}\n"), COMPILED)
    assert (found.file, found.line, found.rule) == ("tests/web.yaml", 3, "state-test")


@pytest.mark.parametrize(
    "expectation",
    [
        "apache | pkg.installed",
        "pkg.removed",
        "{state: file.managed, name: /etc/other}",
        "{sls: db}",
        "{id: conf, arguments: {mode: '0600'}}",
        "{id: conf, arguments: {user: null}}",
    ],
)
def test_what_is_not_there_breaks_must_and_satisfies_must_not(expectation: str) -> None:
    assert list(judge(one(f"  must_not:\n  - {expectation}\n"), COMPILED)) == []
    (found,) = judge(one(f"  must:\n  - {expectation}\n"), COMPILED)
    assert found.line == 3


def test_a_difference_names_the_argument_and_no_value() -> None:
    test = one("  must:\n  - {id: conf, arguments: {contents: s3cret, mode: '0644'}}\n")
    (found,) = judge(test, COMPILED)
    assert found.fix == "it is there, but differs in: contents"
    assert "hunter2" not in repr(found) and "s3cret" not in repr(found)


def test_what_cannot_be_compiled_satisfies_nothing() -> None:
    test = one("  must_not:\n  - pkg.removed\n")
    (found,) = judge(test, failed("m", "no top file"))
    assert "no top file" in found.message


def test_what_must_fail_has_to_fail_and_with_that_error() -> None:
    test = one('  fails: "a role is needed"\n')
    right, other = (failed("m", f"Jinja error: {why}") for why in ("a role is needed", "no"))
    assert list(judge(test, right)) == []
    (found,) = judge(test, other)
    assert "must fail with 'a role is needed', but it says: Jinja error: no" in found.message
    (found,) = judge(test, COMPILED)
    assert "but it compiles" in found.message


def test_a_value_of_the_pillar_in_an_expectation_is_not_repeated() -> None:
    test = one("  must:\n  - {id: hunter2hunter2}\n  - other | pkg.removed\n")
    found = list(judge(test, replace(COMPILED, plain_pillar={"password": "hunter2hunter2"})))
    assert len(found) == 2 and "hunter2" not in repr(found) and "other" in found[1].message


def test_a_test_says_who_the_minion_is() -> None:
    test = one(
        "  grains: {id: web1, os_family: Debian}\n  pillar: {a: 1}\n  saltenv: stage\n"
        "  returns: {mine.get: {}}\n  must: [pkg.installed]\n"
    )
    assert (test.minion, test.saltenv, test.pillar["a"]) == ("web1", "stage", 1)
    assert test.grains["os_family"] == "Debian" and "mine.get" in test.returns


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "it holds no mapping of titles to tests"),
        ("a: b", "'a': it is not a mapping"),
        ("a: {}", "'a': it expects nothing"),
        ("a: {must: [x]}", "'a': 'x' is not of the form"),
        ("a: {must: {}}", "'a': must: and must_not: hold lists"),
        ("a: {musst: [pkg.installed]}", "'a': an unknown key; known: "),
        ("a: {must: [{stat: pkg.installed}]}", "'a': unknown part 'stat'"),
        ("a: {must: [3]}", "'a': an expectation is a text or a mapping"),
        ("a: {grains: 3, must: [pkg.installed]}", "'a': grains: is not a mapping"),
        (
            "a: {pillar: {x: {2026-01-02: y}}, must: [pkg.installed]}",
            "'a': pillar: has a date as a key",
        ),
        ("a: {fails: no, must: [pkg.installed]}", "'a': `fails:` is a part of the error"),
        ("a: {fails: x, must: [pkg.installed]}", "'a': `fails:` is a part of the error"),
        ("a: [", "YAML: "),
        ("a: 1\na: 2", "a key appears twice"),
        ("a: !!python/object:os.system {}", "YAML: "),
        ("a: 2026-99-99", "YAML: "),
        ("b: &b [*b]", "a key appears twice, or aliases repeat too much"),
        ("[" * 5000, "it is nested too deeply"),
    ],
)
def test_a_file_that_cannot_be_used_is_a_finding(text: str, message: str) -> None:
    tests, wrong = parse("tests/x.yaml", text)
    assert tests == [] and [found.rule for found in wrong] == ["test-file"]
    assert wrong[0].message.startswith(message)


def test_billion_laughs_are_refused() -> None:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    tests, wrong = parse("tests/x.yaml", "\n".join(lines))
    assert tests == [] and "aliases" in wrong[0].message


def test_an_empty_file_holds_no_tests() -> None:
    assert parse("tests/x.yaml", "# nothing\n") == ([], [])


BROKEN_PILLARS = (
    "!SS", "!!SS x", "*SS", "[SS", "'SS", "!!int SS", "!!timestamp SS", "!!float SS", "!!bool SS", "!!binary SS\u00e9",
    "!!timestamp 2024-99-99SS", "{SS: {a}: b}", "!!set SS", "!!python/object:SS x", "&SS *SS",
)  # fmt: skip


@pytest.mark.parametrize("value", BROKEN_PILLARS)
def test_nothing_of_a_broken_pillar_is_told(value: str) -> None:
    word = "hunter2Secret9Zq"
    text = f"a:\n  pillar:\n    pw: {value.replace('SS', word)}\n  must: [pkg.installed]\n"
    for text_ in (text, text.replace("    pw: ", "  ").replace("\n  must", ": 1\n  must")):
        _, wrong = parse("tests/x.yaml", text_)
        assert all("hunter" not in f"{found}" for found in wrong)
    assert parse("tests/x.yaml", text)[1]


def test_an_unknown_key_may_be_a_secret_that_lost_its_indentation() -> None:
    _, [wrong] = parse("tests/x.yaml", "a:\n  pillar:\n  hunter2: x\n  must: [pkg.installed]\n")
    assert "hunter" not in str(wrong) and "unknown key" in wrong.message
