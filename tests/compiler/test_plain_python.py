"""Which Python can do no more than compute and read files aloud; whoever names a module otherwise may do anything."""

from __future__ import annotations

import dis
import sysconfig
from pathlib import Path

import pytest

from saltbranch.compiler.inside import plain_python
from saltbranch.compiler.inside.plain_python import is_plain

PLAIN = {
    "functions": "import logging, re, json\nlog = logging.getLogger(__name__)\n_X = re.compile('x')\n"
    "def _f(x):\n    return x.get('a', 1)\n"
    "def g():\n    try:\n        return __salt__['pillar.get']('a') + _f({})\n"
    "    except KeyError as e:\n        log.debug('x %s', e)\n"
    "    return [json.dumps(i) for i in sorted(__grains__.items())]\n",
    "sls": "def run():\n    return {'x': {'test.nop': []}}\n",
    "virtual": "__virtualname__ = 'x'\ndef __virtual__():\n    return __virtualname__\n",
    "paths": "import os\nimport os.path\ndef f(a):\n    return os.path.isfile(os.path.join(a, 'x')), os.listdir(a)\n",
    "Salt's": "from collections import OrderedDict\nimport salt.utils.files\nfrom salt.exceptions import "
    "CommandExecutionError\ndef f():\n    with salt.utils.files.fopen('/x') as h:\n"
    "        return h.read(), OrderedDict()\n",
    "classes": "class A:\n    def __init__(self, x):\n        self.thing = x\n"
    "    def m(self):\n        return self.thing\ndef f():\n    return A(1).m()\n",
}
OTHER = {
    "a module is returned": "import os\ndef f():\n    return os\n",
    "a module of a module": "import os\ndef f():\n    return os.path\n",
    "an alias": "import os\nx = os\n",
    "an alias at once": "import os as o\no.x\n",
    "an inner alias": "import os.path as q\nq\n",
    "from": "from os import path\n",
    "another function": "import os\ndef f():\n    return os.scandir('.')\n",
    "another module": "from posix import stat\n",
    "in a function": "def f():\n    import os\n    return os\n",
    "in a class": "class A:\n    import os\n",
    "a default": "import os\nf = lambda a=os: a\n",
    "in a text": "import os\ndef f():\n    return f'{os}'\n",
    "a list": "import os\n[os for x in 'a']\n",
    "walrus": "import os\n(y := os)\n",
    "all names": "from os import *\nscandir = 1\n",
    "getattr": "x = getattr\n",
    "getattr with a name of its own": "if x:\n    getattr = 1\ndef f():\n    return getattr\n",
    "type": "x = type('A', (), {'__reduce_ex__': 1})\n",
    "a class": "x = ''.__class__\n",
    "a mistake's object": "def f(e):\n    return e.obj\n",
    "a mistake's object with a name of its own": "class A:\n    obj = 1\ndef f(e):\n    return e.obj\n",
    "a mistake about a module": "import os\nos.append\n",
    "reduce": "class A:\n    def __reduce_ex__(self, x):\n        pass\n",
    "match": "def f(x):\n    match x:\n        case object(scandir=y):\n            return y\n",
    "a patch": "import os\nos.path.normpath = 1\n",
    "deleting": "import os\ndel os.path\n",
    "wraps": "import functools\nfunctools.wraps\n",
    "builtins": "__builtins__['x']\n",
    "builtins of its own": "__builtins__ = 1\n__builtins__['x']\n",
    "frames": "def f(g):\n    return g.gi_frame\n",
    "loader": "__loader__.x\n",
    "globals": "def f():\n    return globals()\n",
    "exec": "exec('1')\n",
}


@pytest.mark.parametrize("name", PLAIN)
def test_ordinary_code_is_plain(name: str) -> None:
    assert is_plain(compile(PLAIN[name], "x", "exec"))


@pytest.mark.parametrize("name", OTHER)
def test_what_reaches_more_is_not(name: str) -> None:
    assert not is_plain(compile(OTHER[name], "x", "exec"))


def test_instructions_are_read_as_python_reads_them() -> None:
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:40]:
        text = path.read_text(encoding="utf-8", errors="replace")
        for code in plain_python._all(compile(text, str(path), "exec")):
            named = [
                (i.opname, i.argval) for i in dis.get_instructions(code) if i.opcode in dis.hasname
            ]
            try:
                assert [step for step in plain_python._steps(code) if step[0]] == named
            except plain_python._Other:  # it has a `case` with a class
                continue
