"""Templates of managed files, and forks, that lie or harm: what is said of other minions and trees stays true."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from saltbranch.compiler.cache import CompileCache
from tests.compiler.test_trust import CLEAN, HOW, TOOLS, Honest, files_of, fleet, plainly
from tests.support import warm_salt
from tests.support.compiling import Lab
from tests.support.remote import Content

pytestmark = pytest.mark.real_sandbox

STATES: dict[str, Content] = {
    "salt/top.sls": "base:\n  '*':\n    - common\n    - uses\n  'bad':\n    - own\n",
    "salt/own.sls": "own:\n  file.managed:\n    - name: /etc/own\n    - source: salt://own.txt\n"
    "    - template: py\n",
    "salt/own.txt": "def run():\n    return 'fine'\n",
    "salt/uses.sls": "shared:\n  file.managed:\n    - name: /etc/x\n    - source: salt://x\n    - template: jinja\n",
    "salt/x": "{% import_yaml 'data.yaml' as d %}"
    "{% from 'map.jinja' import word %}{{ d.word }} {{ word }} {{ grains.id }}\n",
}
# Limits of the worker and of the forks beside: they can be stopped, but never made to say something.
LIMITS = """    import resource
    for pid in [int(p) for p in os.listdir('/proc') if p.isdigit() and int(p) != os.getpid()]:
        for what in (resource.RLIMIT_CPU, resource.RLIMIT_NOFILE, resource.RLIMIT_AS, resource.RLIMIT_NPROC):
            try:
                resource.prlimit(pid, what, (0, 0))
            except (OSError, ValueError):
                pass
    return 'x'
"""
FILES = {
    "answers for itself": "    answer()\n    os._exit(0)\n",
    "answers twice": "    answer()\n    answer(minion='m1')\n    return 'x'\n",
    "lies in Salt and Jinja": "    import jinja2, salt.utils.templates as t, salt.utils.yaml\n"
    "    jinja2.Environment.from_string = lambda *a, **k: None\n"
    "    t.TEMPLATE_REGISTRY['jinja'] = lambda *a, **k: {'result': True, 'data': 'lie'}\n    return 'x'\n",
    "leaves files": "    plant('lie')\n    return 'x'\n",
    "names templates": "    answer({'keep': True, 'modules': ['salt.loaded.int.module.x'], 'patterns': ['*'],"
    " 'templates': [['salt/own.txt', '', ''], ['salt/x', 'x', 'x'], ['../x', '', '']]})\n    os._exit(0)\n",
    "fills the answer": "    for fd in list(sockets())[:1]:\n        while True:\n"
    "            os.write(fd, b'r' + b'x' * (1 << 20) + b'\\n')\n",
    "tells for ever": "    for fd in list(sockets())[1:]:\n        while True:\n"
    "            os.write(fd, b'fsalt/x\\0' * 100)\n",
    "never ends": "    while True:\n        time.sleep(1)\n",
    "forges a whole file": "    answer(chunks=[{'key': 'shared | file.managed', 'sls': 'uses',"
    " 'path': '../../x', 'line': 1, 'arguments': {}, 'template': 'P',"
    " 'content': [{'source': '../x', 'digest': 'y', 'lines': ['lie']}]}])\n    os._exit(0)\n",
    "takes the tracker away": "    import gc\n    for o in gc.get_objects():\n"
    "        if type(o).__name__ == 'Tracker':\n            o.active = False\n            o.told.clear()\n"
    "    return open(__opts__['file_roots']['test'][1] + '/data.yaml').read()\n",
    "limits of others": LIMITS,
}  # fmt: skip
MAY_STOP_OTHERS = ("limits of others",)


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Honest:
    """Compiled once for all lies, with a cache that knows it."""
    folder = tmp_path_factory.mktemp("honest")
    lab = Lab(folder, {**CLEAN, **STATES})
    lab.frame = dataclasses.replace(lab.frame, seconds=6, content=True)
    clean = lab.remote.head("master")
    lab.remote.set_branch("evil", clean)
    cache = CompileCache(None)
    cache._key = CompileCache(str(folder / "cache")).key()
    with warm_salt.used():
        fresh = plainly(lab.compile(fleet(), clean, cache=cache, **HOW))
        lab.compile(fleet(), clean, cache=CompileCache(str(folder / "cache")), **HOW)
    assert all(r.result == "ok" for r in fresh.values())
    assert {len(c.content) for r in fresh.values() for c in r.chunks if "file." in c.key} == {1}
    return Honest(lab, (clean, clean), {clean: fresh})


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_lies_does_so_of_its_own_minion_and_tree(
    tmp_path: Path, honest: Honest, name: str
) -> None:
    lab = honest.copy(tmp_path)
    clean, folder, how = honest.commits[0], tmp_path / "cache", HOW
    fresh = honest.fresh[clean]
    evil = lab.remote.commit("evil", {"salt/own.txt": TOOLS.partition("\n")[2] + FILES[name]})
    before = files_of(folder)
    lied = lab.compile(fleet(), evil, cache=CompileCache(str(folder)), **how)
    for who, result in plainly(lied, but="bad").items():
        if name in MAY_STOP_OTHERS and result.result == "failed":
            assert result.errors and result.minion == who and not result.chunks
        else:
            assert result == fresh[who]
    assert all(not c.path.startswith(("/", "..")) for r in lied.values() for c in r.chunks)
    after = files_of(folder)
    assert {path: after[path] for path in before} == before
    with warm_salt.used():
        told = plainly(lab.compile(fleet(), clean, cache=CompileCache(str(folder)), **how))
    assert told == fresh
    # A tree that lacks the lie, and one where only what it read differs.
    mended = lab.remote.commit("evil", {"salt/own.txt": "def run():\n    return 'fine'\n"})
    with warm_salt.used():
        found = plainly(lab.compile(fleet(), mended, cache=CompileCache(str(folder)), **how))
    assert found == fresh
    again = lab.remote.commit(
        "evil",
        {"salt/own.txt": TOOLS.partition("\n")[2] + FILES[name], "salt/data.yaml": "word: z\n"},
    )
    with warm_salt.used(name != "limits of others"):
        found = lab.compile(fleet()[1:2], again, cache=CompileCache(str(folder)), **how)
    assert not found["bad"].cached
