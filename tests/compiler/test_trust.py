"""Code of a branch that lies: its answers are about its own tree and minion, whatever it does."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saltbranch.compiler import dispatcher, reads, sandbox
from saltbranch.compiler.cache import CompileCache
from saltbranch.compiler.model import Compiled, Minion
from tests.support import warm_salt
from tests.support.compiling import Lab, minion
from tests.support.remote import Content

pytestmark = pytest.mark.real_sandbox

PRIVATE = ("mk-of-", "another-minion")
CLEAN: dict[str, Content] = {
    "salt/top.sls": "base:\n  '*':\n    - common\n    - uses\n",
    "salt/common.sls": "{% from 'map.jinja' import word with context %}\n"
    "motd:\n  test.nop:\n    - name: {{ word }}\n",
    "salt/uses.sls": "shared:\n  file.managed:\n    - name: /etc/x\n    - source: salt://x\n",
    "salt/map.jinja": "{% import_yaml 'data.yaml' as data %}{% set word = data.word %}\n",
    "salt/data.yaml": "word: honest\n",
    "salt/x": "x\n",
    "pillar/top.sls": "base:\n  '*':\n    - all\n",
    "pillar/all.sls": "a: b\n",
}
EVIL_TOP = "base:\n  '*':\n    - common\n    - uses\n  'bad':\n    - evil\n"
# What every attack may use: the answer that it wishes for, and its sockets.
TOOLS = """#!py
import ctypes, glob, json, os, re, socket, stat, struct, sys, time
forged = {"minion": "bad", "result": "ok", "errors": [], "notes": [], "pillar": {},
          "chunks": [], "states_matched": True, "functions": [], "cpu": 0.0}
def sockets():
    for fd in range(3, 256):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                yield fd
        except OSError:
            pass
def answer(made={"keep": True}, **more):
    for fd in list(sockets())[:1]:  # the other one is for what it reads
        try:
            os.write(fd, b"r" + json.dumps({**forged, **more}).encode() + b"\\nm"
                     + json.dumps(made).encode() + b"\\n")
        except OSError:
            pass
def quietly(*path):  # reads a file without Python's hearing of it
    libc = ctypes.CDLL(None)
    fd = libc.open("/".join(path).encode(), 0)
    room = ctypes.create_string_buffer(65536)
    return room.raw[:libc.read(fd, room, 65536)]
def plant(text):
    for folder, folders, names in os.walk(__opts__['cachedir'] + '/..'):
        for name in names + folders:
            try:
                os.rename(os.path.join(folder, name), os.path.join(folder, name + '.old'))
            except OSError:
                pass
            try:
                open(os.path.join(folder, name), 'w').write(text)
            except OSError:
                pass
