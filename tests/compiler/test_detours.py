"""What is made in a shorter way is what Salt makes of the same."""

from __future__ import annotations

import functools
import importlib
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from saltbranch.compiler.inside import describe
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
SaltYamlSafeLoader.add_constructor("!mine", lambda self, node: f"by its path, {node.value}")
SaltYamlSafeLoader.add_path_resolver("!mine", ["a"])
by_path = yaml.load("a: x\\nb: x\\nc: {a: x}", Loader=SaltYamlSafeLoader)
json.dump({"before": before, "after": after, "quick": len(quick), "is_one": both["a"] is both["b"],
           "theirs": theirs, "by_path": by_path}, sys.stdout)
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
    assert found["by_path"] == {"a": "by its path, x", "b": "x", "c": {"a": "x"}}


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


_COPIES = """
import copy, functools, importlib, inspect, json, pkgutil, sys
from collections import OrderedDict
import salt.loader.lazy, salt.modules, salt.states, salt.utils.jinja
from salt.utils.optsdict import OptsDict
from saltbranch.compiler.inside import detours

class Own:
    def __init__(self, held):
        self.held = held

twice = [1, {"a": [2]}]
loop = {"a": [1]}
loop["self"] = loop
values = [1, "x", twice, [twice, twice, {"b": twice}], OrderedDict(b=1, a=[2]), {1: (2, [3])}, loop, {1, 2}, b"x"]
detours.leave_out()
copied = salt.loader.lazy.copy.deepcopy
heard = []
sys.addaudithook(lambda event, args: heard.append(event) if event == "builtins.id" else None)
made = [copied(value) for value in values[:5]]
ids = len(heard)
made += [copied(value) for value in values[5:]]
same = [repr(one) == repr(copy.deepcopy(value)) for one, value in zip(made, values)]
shared = made[3][0] is made[3][1] is made[3][2]["b"] and made[3][0] is not twice
mixed = copied([twice, Own(twice), twice])
kept = mixed[0] is mixed[1].held is mixed[2] and mixed[0] is not twice
looped = made[6]["self"] is made[6]

def taken(module, names):
    kinds = (functools.partial,)
    found = ((n, getattr(module, n)) for n in names if not n.startswith("_"))
    return [n for n, value in found if inspect.isfunction(value) or isinstance(value, kinds)]

other, looked = [], 0
for package in (salt.modules, salt.states):
    for found in pkgutil.iter_modules(package.__path__):
        if found.name[0] in "acfpst":
            try:
                module = importlib.import_module(f"{package.__name__}.{found.name}")
            except Exception:
                continue
            looked += 1
            if taken(module, dir(module)) != taken(module, detours._public_functions(module)):
                other.append(module.__name__)

opts = OptsDict.from_dict({"a": {"b": 1}}, track_mutations=True)
child = OptsDict.from_parent(opts)
child["a"] = {"b": 2}
told = sorted(opts.get_mutation_report()) if hasattr(opts, "get_mutation_report") else None
quiet = OptsDict.from_parent(OptsDict.from_dict({"a": {"b": 1}}))
first = quiet["a"]
is_kept = quiet["a"] is first
quiet["a"] = {"b": 2}
print(json.dumps({"ids": ids, "same": same, "shared": shared, "kept": kept, "looped": looped, "other": other,
                  "looked": looked, "tracked": bool(opts._tracker._mutations), "is_kept": is_kept,
                  "set": [dict(quiet["a"]), dict(child["a"])]}))
"""


def test_copies_options_and_functions_are_those_that_salt_has() -> None:
    found = _run(_COPIES, None)
    assert found["ids"] == 0  # each would be an audit event
    assert all(found["same"])
    assert found["shared"] and found["kept"] and found["looped"]
    assert found["looked"] > 100
    assert found["other"] == []
    assert found["tracked"] and found["is_kept"]
    assert found["set"] == [{"b": 2}, {"b": 2}]


@pytest.mark.parametrize(
    "word",
    [
        "a",
        "{{ x }}",
        "a-{{ x }}-b",
        "{{ x }}{{ y }}",
        "a{{ x }}a",
        "/e/{{ x }}/f/{{ y }}.conf",
        "{% if x %}a{% endif %}b",
    ],
)
def test_an_id_fits_the_word_that_made_it_as_an_expression_says(word: str) -> None:
    parts = describe._TEMPLATE.split(word)
    expression = re.compile(".*".join(map(re.escape, parts)))
    pieces = ("a", "-", "b", "a-x-b", "aa", "/e/", "/f/", ".conf", "/e/1/f/2.conf", "\n", "")
    texts = {"".join(some) for n in range(4) for some in itertools.product(pieces, repeat=n)}
    assert len(texts) > 500
    for text in texts:
        assert describe._fits(parts, text) == bool(expression.fullmatch(text)), text


_BEGINNINGS = """
import json, sys
import salt.config, salt.fileserver, salt.loader
import salt.fileserver.roots as roots
from saltbranch.compiler.inside import worker
worker.have_a_name()
from saltbranch.compiler.inside import shortcuts

folder = json.load(sys.stdin)
opts = {**salt.config.DEFAULT_MINION_OPTS, "cachedir": folder, "extension_modules": f"{folder}/none",
        "fileserver_backend": ["roots"], "file_roots": {"base": [folder]}}
shortcuts.install()
salt.fileserver.Fileserver(opts).init()
loaded = [name for name in sys.modules if ".fileserver." in name]
branch = salt.fileserver.Fileserver({**opts, "module_dirs": [folder]})
branch.init()
print(json.dumps({"loaded": loaded, "git": "git" in sys.modules, "has": hasattr(roots, "init")}))
"""


def test_no_file_server_is_loaded_in_search_of_what_none_has(tmp_path: Path) -> None:
    own = tmp_path / "_fileserver" / "other.py"
    own.parent.mkdir()
    own.write_text(
        "__virtualname__ = 'roots'\n\ndef __virtual__():\n    return __virtualname__\n\n"
        "def init():\n    open(__file__ + '.began', 'w').close()\n"
    )
    found = _run(_BEGINNINGS, str(tmp_path))
    assert not found["has"]
    assert not [name for name in found["loaded"] if "gitfs" in name]
    assert (own.parent / "other.py.began").exists()  # a branch's own may begin


def test_what_a_function_takes_is_what_salt_says() -> None:
    args, detours = (
        importlib.import_module(name)
        for name in ("salt.utils.args", "saltbranch.compiler.inside.detours")
    )
    slowly = args.get_function_argspec
    quickly = detours._signatures(slowly)

    def plain(a: int, b: int = 1, *rest: int, **more: int) -> None: ...
    def by_name(a: int, *, b: int = 1) -> None: ...

    class Callable:
        def __call__(self, a: int) -> None: ...

    wrapped = functools.wraps(plain)(lambda *_args: None)
    for function in (plain, by_name, wrapped, functools.partial(plain, 1), Callable().__call__):
        assert quickly(function) == quickly(function) == slowly(function)
    assert quickly(plain, True) == slowly(plain, True) != quickly(plain)  # noqa: FBT003
    quickly(plain).args.clear()
    assert quickly(plain).args == ["a", "b"]
    plain.__defaults__ = (2,)
    assert quickly(plain).defaults == (2,)
    with pytest.raises(TypeError):
        quickly(1)
