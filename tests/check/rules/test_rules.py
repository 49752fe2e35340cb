"""Every rule with an example that it finds, and one that it lets pass."""
# ruff: noqa: E501 - an example to a line reads best

from __future__ import annotations

import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from saltbranch.check import yaml_nodes
from saltbranch.check.catalogue import RULES
from saltbranch.check.finding import Finding, new_since
from tests.support.checking import TOOLS, findings, project, told

SLS = "salt/a.sls"
PGP = "-----BEGIN PGP MESSAGE-----\n    hQEMA5Q0abcdefghijklmnopqrstuvwxyz0123456789\n    -----END PGP MESSAGE-----"
AWS = "AKIA" + "QWERTYUIOPASDFGH"

# rule, files with the mistake, the place, files without it
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:6fd5\nsize 904\n"
CASES: list[tuple[str, dict[str, str | bytes], str, dict[str, str | bytes]]] = [
    ("not-utf-8", {SLS: b"a:\n  \xff"}, f"{SLS}:2", {SLS: "a:\n  test.nop: []  # \u00fc"}),
    ("not-utf-8", {SLS: b"\xff"}, f"{SLS}:1", {SLS: b"\0GITCRYPT\0\xff\xfe"}),
    ("not-checked", {SLS: "#" * (300 << 10)}, f"{SLS}:0", {SLS: "{a: {test.nop: []}}"}),
    ("file-name", {"salt/a\x1b[1m.conf": ""}, "salt/a\x1b[1m.conf:0", {"salt/\u00e4.conf": ""}),
    ("lfs-pointer", {"salt/a.bin": POINTER}, "salt/a.bin:0", {"salt/a.bin": f"see {POINTER}"}),
    ("lfs-pointer", {"salt/x": "", "pillar/a.sls": POINTER}, "pillar/a.sls:0", {"salt/x": "", "a.bin": POINTER}),
    ("no-states", {"pillar/a.sls": ""}, "salt:0", {"salt/top.sls": ""}),
    ("not-reached", {"salt/top.sls": "base: {'*': []}", SLS: ""}, "salt:0", {"salt/top.sls": "base: {'*': [a]}", SLS: ""}),
    ("jinja-syntax", {SLS: "\n{% if x %}"}, f"{SLS}:2", {SLS: "{% if x %}{% endif %}"}),
    ("jinja-syntax", {"salt/m.jinja": "{{ a"}, "salt/m.jinja:1", {"salt/m.txt": "{{ a"}),
    ("jinja-syntax", {SLS: "{{ a"}, f"{SLS}:1", {SLS: "#!yaml\na: {test.nop: ['{{ a']}"}),
    ("jinja-unknown-filter", {SLS: "#{{ a | nix }}"}, f"{SLS}:1", {SLS: "#{{ a | yaml }}"}),
    ("jinja-unknown-filter", {SLS: "#{{ a is nix }}"}, f"{SLS}:1", {SLS: "#{{ a is none }}"}),
    ("yaml-syntax", {SLS: "a:\n  test.nop: [\nb: c"}, f"{SLS}:3", {SLS: "a:\n  test.nop: []"}),
    ("yaml-syntax", {SLS: "a:\n\ttest.nop: []"}, f"{SLS}:2", {SLS: "a:\n  {{ b }}: []"}),
    ("yaml-syntax", {SLS: "a: !include x"}, f"{SLS}:1", {SLS: "a: {test.nop: !!seq []}"}),
    (
        "yaml-duplicate-key",
        {SLS: "a: {test.nop: []}\nb:\n  test.nop: []\na: {test.nop: []}"},
        f"{SLS}:4",
        {SLS: "{% if x %}\na: {test.nop: []}\n{% else %}\na: {test.nop: []}\n{% endif %}"},
    ),
    ("python-syntax", {"salt/_modules/m.py": "x = ("}, "salt/_modules/m.py:1", {"salt/_modules/m.py": "x = 1"}),
    ("unknown-renderer", {SLS: "#!jinja|yml\na: b"}, f"{SLS}:1", {SLS: "#!jinja|yaml|gpg\n"}),
    ("sls-shape", {SLS: "- a"}, f"{SLS}:1", {SLS: "{{ a }}"}),
    ("sls-shape", {SLS: "a: b"}, f"{SLS}:1", {SLS: "a: test.nop"}),
    ("sls-shape", {SLS: "a: {test.nop: [{require: x}]}"}, f"{SLS}:1", {SLS: "a: {test.nop: [{require: [a]}]}"}),
    ("top-missing-sls", {"salt/top.sls": "base:\n  '*':\n    - a"}, "salt/top.sls:3", {"salt/top.sls": "base:\n  '*':\n    - a", "salt/a/init.sls": ""}),
    ("top-missing-sls", {"salt/top.sls": "", "pillar/top.sls": "base: {'*': [a]}"}, "pillar/top.sls:1", {"salt/top.sls": "base: {'*': [{ignore_missing: true}, a, '{{ b }}']}"}),
    ("include-missing", {SLS: "include:\n  - b"}, f"{SLS}:2", {SLS: "include: [b]", "salt/b.sls": ""}),
    ("include-missing", {"salt/x/init.sls": "include: [.y]"}, "salt/x/init.sls:1", {"salt/x/init.sls": "include: [.y]", "salt/x/y.sls": "include: [..z]", "salt/z.sls": ""}),
    ("template-missing", {SLS: "{% from 'b.jinja' import c %}"}, f"{SLS}:1", {SLS: "{% from 'b.jinja' import c %}{% include 'z' ignore missing %}{% include x %}", "salt/b.jinja": ""}),
    ("template-missing", {"salt/x/a.jinja": "{% import './b' as c %}", "salt/b": ""}, "salt/x/a.jinja:1", {"salt/x/a.jinja": "{% import './b' as c %}", "salt/x/b": ""}),
    ("requisite-missing", {SLS: "a:\n  test.nop:\n    - require:\n      - pkg: b"}, f"{SLS}:4", {SLS: "a: {test.nop: [{require: [{pkg: b}]}]}", "salt/b.sls": "x: {pkg.installed: [{name: b}]}"}),
    ("requisite-missing", {SLS: "a: {test.nop: [{watch: [{pkg: a}]}]}"}, f"{SLS}:1", {SLS: "a: {test.nop: [{watch: [{test: p-1}, {id: p-2}]}]}\np-{{ n }}: {test.nop: []}"}),
    ("requisite-missing", {SLS: "a: {test.nop: [{require: [{sls: b}]}]}"}, f"{SLS}:1", {SLS: "a: {test.nop: [{require: [{sls: b}, {test: '{{ x }}'}, 'a*']}]}", "salt/b.sls": ""}),
    ("extend-missing", {SLS: "extend:\n  b: {test.nop: []}"}, f"{SLS}:2", {SLS: "extend: {b: {test.nop: []}}", "salt/b.sls": "b: {test.nop: []}"}),
    ("source-missing", {SLS: "a:\n  file.managed:\n    - source: salt://b"}, f"{SLS}:3", {SLS: "a: {file.managed: [{source: [salt://b, salt://c]}]}", "salt/c": ""}),
    ("source-missing", {SLS: "a: {file.managed: [{source: salt://d}]}", "salt/d/x": ""}, f"{SLS}:1", {SLS: "a: {file.recurse: [{name: /x}, {source: salt://d/}]}", "salt/d/x": ""}),
    ("source-missing", {SLS: "a: {file.managed: [{source: 'salt://d/{{ x }}.conf'}]}", "salt/d/x": ""}, f"{SLS}:1", {SLS: "a: {file.managed: [{source: 'salt://d/{{ x }}.conf'}]}", "salt/d/x.conf": ""}),
    ("source-missing", {SLS: "salt://b: {cmd.script: []}"}, f"{SLS}:1", {SLS: "a: {cmd.script: [{source: https://example.com/x}]}"}),
    ("duplicate-id", {SLS: "include: [b]\nx: {test.nop: []}", "salt/b.sls": "\nx: {test.nop: []}"}, "salt/b.sls:2", {SLS: "x: {test.nop: []}", "salt/b.sls": "x: {test.nop: []}"}),
    ("duplicate-id", {"salt/top.sls": "base: {'*': [a], 'w*': [b]}", SLS: "x: {test.nop: []}", "salt/b.sls": "x: {test.nop: []}"}, "salt/b.sls:1", {"salt/top.sls": "base: {'v*': [a], 'w*': [b]}", SLS: "x: {test.nop: []}", "salt/b.sls": "x: {test.nop: []}"}),
    ("unknown-state-module", {SLS: "a: {fil.managed: []}"}, f"{SLS}:1", {SLS: "a: {unreadable.x: []}"}),
    ("unknown-state-module", {SLS: "a: {own.there: []}"}, f"{SLS}:1", {SLS: "a: {mine.there: []}", "salt/_states/own.py": "__virtualname__ = 'mine'\ndef there(name): pass"}),
    ("unknown-state-function", {SLS: "a: {file.manage: []}"}, f"{SLS}:1", {SLS: "a: {file: [managed, {mode: '1'}]}"}),
    ("unknown-argument", {SLS: "a:\n  service.running:\n    - enabled: 1"}, f"{SLS}:3", {SLS: "a: {service.running: [{enable: 1}, {onlyif: x}, {order: 1}]}"}),
    ("unknown-argument", {SLS: "a: {file.managed: [{sorce: 1}]}"}, f"{SLS}:1", {SLS: "a: {file.managed: [{quite_else: 1}]}"}),
    ("missing-argument", {SLS: "a: {file.symlink: []}"}, f"{SLS}:1", {SLS: "a: {file.symlink: [{target: b}]}"}),
    ("absolute-path", {SLS: "a: {cmd.run: [{name: ls /srv/salt/x}]}"}, f"{SLS}:1", {SLS: "# /srv/salt\na: {cmd.run: [{name: ls /srv/saltine /srv/www}]}"}),
    ("hard-coded-saltenv", {SLS: "a: {file.managed: [{source: salt://x?saltenv=prod}]}"}, f"{SLS}:1", {SLS: "a: {file.managed: [{source: 'salt://x?saltenv={{ saltenv }}'}]}"}),
    ("hard-coded-saltenv", {SLS: "#{{ salt['cp.x'](saltenv='base') }}"}, f"{SLS}:1", {SLS: "#{{ salt['cp.x'](saltenv=saltenv) }}"}),
    ("hard-coded-saltenv", {SLS: "include: [{prod: b}]"}, f"{SLS}:1", {SLS: "include: [{'{{ saltenv }}': b}]"}),
    ("hard-coded-saltenv", {SLS: "a: {test.nop: [{saltenv: prod}]}"}, f"{SLS}:1", {SLS: "a: {test.nop: [{saltenv: '{{ saltenv }}'}]}"}),
    ("render-time-call", {SLS: "\n{% set a = salt['cmd.run']('x') %}"}, f"{SLS}:2", {SLS: "{% set a = salt['pillar.get']('x') %}"}),
    ("render-time-call", {SLS: "#{{ salt.cmd.shell('x') }}"}, f"{SLS}:1", {SLS: "#{{ salt.grains.get('x') }}"}),
    ("render-time-call", {SLS: "#{{ salt.get('cmd.run')('x') }}"}, f"{SLS}:1", {SLS: "#{{ salt.get('match.glob')('x') }}"}),
    ("render-time-call", {SLS: "#{{ salt.cmd['run']('x') }}"}, f"{SLS}:1", {SLS: "{# salt['cmd.run'] #}"}),
    ("render-time-call", {SLS: "#!py\nimport subprocess"}, f"{SLS}:2", {SLS: "#!py\nimport re"}),
    ("render-time-call", {SLS: "#!py\ndef run():\n    __salt__['cmd.run']('x')"}, f"{SLS}:3", {SLS: "#!py\ndef run():\n    __salt__['grains.get']('x')"}),
    ("render-time-indirect", {SLS: "#{{ salt[x]('y') }}"}, f"{SLS}:1", {SLS: "#{{ salt['test.ping']() }}"}),
    ("render-time-indirect", {SLS: "{% if x in salt %}{% endif %}"}, f"{SLS}:1", {SLS: "{% if 'test.ping' in salt %}{% endif %}"}),
    ("render-time-indirect", {SLS: "{% set s = salt %}"}, f"{SLS}:1", {SLS: "{% set salt = 1 %}"}),
    ("plaintext-secret", {"salt/x": "", "pillar/a.sls": "a:\n  db_password: hunter2hunter2"}, "pillar/a.sls:2", {"salt/x": "", "pillar/a.sls": "a: {db_password: '{{ x }}', token: 'vault:a/b', secret: null}"}),
    ("plaintext-secret", {"salt/x": "", "pillar/a.sls": f"k: {AWS}"}, "pillar/a.sls:1", {"salt/x": "", "pillar/a.sls": f"password: |\n    {PGP}"}),
    ("plaintext-secret", {"salt/k.pem": "-----BEGIN RSA PRIVATE KEY-----\nMII"}, "salt/k.pem:1", {"salt/k.pem": "-----BEGIN CERTIFICATE-----\nMII"}),
    ("plaintext-secret", {"salt/x.ini": "password = hunter2hunter2"}, "salt/x.ini:1", {"salt/x.ini": "password = {{ pillar.x }}"}),
    ("plaintext-secret", {"salt/x": f"k = {AWS}"}, "salt/x:1", {"salt/x": f"k = {AWS}  # pragma: allowlist secret"}),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "bad", "place", "good"), CASES)