def run():
"""
ATTACKS = {
    "answers for itself": "    answer()\n    os._exit(0)\n",
    "tells to have read one file": "    for fd in list(sockets())[1:]:\n        os.write(fd, b'fsalt/top.sls\\0')\n"
    "    answer()\n    os._exit(0)\n",
    "takes back what it told": "    for fd in sockets():\n        s = socket.socket(fileno=os.dup(fd))\n"
    "        s.settimeout(0.1)\n        try:\n            s.recv(1 << 20)\n        except OSError:\n"
    "            pass\n        try:\n            s.shutdown(socket.SHUT_RDWR)\n"
    "        except OSError:\n            pass\n"
    "    for fd in sockets():\n        for how in ('r', 'w', 'r+'):\n            try:\n"
    "                open('/proc/self/fd/%d' % fd, how + 'b', buffering=0).read(1 << 20)\n"
    "            except OSError:\n                pass\n    answer()\n    os._exit(0)\n",
    "names another minion": "    answer(minion='m1')\n    os._exit(0)\n",
    "answers twice": "    answer()\n    answer(minion='m1')\n    return {}\n",
    "has more to say": "    answer()\n    for fd in sockets():\n        os.write(fd, b'x' * 100000)\n"
    "    os._exit(0)\n",
    "leads out of the tree": "    base = os.path.dirname(os.path.abspath(__import__('salt').__file__))\n"
    "    up = '/'.join(['..'] * 20)\n"
    "    answer({'keep': True, 'modules': ['salt.loaded.int.module.' + up + '/srv/salt/x',"
    " base + '/' + up + '/srv/salt/x.py'], 'templates': [['salt/../../../etc/passwd', '', ''],"
    " ['salt/x', '../x', '/etc/passwd']], 'patterns': ['*']},"
    " chunks=[{'key': 'x | a.b', 'sls': 'x', 'path': '../../etc/passwd', 'line': 1,"
    " 'arguments': {}, 'sources': ['../pillar/all.sls', '/etc/passwd']}])\n    os._exit(0)\n",
    "leaves files": "    plant('lie:\\n  test.nop: []\\n')\n    return {}\n",
    "leaves modules": "    for kind in ('modules', 'states', 'renderers', 'fileserver', 'grains'):\n"
    "        d = __opts__['cachedir'] + '/extmods/' + kind\n        os.makedirs(d, exist_ok=True)\n"
    "        for name in ('test', 'file', 'yaml', 'jinja', 'roots'):\n"
    "            open(d + '/' + name + '.py', 'w').write('def nop(*a, **k): return 1\\n"
    "def render(*a, **k): return {}\\n')\n    return {}\n",
    "rewrites what is served": "    d = __opts__['cachedir'] + '/files/test'\n"
    "    for n in os.listdir(d):\n        try:\n            os.unlink(d + '/' + n)\n"
    "            open(d + '/' + n, 'w').write('lie:\\n  test.nop: []\\n')\n"
    "        except OSError:\n            pass\n    return {}\n",
    "runs a data file": "    exec(open('/srv/salt/x.txt').read() if os.path.exists('/srv/salt') else"
    " open([p for d in ('/tmp', '/dev/shm') for p in"
    " glob.glob(d + '/saltbranch-scratch-compile-*/tree/salt/x.txt')][0]).read(), globals())\n",
    "reads quietly": "    quietly(__opts__['file_roots']['test'][1], 'x.txt')\n    answer()\n    os._exit(0)\n",
    "lies in Salt": "    import salt.state, salt.utils.yaml\n    salt.utils.yaml.load = lambda *a, **k: {}\n"
    "    salt.state.State.compile_high_data = lambda *a, **k: ([], [])\n    return {}\n",
    "stops the others": "    import signal\n    for name in os.listdir('/proc'):\n"
    "        if name.isdigit() and int(name) != os.getpid():\n            try:\n"
    "                os.kill(int(name), signal.SIGSTOP)\n            except OSError:\n"
    "                pass\n    return {}\n",
    "stays behind": "    if os.fork() == 0:\n        os.setsid()\n        if os.fork() == 0:\n"
    "            end = time.time() + 5\n            while time.time() < end:\n"
    "                plant('lie:\\n  test.nop: []\\n')\n                answer()\n"
    "        os._exit(0)\n    answer()\n    os._exit(0)\n",
}
# What becomes of these depends on which process is the first one of the sandbox.
OF_PROCESSES = ("stops the others", "stays behind")
MINIONS = ("m1", "bad", "m2", "m3")
HOW: dict[str, Any] = {"jobs": 2, "plain": False}


def fleet() -> list[Minion]:
    return [
        minion(name, pillar={"own": "".join((PRIVATE[0], name, *PRIVATE[1:]))}) for name in MINIONS
    ]


@pytest.fixture(params=["several", "one at a time"])
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With folders for every fork, and as it is where there is no right to have these."""
    name: str = request.param
    if name == "one at a time":
        alone = dataclasses.replace(sandbox.find(), are_forks_apart=False)
        monkeypatch.setattr(sandbox, "find", lambda: alone)
    return name


