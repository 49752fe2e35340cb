"""What is wrong with a pillar file: the kind of the mistake and its place are the right ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from saltbranch.compiler.model import Compiled
from saltbranch.preview import missing
from saltbranch.preview.fleet_diff import looked_up
from tests.support.compiling import Lab, minion
from tests.support.remote import Content

WORD = "hunter2Secret9x"
ARGUMENTS = "a function is called with arguments that it does not take"
GONE = "Jinja: salt://gone/x, which it imports, is not there"
# Text of the file, the kind, the line in it.
MISTAKES: Mapping[str, tuple[str, str, int | None]] = {
    "import_yaml": ("{% import_yaml 'gone/x' as x %}\n", GONE, 1),
    "import_text": ("a: 1\n{% import_text 'gone/x' as x %}\n", GONE, 2),
    "import_json": ("a: 1\n{% import_json 'gone/x' as x %}\n", GONE, 2),
    "from": ("a: 1\n{% from 'gone/x' import x %}\n", GONE, 2),
    "include": ("a: 1\n{% include 'gone/x' %}\n", GONE, 2),
    "extends": ("{% extends 'gone/x' %}\n", GONE, 1),
    "a made name": ("a: 1\n{% set x = 'gone/' ~ '" + WORD + "' %}\n{% include x %}\n",
                    "Jinja: salt://***, which it imports, is not there", 3),
    "argument": (f"a: 1\nb: {{{{ salt['pillar.get']('{WORD}', nosuch=1) }}}}\n", f"Jinja: {ARGUMENTS}", 2),
    "no argument": ("a: 1\nb: {{ salt['grains.get']() }}\n", f"Jinja: {ARGUMENTS}", 2),
    "macro": ("{% macro m(x) %}{% endmacro %}\na: {{ m(1, 2, y=3) }}\n", f"Jinja: {ARGUMENTS}", 2),
    "py argument": ("#!py\ndef run():\n    return __salt__['pillar.get'](nosuch=1)\n", f"Python: {ARGUMENTS}", 3),
    "py attribute": ("#!py\ndef run():\n    return {}.nosuch()\n", "Python: AttributeError", 3),
    "py name": ("#!py\nx = nosuch\ndef run():\n    return {}\n", "Python: NameError", 2),
    "py import": ("#!py\nimport nosuchmod\ndef run():\n    return {}\n", "Python: ModuleNotFoundError", 2),
    "py indent": ("#!py\ndef run():\n  return {}\n    x = 1\n", "Python that cannot be parsed", 4),
    "py colon": ("#!py\ndef run()\n    return {}\n", "Python that cannot be parsed", 2),
    "py raises": (f"#!py\ndef run():\n    raise ValueError('yaml {WORD} is undefined')\n", "Python: ValueError", 3),
    "no run": ("#!py\ndef go():\n    return {}\n", "Python: AttributeError", None),
    "json": (f'#!json\n{{"a": "{WORD}",\n "b": }}\n', "JSON that cannot be read", 3),
    "jinja json": ('#!jinja|json\n{"a": 1,\n "b": {{ grains.os }} }\n', "JSON that cannot be read", 3),
    "json text": (f"a: 1\nb: {{{{ '{WORD}' | load_json }}}}\n", "JSON that cannot be read", 2),
    "yaml text": ("a: 1\nb: {{ 'x: [' | load_yaml }}\n", "YAML: a list or mapping in brackets", 2),
    "imported encrypted": ("a: 1\n{% import_yaml 'sealed.yaml' as y %}\n",
                           "Jinja: a file that it imports is encrypted", 2),
    "no import": ("a: 1\nb: {{ '\\xff'.encode('latin-1').decode() }}\n", "Jinja: UnicodeDecodeError", 2),
    "imported yaml": ("a: 1\n{% import_yaml 'bad.yaml' as y %}\n", "YAML: a list or mapping in brackets", 2),
    "imported json": ("a: 1\n{% import_json 'bad.json' as y %}\n", "JSON that cannot be read", 2),
    "imported jinja": ("a: 1\n{% from 'bad.jinja' import y %}\n",
                       "Jinja that cannot be parsed, in pillar/bad.jinja:5", 2),
    "imported undefined": ("a: 1\n{% from 'undefined.jinja' import y with context %}\n",
                           "Jinja: something is undefined, in pillar/undefined.jinja:3", 2),
    "zero": ("a: 1\nb: {{ 1 / 0 }}\n", "Jinja: ZeroDivisionError", 2),
    "sum": (f"a: 1\nb: {{{{ 1 + '{WORD}' }}}}\n", "Jinja: TypeError", 2),
    "raise": (f"a: 1\nb: {{{{ raise('No filter named {WORD}') }}}}\n", "Jinja: the template raises an error itself", 2),
    "undefined": ("a: 1\nb: {{ nosuch.x }}\n", "Jinja: something is undefined", 2),
    "int": (f"a: 1\nb: !!int {WORD}\n", "YAML: a value that is not what its tag or its form says", None),
    "merge": ("a: 1\n<<: 5\n", "YAML: `<<` of what is not a mapping", 2),
    "tab": ("a:\n\tb: 1\n", "YAML: a character that no text without quotes begins with", 2),
}  # fmt: skip


def files(pillar: Mapping[str, str]) -> dict[str, Content]:
    names = "".join(f"    - {name.replace(' ', '_')}\n" for name in pillar)
    return {
        "salt/top.sls": "base:\n  '*':\n    - app\n",
        "salt/app.sls": "app:\n  test.nop: []\n",
        "pillar/top.sls": f"base:\n  '*':\n{names}",
        "pillar/bad.yaml": f"a: {WORD}\nb: 2\nc: [\n",
        "pillar/sealed.yaml": b"\0GITCRYPT\0\xff\xfe\x81",
        "pillar/bad.json": '{"a": 1,\n"b": 2,\n\n"c"}\n',
        "pillar/bad.jinja": "{% set y = 1 %}\n\n\n\n{% if %}\n",
        "pillar/undefined.jinja": "\n\n{{ nosuch.x }}\n{% set y = 1 %}\n",
        **{f"pillar/{name.replace(' ', '_')}.sls": text for name, text in pillar.items()},
    }


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What is told of every file."""
    pillar = {name: text for name, (text, _, _) in MISTAKES.items()}
    result = Lab(tmp_path_factory.mktemp("lab"), files(pillar)).one(minion("m1"))
    begin = "pillar: Rendering SLS '"
    told = dict(e.removeprefix(begin).split("' failed: ", 1) for e in result.errors)
    assert WORD not in "".join([*told.values(), *result.notes])
    return told


@pytest.mark.parametrize("name", MISTAKES)
def test_the_kind_and_the_line_are_right(errors: dict[str, str], name: str) -> None:
    _, kind, line = MISTAKES[name]
    said, _, place = errors[name.replace(" ", "_")].partition("; line ")
    assert said.startswith(kind)
    assert place == ("" if line is None else str(line))


def test_a_template_of_the_pillar_can_be_declared_missing(tmp_path: Path) -> None:
    text = "{% import_yaml 'keys/all.yaml' as keys %}\nkeys: {{ keys }}\n"
    lab = Lab(tmp_path, files({"app": text}))

    def declared() -> Compiled:
        look = looked_up(lab.frame, lab.tree())
        return missing.declared(lab.one(minion("m1"), plain=False), ["salt://keys/*"], look)

    found = declared()
    assert found.result == "ok", found.errors
    assert "missing, as declared: pillar: salt://keys/all.yaml" in found.notes
    lab.commit({"pillar/keys/all.yaml": "a: [b\n"})  # there, and wrong
    assert declared().result == "partial"