def test_rule_finds_the_mistake_and_nothing_else(
    rule: str, bad: dict[str, str | bytes], place: str, good: dict[str, str | bytes]
) -> None:
    assert f"{place} {rule}" in told(bad)
    assert not [line for line in told(good) if line.endswith(f" {rule}")]


# Rules whose findings are made elsewhere: by actions/check.py, allow.py, expectations.py and compiled.py.
ELSEWHERE = {"model", "machine-key", "symlink", "no-pillar", "allow-list", "test-file", "state-test", "compile", "escape-attempt",
             "reads-outside", "empty-top", "empty-highstate", "unmatched-minion", "newer-salt",
             "neutral-answer", "missing-formula"}  # fmt: skip


def test_every_rule_has_an_example() -> None:
    assert {case[0] for case in CASES} | ELSEWHERE == set(RULES)


def test_a_clean_project_has_no_findings() -> None:
    files: dict[str, str | bytes] = {
        "salt/top.sls": "base:\n  '*':\n    - web\n",
        "salt/web/init.sls": (
            "{% from 'web/map.jinja' import web with context %}\n"
            "include:\n  - web.more\n"
            "{% for n in web %}\n"
            "web-{{ n }}:\n"
            "  file.managed:\n"
            "    - name: /etc/{{ n }}\n"
            "    - source: salt://web/files/{{ n }}.j2\n"
            "    {%- if n %}\n"
            "    - mode: '0644'\n"
            "    {%- else %}\n"
            "    - mode: '0600'\n"
            "    {%- endif %}\n"
            "{% endfor %}\n"
        ),
        "salt/web/more.sls": "more:\n  pkg.installed:\n    - require_in:\n      - sls: web\n",
        "salt/web/map.jinja": "{%- set web = ['a'] -%}\n",
        "salt/web/files/a.j2": "{{ grains.id }}\n",
    }
    assert told(files) == []