def plainly(results: Mapping[str, Compiled], but: str = "") -> dict[str, Any]:
    """What the results say, less what differs from run to run."""
    return {
        name: dataclasses.replace(result, cpu=0.0, rendering=0.0, cached=False)
        for name, result in results.items()
        if name != but
    }


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@dataclasses.dataclass(frozen=True)
class Honest:
    """What is before any attack: a repository, what its two commits compile to, and a cache that knows the first."""

    lab: Lab
    commits: tuple[str, str]
    fresh: dict[str, dict[str, Any]]

    def copy(self, folder: Path) -> Lab:
        """One to attack, whose cache is in `folder`/cache."""
        shutil.copytree(self.lab.folder / "cache", folder / "cache")
        return self.lab.copy(folder)


@pytest.fixture(scope="module")
def honest_ones() -> dict[str, Honest]:
    """By mode, as they are made."""
    return {}


@pytest.fixture
def honest(
    mode: str, honest_ones: dict[str, Honest], tmp_path_factory: pytest.TempPathFactory
) -> Honest:
    """Compiled once for all attacks: the same steps give the same hashes."""
    if mode not in honest_ones:
        folder = tmp_path_factory.mktemp("honest")
        lab = Lab(folder, {**CLEAN, "salt/top.sls": EVIL_TOP, "salt/evil.sls": "{}\n"})
        lab.frame = dataclasses.replace(lab.frame, seconds=6)
        clean = lab.remote.head("master")
        next_one = lab.commit({"salt/uses.sls": "bomb:\n  cmd.run:\n    - name: rm -rf /\n"})
        lab.remote.set_branch("evil", clean)
        made = Honest(lab, (clean, next_one), {})
        key = CompileCache(str(folder / "cache")).key()
        for commit in made.commits:
            cache = CompileCache(None)
            cache._key = key
            with warm_salt.used():
                made.fresh[commit] = plainly(lab.compile(fleet(), commit, cache=cache, **HOW))
        with warm_salt.used():
            lab.compile(fleet(), clean, cache=CompileCache(str(folder / "cache")), **HOW)
        honest_ones[mode] = made
    return honest_ones[mode]


@pytest.mark.parametrize("name", ATTACKS)
def test_a_lie_is_about_its_own_tree_and_minion_only(
    tmp_path: Path, honest: Honest, mode: str, name: str
) -> None:
    lab = honest.copy(tmp_path)
    fresh, how = honest.fresh, HOW
    clean = honest.commits[0]
    lie = "answer()\nos._exit(0)\n"
    evil = lab.remote.commit("evil", {"salt/evil.sls": TOOLS + ATTACKS[name], "salt/x.txt": lie})
    folder = tmp_path / "cache"
    before = files_of(folder)
    assert before
    # Twice: once it is the first to answer, once others were before it. How the worker was started is asked once.
    for is_first in (True, False):
        is_cold = name in OF_PROCESSES or (is_first and mode == "several")
        with warm_salt.used(not is_cold):
            lied = lab.compile(fleet(), evil, cache=CompileCache(str(folder)), **how)
        assert plainly(lied, but="bad") == {k: v for k, v in fresh[clean].items() if k != "bad"}
    after = files_of(folder)
    assert {path: after[path] for path in before} == before
    with warm_salt.used():
        for commit in honest.commits:
            got = plainly(lab.compile(fleet(), commit, cache=CompileCache(str(folder)), **how))
            assert got == fresh[commit]
        # Nor is it believed where the lying file is another one, or is gone.
        other = lab.remote.commit("evil", {"salt/evil.sls": "fine:\n  test.nop: []\n"})
        found = lab.compile(fleet(), other, cache=CompileCache(str(folder)), **how)["bad"]
    [chunk] = [c for c in found.chunks if c.key.startswith("fine")]
    assert chunk.path == "salt/evil.sls"
    assert all(not c.path.startswith(("/", "..")) for r in lied.values() for c in r.chunks)


