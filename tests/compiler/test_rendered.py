"""Managed files hold what Salt makes of them, byte by byte."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from tests.support import budget
from tests.support.compiling import Lab
from tests.support.remote import Content
from tests.support.rendering import Ours, out_minion, salts_files

TOP = "test:\n  '*':\n    - files\n"
PILLAR = {
    "word": "ünïcode",
    "number": 17,
    "list": ["a", "b c", 3],
    "deep": {"x": {"y": "z"}, "flag": True},
    "text": "one\ntwo",
    "template": "{{ 1 + 1 }}\n",
}
BASE: dict[str, Content] = {
    "salt/top.sls": TOP,
    "pillar/top.sls": TOP,
    "pillar/files.sls": yaml.safe_dump(PILLAR),
    "salt/conf/lib.jinja": "{% macro m(x) %}<{{ x }}>{% endmacro %}\n{% set y = grains.os %}\n",
    "salt/conf/data.yaml": "k: [1, 2]\n",
    "salt/conf/data.json": '{"k": "v"}\n',
    "salt/conf/data.txt": "some text\n",
    "salt/conf/part": "part {{ who | default('nobody') }}\n",
    "salt/conf/own/map.jinja": "{% set z = tpldir ~ '!' %}\n{% from './more.jinja' import q %}\n",
    "salt/conf/own/more.jinja": "{% set q = 5 %}\n",
    "salt/_modules/own.py": "def twice(x):\n    return x * 2 + __pillar__['word'] + __grains__['id']\n",
}
LINES = (
    "plain", "{{ pillar.word }}", "{{ grains.id }} {{ grains['os'] }}", "{{ salt['pillar.get']('deep:x:y', 'no') }}",
    "{% for x in pillar.list %}{{ x }},{% endfor %}", "{{ pillar | json }}", "{{ pillar.deep | yaml(False) }}",
    "{% from 'conf/lib.jinja' import m, y with context %}{{ m(y) }}", "{% include 'conf/part' %}",
    "{% import_yaml 'conf/data.yaml' as d %}{{ d.k }}", "{% import_json 'conf/data.json' as e %}{{ e }}",
    "{% import_text 'conf/data.txt' as t %}{{ t | upper }}", "{{ salt['cp.get_file_str']('salt://conf/data.txt') }}",
    "{% set v = 'lib' %}{% import 'conf/' ~ v ~ '.jinja' as l %}{{ l.y }}",
    "{% from 'conf/own/map.jinja' import z, q with context %}{{ z }}{{ q }}",
    "{{ salt['own.twice']('a') }} {{ salt.own.twice('b') }}", 
    "{{ name }} {{ source }} {{ user }} {{ mode }} {{ saltenv }}",
    "{{ opts.id }} {{ opts['saltenv'] }}", "{{ who | default('x') }} {{ extra | default('none') }}",
    "{%- if pillar.deep.flag -%} flag {%- endif %}", "{# gone #}", "", "  ind\tented", "{% raw %}{{ x }}{% endraw %}",
    "{{ 'a b' | regex_replace(' ', '-') }} {{ 'x' | is_ip }} {{ [1] is list }}",
    "{{ salt['grains.filter_by']({'Debian': {'a': 1}, 'default': {'a': 2}}) }}",
    "{{ salt['slsutil.renderer'](string='k: v') }}", "{{ salt['test.echo']('t') }}", "{{ tpldir is defined }}",
    "{{ salt['config.get']('deep:x') }}", "{{ show_full_context() | length > 3 }}", "{{ 'own.twice' in salt }}",
    "{% do pillar.list.append(9) %}",
)  # fmt: skip


def managed(
    number: int, choice: random.Random, known: Sequence[str] = LINES
) -> tuple[str, dict[str, Content]]:
    """A state and its files."""
    lines = [choice.choice(known) for _ in range(choice.randint(1, 6))]
    text = "\n".join(lines) + choice.choice(("", "\n", "\n\n"))
    source = choice.choice(
        (f"salt://t/f{number}", f"salt:///t/f{number}", f"salt://t/f{number}?saltenv=test")
    )
    if choice.random() < 0.2:
        source = choice.choice(([f"salt://t/none{number}", source], [source, "salt://conf/part"]))  # type: ignore[assignment]
    own = {"name": f"{{{{ grains.out }}}}/f{number}", "source": source, "template": "jinja"}
    if choice.random() < 0.4:
        own["context"] = {"who": choice.choice(["ann", "{{ pillar.word }}", 3])}  # type: ignore[assignment]
    if choice.random() < 0.4:
        own["defaults"] = {"who": "bob", "extra": {"a": [1]}}  # type: ignore[assignment]
    if choice.random() < 0.3:
        own["mode"] = choice.choice(["0644", 600, "keep"])  # type: ignore[assignment]
    if choice.random() < 0.1:
        own["extra"] = "of the state"
    state = {f"f{number}": {"file.managed": [{k: v} for k, v in own.items()]}}
    return yaml.safe_dump(state), {f"salt/t/f{number}": text}


@pytest.mark.parametrize("seed", budget.cases(range(4), lambda seed: seed < 2))
def test_random_templates_hold_what_salt_makes_of_them(tmp_path: Path, seed: int) -> None:
    choice = random.Random(seed)
    files, states = dict(BASE), []
    for number in range(40):
        state, more = managed(number, choice)
        states.append(state)
        files.update(more)
    files["salt/files.sls"] = "".join(states)
    lab = Lab(tmp_path, files)
    minions = [out_minion(lab), out_minion(lab, "m2", grains={"os": "Ubuntu"})]
    ours, salts = Ours(lab, minions), salts_files(lab, minions)
    for who in minions:
        result = ours.results[who.id]
        assert result.error is None, result.error
        contents = ours.contents(who.id)
        made = salts[who.id]["files"]
        told = {name: c.problem for name, c in contents.items() if not c.digest}
        assert set(told) == {name for name, _ in salts[who.id]["bad"]}, (told, salts[who.id]["bad"])
        for name, content in contents.items():
            if content.digest:
                text = files[f"salt/t/{name}"]
                assert content.digest == ours.digest(who.id, made[name]), (name, text, made[name])
        assert len(contents) == 40 and len(told) < 10


SLS = """\
{% set out = grains.out %}
{{ out }}/contents:
  file.managed:
    - contents: |
        a {{ '{{' }} grains.id }}
        b
    - template: jinja
{{ out }}/list:
  file.managed:
    - contents: [one, {{ pillar.word }}, 3]
    - template: jinja
{{ out }}/pillar:
  file.managed:
    - contents_pillar: text
{{ out }}/pillar_template:
  file.managed:
    - contents_pillar: [template, text]
    - template: jinja
    - contents_newline: False
{{ out }}/py:
  file.managed:
    - source: salt://t/made.py
    - template: py
    - context: {who: ann}
{{ out }}/mako:
  file.managed:
    - source: salt://t/no.mako
    - template: nosuch
{{ out }}/binary:
  file.managed:
    - source: salt://t/binary
    - template: jinja
{{ out }}/accumulated:
  file.managed:
    - source: salt://t/accumulated
    - template: jinja