def test_a_secret_is_in_no_part_of_a_finding() -> None:
    for marker in ("hunter2hunter2", "AKIA" + "QWERTYUIOPASDFGH", "gh" + "p_" + "a1B2" * 9):
        found = findings({"salt/x": "", "pillar/a.sls": f"a:\n  password: {marker}\n"})
        assert [f.rule for f in found] == ["plaintext-secret"]
        assert marker not in str(found[0]) + repr(found[0]) + str(found[0].as_dict())


def test_findings_that_only_moved_are_not_new() -> None:
    old = findings({SLS: "a: {fil.x: []}"})
    moved = findings({SLS: "\n\n# more\na: {fil.x: []}"})
    assert moved != old and list(new_since(moved, old)) == []


def test_another_secret_at_the_same_place_is_new() -> None:
    def found(value: str) -> tuple[Finding, ...]:
        return findings({"salt/x": "", "pillar/a.sls": f"password: {value}"})

    assert list(new_since(found("correct-horse"), found("hunter2hunter2"))) == list(
        found("correct-horse")
    )


def test_the_same_mistake_once_more_is_new() -> None:
    old = findings({SLS: "#{{ salt['cmd.run']('x') }}"})
    new = findings({SLS: "#{{ salt['cmd.run']('x') }}\n#{{ salt['cmd.run']('y') }}"})
    assert len(list(new_since(new, old))) == 1