RENDERED = "{{ salt['slsutil.renderer'](opts.file_roots.test[1] ~ '/code.txt') }}\n"
WAYS_IN = {
    "a module": {
        "salt/_modules/mine.py": "import os, json\ndef f():\n    LIE\n",
        "salt/evil.sls": "x:\n  test.nop:\n    - v: {{ salt['mine.f']() }}\n",
    },
    "a renderer": {
        "salt/_renderers/mine.py": "import os, json\ndef render(data, saltenv='', sls='', **kw):\n    LIE\n",
        "salt/evil.sls": "#!mine\nx: y\n",
    },
    "a text": {
        "salt/evil.sls": RENDERED,
        "salt/code.txt": "#!py\nimport os, json\ndef run():\n    LIE\n",
    },
    "the top file": {
        "salt/top.sls": RENDERED,
        "salt/code.txt": "#!py\nimport os, json\ndef run():\n    LIE\n",
    },
    "the pillar": {
        "pillar/all.sls": "#!py\nimport os, json\ndef run():\n    LIE\n",
    },
    "compiled Python": {
        "salt/evil.sls": "#!py\nimport sys, os\ndef run():\n"
        "    sys.path.insert(0, __opts__['file_roots']['test'][1])\n    import lying\n    return {}\n",
        "salt/lying.py": "import os, json\nLIE\n",
    },
}  # fmt: skip
LIE = (
    "import stat; fds = [n for n in range(3, 64) if os.path.exists('/proc/self/fd/%d' % n)"
    " and stat.S_ISSOCK(os.stat('/proc/self/fd/%d' % n).st_mode)];"
    " os.write(fds[0], b'r' + json.dumps({'minion': 'bad', 'result': 'ok', 'states_matched': True})"
    ".encode() + b'\\nm{\"keep\": true}\\n'); os._exit(0)"
)


@pytest.mark.parametrize("name", WAYS_IN)
def test_a_result_counts_for_trees_with_the_file_that_lied(tmp_path: Path, name: str) -> None:
    ways: Mapping[str, str] = WAYS_IN[name]
    honest = {"salt/top.sls": EVIL_TOP, "salt/evil.sls": "fine:\n  test.nop: []\n"}
    lab = Lab(tmp_path, {**CLEAN, **honest})
    clean = lab.remote.head("master")
    lab.remote.set_branch("evil", clean)
    evil = lab.remote.commit("evil", {k: v.replace("LIE", LIE) for k, v in ways.items()})
    cache = CompileCache(str(tmp_path / "cache"))
    how: dict[str, Any] = {"plain": False, "cache": cache}
    lied = lab.compile(fleet(), evil, **how)["bad"]
    assert lied.result == "ok" and lied.chunks == (), lied.errors
    # It may count for what holds all that lied ...
    beside = lab.remote.commit("evil", {"README": "x\n"})
    with warm_salt.used():
        again = lab.compile(fleet(), beside, **how)["bad"]
    assert again.chunks == () and again.cached
    # ... and for nothing that lacks some of it.
    with warm_salt.used():
        found = lab.compile(fleet(), clean, **how)["bad"]
        assert [c.key for c in found.chunks][-1] == "fine | test.nop"
        for path, text in ways.items():
            harmless = text.replace("LIE", "return {}" if "def " in text else "pass")
            if harmless != text:
                lab.remote.set_branch("fixed", beside)
                fixed = lab.remote.commit("fixed", {path: harmless})
                assert not lab.compile(fleet(), fixed, **how)["bad"].cached


LOOKS = (
    TOOLS
    + """    import hashlib
    seen, keys = set(), 0
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
    with open('/proc/self/mem', 'rb', buffering=0) as memory:
        for line in open('/proc/self/maps'):
            begin, end = (int(x, 16) for x in line.split()[0].split('-'))
            if 'r' not in line.split()[1] or end - begin > 1 << 30 or 'vv' in line:
                continue
            try:
                memory.seek(begin)
                data = memory.read(end - begin)
            except (OSError, ValueError, OverflowError):
                continue
            # The words as such must not stand in here: they would be found.
            seen.update(m[1].decode() for m in re.finditer(rb'mk-of-(\\w{1,6}?)another-minion', data))
            for found in re.finditer(rb'(?=([0-9a-f]{64}))', data):
                keys += hashlib.sha256(found[1]).hexdigest() == 'KEY'
    looked = []
    me = os.getpid()
    for pid in [p for p in os.listdir('/proc') if p.isdigit() and int(p) != me]:
        for what in ('mem', 'environ', 'fd/0', 'fd/3', 'maps', 'root/etc', 'cwd/', 'ns/mnt'):
            try:
                fd = os.open('/proc/%s/%s' % (pid, what), os.O_RDONLY)
                if what != 'maps' or os.read(fd, 10):
                    looked.append('%s of %s' % (what, pid))
            except OSError:
                pass
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.ptrace(16, int(pid), 0, 0) == 0:
            looked.append('ptrace of ' + pid)
        gate = libc.syscall(434, int(pid), 0)
        if gate >= 0 and libc.syscall(438, gate, 3, 0) >= 0:
            looked.append('descriptor of ' + pid)
    jobs = [p for p in ('/srv/.job',) if os.path.exists(p)]
    raise ValueError('seen %s keys %s looked %s jobs %s' % (sorted(seen), keys, looked, jobs))
"""
)