one:
  file.accumulated:
    - filename: {{ out }}/accumulated
    - text: [x, {{ pillar.number }}]
    - require_in: [{file: {{ out }}/accumulated}]
{{ out }}/folder:
  file.recurse:
    - source: salt://t/folder
    - template: jinja
    - context: {who: ann}
    - exclude_pat: '*.skip'
    - file_mode: '0640'
{{ out }}/added:
  file.append:
    - sources: [salt://conf/part, salt://t/accumulated]
    - context: {who: ann, accumulator: {one: []}}
"""


def test_other_states_that_render(tmp_path: Path) -> None:
    files: dict[str, Content] = {
        **BASE,
        "salt/files.sls": SLS,
        "salt/t/made.py": 'def run():\n    return f\'{context["who"]} {__grains__["id"]} {__pillar__["word"]}\\n\'\n',
        "salt/t/no.mako": "x\n",
        "salt/t/binary": b"\x00\xff\xfe{{ x }}",
        "salt/t/accumulated": "{{ accumulator.one | join(' ') }}\n",
        "salt/t/folder/a": "{{ who }} {{ name }} {{ mode }}\n",
        "salt/t/folder/sub/b": "{% from 'conf/lib.jinja' import y %}{{ y }}\n",
        "salt/t/folder/c.skip": "{{ nothing }}\n",
    }
    lab = Lab(tmp_path, files)
    who = out_minion(lab)
    ours, salts = Ours(lab, [who]), salts_files(lab, [who])["m1"]
    contents = {k.removeprefix(f"{who.grains['out']}/"): v for k, v in ours.contents("m1").items()}
    made = salts["files"]
    same = {
        "contents": "contents", "list": "list", "pillar": "pillar", "pillar_template": "pillar_template",
        "py": "py", "binary": "binary", "accumulated": "accumulated",
        "folder t/folder/a": "folder/a", "folder t/folder/sub/b": "folder/sub/b",
    }  # fmt: skip
    for name, path in same.items():
        assert path in made, (path, salts["bad"])
        assert contents[name].digest == ours.digest("m1", made[path]), (
            name,
            made[path],
            contents[name],
        )
    assert not contents["mako"].digest and "renderer" in contents["mako"].problem
    assert "folder t/folder/c.skip" not in contents
    assert contents["added conf/part"].digest == ours.digest("m1", b"part ann\n")
    assert contents["added t/accumulated"].digest == ours.digest("m1", b"\n")


def test_limits_are_said(tmp_path: Path) -> None:
    files: dict[str, Content] = {
        **BASE,
        "salt/files.sls": yaml.safe_dump(
            {
                "large": {"file.managed": [{"source": "salt://t/large"}, {"template": "jinja"}]},
                "many": {"file.recurse": [{"source": "salt://t/many"}, {"template": "jinja"}]},
            }
        ),
        "salt/t/large": "{% for n in range(100000) %}0123456789abcdef{% endfor %}\n",
        **{f"salt/t/many/f{n:04}": "{{ grains.id }}\n" for n in range(1005)},
    }
    lab = Lab(tmp_path, files)
    who = out_minion(lab)
    contents = Ours(lab, [who]).contents("m1")
    assert contents["large"].problem == "it is larger than 1 MiB"
    many = [c for name, c in contents.items() if name.startswith("many ")]
    assert [bool(c.digest) for c in many] == [True] * 999 + [False] * 6
    assert {c.problem for c in many[999:]} == {"only the first 1000 files of a minion are rendered"}


def test_what_is_rendered_in_one_state_reaches_no_other(tmp_path: Path) -> None:
    """A template may change the arguments that it is given: the state is described as it was."""
    files: dict[str, Content] = {
        **BASE,
        "salt/files.sls": yaml.safe_dump(
            {
                n: {
                    "file.managed": [
                        {"name": f"/x/{n}"},
                        {"source": "salt://t/f"},
                        {"template": "jinja"},
                        {"context": {"items": ["a"]}},
                    ]
                }
                for n in ("one", "two")
            }
        ),
        "salt/t/f": "{% do items.append('b') %}{{ items }}\n",
    }
    lab = Lab(tmp_path, files)
    who = out_minion(lab)
    ours = Ours(lab, [who])
    for n in ("one", "two"):
        assert ours.contents("m1")[n].digest == ours.digest("m1", b"['a', 'b']\n")
    plain = lab.compile([who], cache=ours.cache, plain=False)["m1"]
    assert [c.arguments for c in plain.chunks] == [c.arguments for c in ours.results["m1"].chunks]
    assert {str(c.arguments["context"]) for c in plain.chunks} == {"{'items': ['a']}"}
