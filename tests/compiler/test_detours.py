"""What is made in a shorter way is what Salt makes of the same."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.support.compiling import PROJECT, environment

_PROGRAM = """
import json, sys
import salt.utils.jinja
from collections import OrderedDict
from salt.utils.yamlloader import SaltYamlSafeLoader
from saltbranch.compiler.inside import yaml_objects
import jinja2, yaml

def said(text, kind):
    try:
        made = yaml.load(text, Loader=lambda stream: SaltYamlSafeLoader(stream, dictclass=kind))
    except Exception as err:
        return f"{type(err).__name__}: {err}"
    return repr(made)

texts = json.load(sys.stdin)
kinds = (dict, OrderedDict)
before = [said(text, kind) for text in texts for kind in kinds]
yaml_objects.install()
quick = []
made = yaml_objects._made
def counted(*args):
    found = made(*args)
    quick.append(1)
    return found
yaml_objects._made = counted
after = [said(text, kind) for text in texts for kind in kinds]
both = yaml.load("a: &x [1]\\nb: *x\\n", Loader=SaltYamlSafeLoader)
SaltYamlSafeLoader.add_constructor("tag:yaml.org,2002:seq", lambda self, node: "a list of the branch's")
theirs = yaml.load("a: [1]", Loader=SaltYamlSafeLoader)
json.dump({"before": before, "after": after, "quick": len(quick), "is_one": both["a"] is both["b"],
           "theirs": theirs}, sys.stdout)
"""

_TEXTS = [
    "a: {b: [1, 2.5, yes, null, ~, 'x', 2020-01-01, 0x1f, 010, 0, 007, 1e3, .inf, 1_000]}",
    "- a\n- b: c\n  d: |\n    text\n    more\n",
    "just text",
    "",
    "a: 1\na: 2\n",
    "x: &one {a: 1}\ny: *one\n",
    "base: &b {k: 1, l: 2}\nown:\n  <<: *b\n  k: 3\n",
    "a: &a [*a]\n",
    "? [1, 2]\n: b\n",
    "? {a: 1}\n: b\n",
    "a: !!binary aGk=\nb: !!set {x, y}\nc: !!omap [p: 1]\nd: !!str 12\n",
    "a: !custom b\n",
    "=: x\na: =\n",
    "1: a\ntrue: b\n1.0: c\n",
    "yes: a\nno: b\n~: c\n1: d\n",
    "a: [1, 2\n",
    "a: 99999999999999999999\nb: -0\nc: 0b11\nd: 1:30\ne: 0o17\nf: 08\n",
    "é: ü\n",
    "a:\n  - b\n a: c\n",
    "a: !!int x\n",
    "a: !!float 1\nb: !!bool maybe\n",
]


def _run(program: str, given: Any) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(given).encode(),
        stdout=subprocess.PIPE,
        check=True,
        env={**environment(), "PYTHONPATH": str(PROJECT)},
    )
    return json.loads(done.stdout)


def test_yaml_comes_out_as_salt_makes_it() -> None:
    sample = [p.read_text() for p in sorted((PROJECT / "pillar").rglob("*.sls"))]
    found = _run(_PROGRAM, [*_TEXTS, *sample])
    assert found["after"] == found["before"]
    assert any("Error" in text for text in found["before"])
    assert found["quick"] > 20
    assert found["is_one"]
    assert found["theirs"] == {"a": "a list of the branch's"}


_OTHERS = """
import copy, json
import jinja2
import salt.utils.jinja
from collections import OrderedDict
from salt.utils.optsdict import OptsDict
from saltbranch.compiler.inside import detours

gone = jinja2.StrictUndefined(name="gone")
loop = [1]
loop.append(loop)
deep = inner = []
for _ in range(3000):
    inner.append([])
    inner = inner[0]
values = [1, "x", None, [1, {"a": [gone]}], {"a": (1, gone)}, {gone.__class__: 1}, gone, loop, {1, 2},
          OrderedDict(a=gone), OrderedDict(a=1), (1, [2]), b"x", [gone, gone]]

def said(value):
    try:
        return repr(salt.utils.jinja._get_strict_undefined(value))
    except RecursionError:
        return "too deep"

def asked():
    return [*map(said, [*values, deep])]

def held():
    parent = OptsDict.from_dict({"a": 1, "b": {"c": 2}})
    child = OptsDict.from_parent(parent)
    child["d"] = 3
    del child["a"]
    other = OptsDict.from_parent(child)
    other["a"] = None
    return [(key in one) for one in (parent, child, other) for key in ("a", "b", "c", "d", "e")]

before = asked() + held()
real = salt.utils.jinja._get_strict_undefined
detours.leave_out()
print(json.dumps([before, asked() + held(), salt.utils.jinja._get_strict_undefined is not real]))
"""


def test_what_is_undefined_and_which_options_there_are_is_as_salt_says() -> None:
    before, after, is_changed = _run(_OTHERS, None)
    assert before == after
    assert is_changed
    assert {True, False} <= {item for item in before if isinstance(item, bool)}
    assert any("gone" in str(item) or "Undefined" in str(item) for item in before)