def test_a_fork_knows_nothing_of_the_others_and_looks_into_nobody(
    tmp_path: Path, mode: str
) -> None:
    files = {**CLEAN, "salt/top.sls": EVIL_TOP}
    lab = Lab(tmp_path, files)
    cache = CompileCache(None)
    digest = hashlib.sha256(cache.key().encode()).hexdigest()
    lab.commit({"salt/evil.sls": LOOKS.replace("KEY", digest)})
    # It comes late and early; the others are at work beside it.
    [first, *others] = fleet()
    for order in ([first, *others], [*others, first]):
        results = lab.compile(order, jobs=3, cache=cache, plain=False)
        [error] = results["bad"].errors
        # What it looks for it does find: its own.
        assert "seen ['bad'] keys 0 looked [] jobs []" in error
        assert {r.result for n, r in results.items() if n != "bad"} == {"ok"}


BOMBS = {
    "constant": "{% set x = 'x' * 9999999999 %}",
    "power": "{% set x = 9 ** 9 ** 9 ** 9 %}",
    "filter": "{% set x = '/etc/passwd' | file_hashsum %}{{ 'a' | no_such_filter }}",
    "depth": "{{ " + "(" * 2000 + "1" + ")" * 2000 + " }}",
    "large": "{# " + "x" * 200_000 + " #}",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_template_that_is_hard_to_compile_costs_its_own_minion(tmp_path: Path, name: str) -> None:
    lab = Lab(tmp_path, {**CLEAN, "salt/top.sls": EVIL_TOP, "salt/evil.sls": BOMBS[name] + "\n"})
    lab.frame = dataclasses.replace(lab.frame, memory=600, seconds=8)
    who = [minion(n) for n in ("bad", "m1", "m2", "m3")]
    results = lab.compile(who, jobs=1, plain=False)
    assert {r.result for n, r in results.items() if n != "bad"} == {"ok"}


@given(st.binary(max_size=200))
def test_what_is_told_to_be_read_is_below_the_folders_or_nothing_is(told: bytes) -> None:
    found = reads.reads_of(told, ("salt", "pillar"), set())
    if found is not None:
        names = [*found.files, *found.listings, *(folder for folder, _ in found.globs)]
        for name in names:
            assert os.path.normpath(name) == name and name.split("/")[0] in ("salt", "pillar")


@pytest.mark.parametrize(
    "told",
    [
        b"fsalt/../x\0",
        b"f/etc/x\0",
        b"fsalt//x\0",
        b"xsalt/x\0",
        b"fsalt/x",
        b"fsaltx\0",
        b"lsalt/\0",
    ],
)
def test_what_is_no_path_of_the_tree_makes_a_result_that_is_not_kept(told: bytes) -> None:
    assert reads.reads_of(b"fsalt/a\0" + told, ("salt", "pillar"), set()) is None


def test_keys_for_minions_are_their_own() -> None:
    key = CompileCache(None).key()
    keys = {dispatcher.derived(key, "test", name) for name in ("m1", "m2")} | {
        dispatcher.derived(key, "m1", "test")
    }
    assert len(keys) == 3 and key not in keys
    assert json.loads(json.dumps(sorted(keys))) == sorted(keys)