LAUGHS = "a0: &a0 [x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30)
)


@pytest.mark.parametrize(
    "text",
    [
        "a:\n  " + "[" * 20_000,
        "a: " + "{b: " * 20_000,
        LAUGHS,
        "a: &a\n  b: *a\n",
        "a: &a [*a]\n",
        "<<: &a {<<: *a}\n",
        "{{ " + "(" * 20_000,
        "{% if a %}" * 5_000,
        "{{ a" + "|b" * 20_000 + " }}",
        "#!py\n" + "(" * 20_000,
        "#!py\nx = " + "-" * 50_000 + "1",
        "a: " + "x" * 900_000,
        "? " * 20_000,
        '"\\UFFFFFFFF": 1',
        "a: 2026-99-99\nb: 1:99:99\n",
        "%YAML 9.9\n---\n",
        "a: b\n---\nc: d\n",
        "\x00\x01",
        "password: '" + "a" * 200_000,
        "-" * 100_000,
        "#!jinja|" + "x" * 100_000,
        "{% raw %}" * 1000,
        "{{ '" + "\\'" * 20_000,
        "a:\n" + "  - b\n" * 20_000,
        "{#" * 50_000,
    ],
    ids=range(25),
)
def test_hostile_files_end_in_time(text: str) -> None:
    begin = time.monotonic()
    for path in ("salt/a.sls", "pillar/a.sls", "salt/top.sls", "salt/a.jinja"):
        assert isinstance(told({path: text, "salt/x": ""}), list)
    assert time.monotonic() - begin < 60


def test_a_file_that_takes_too_long_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saltbranch.base.time_limit.limited.__wrapped__.__defaults__", (0.05,))
    slow = "".join(f"a{n}: {{test.nop: []}}\n" for n in range(4000))
    assert f"{SLS}:0 not-checked" in told({SLS: slow})


def test_closure_follows_relative_includes_and_circles() -> None:
    made = project({
        "salt/a/init.sls": "include: [.b]", "salt/a/b.sls": "include: [a, .c]", "salt/a/c.sls": "",
    })  # fmt: skip
    assert made.closure("states", "a") == {"a", "a.b", "a.c"}
    assert TOOLS.catalogue.version == "1"


def test_a_missing_requisite_is_an_error_only_where_nothing_else_may_make_it() -> None:
    wanted = "a: {test.nop: [{require: [{pkg: b}]}]}\n"
    assert [f.severity for f in findings({SLS: wanted})] == ["error"]
    (found,) = findings({SLS: wanted, "salt/b.sls": "{{ macro('b') }}"})
    assert (found.rule, found.severity) == ("requisite-missing", "note")


@settings(deadline=None)
@given(st.lists(st.sampled_from([
    "AKCp5abcdefghijkl", '"AP3abcdefghij"', "AKIAIOSFODNN7ABCDEFG", "sl_key = " + "a1" * 32, "x", "",
    "cloudant_password: '" + "0f" * 32 + "'", "ibm_cloud_iam_key=" + "Zx-_" * 11, "SK" + "0a" * 16, "# words",
]), max_size=8))  # fmt: skip
def test_a_file_is_scanned_as_its_lines_are(lines: list[str]) -> None:
    from saltbranch.check.scanners import SecretScanner

    scanner = SecretScanner()
    alone = [(n, w, s) for n, line in enumerate(lines, 1) for _, w, s in scanner.scan("x", line)]
    assert list(scanner.scan("x", "\n".join(lines))) == alone


@pytest.mark.parametrize("text", ["[" * 200_000, "- " * 200_000, "a: " * 50_000, "{a: " * 9_000])
def test_deep_nesting_ends_no_process(text: str) -> None:
    with pytest.raises(yaml_nodes.YamlProblem):
        yaml_nodes.compose(text)


def test_what_is_composed_has_the_lines_of_both_parsers() -> None:
    text = "a: &x [1, 'b']\nc:\n  - *x\n  - {d: e}\n"
    root, pure = yaml_nodes.compose(text), yaml.compose(text, Loader=yaml.SafeLoader)
    found = [(path, node.tag, yaml_nodes.line_of(node)) for path, node in yaml_nodes.walk(root)]
    assert found == [
        (path, node.tag, yaml_nodes.line_of(node)) for path, node in yaml_nodes.walk(pure)
    ]
