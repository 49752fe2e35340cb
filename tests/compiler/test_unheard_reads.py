"""What reads a file so that nobody hears which one: its result is not believed of trees with another file."""

from __future__ import annotations

import dataclasses
import importlib.util
import marshal
from pathlib import Path
from typing import Any

import certifi
import pytest

from saltbranch.compiler import sandbox
from saltbranch.compiler.cache import CompileCache
from tests.support.compiling import Lab, minion
from tests.support.remote import Content

# Each makes `text` of the file x.txt in `states`, or tells another file's name or size.
WAYS = {
    "of a descriptor": "fd = os.open(states, os.O_RDONLY)\n"
    "text = os.read(os.open('x.txt', os.O_RDONLY, dir_fd=fd), 99).decode()",
    "of the working directory's": "os.chdir(states)\n"
    "text = os.read(os.open('x.txt', os.O_RDONLY), 99).decode()",
    "fwalk": "text = next(os.read(os.open('x.txt', 0, dir_fd=fd), 99).decode()"
    " for _, _, names, fd in os.fwalk(states) if 'x.txt' in names)",
    "listing of a descriptor": "fd = os.open(states + '/names', os.O_RDONLY)\ntext = os.listdir(fd)[0]",
    "scan of a descriptor": "fd = os.open(states + '/names', os.O_RDONLY)\n"
    "text = [e.name for e in os.scandir(fd)][0]",
    "listing of the working directory": "os.chdir(states + '/names')\ntext = os.listdir()[0]",
    "size by a descriptor": "fd = os.open(states, os.O_RDONLY)\n"
    "text = str(os.stat('x.txt', dir_fd=fd).st_size)",
    "root": "text = open('/proc/self/root' + states + '/x.txt').read()",
    "working directory": "os.chdir(states)\ntext = open('/proc/self/cwd/x.txt').read()",
    "descriptor's path": "fd = os.open(states, os.O_RDONLY)\n"
    "text = open('/proc/self/fd/%d/x.txt' % fd).read()",
    "two slashes": "text = open('/' + states + '/x.txt').read()",
    "a link elsewhere": "os.symlink(states, __opts__['cachedir'] + '/alias')\n"
    "text = open(__opts__['cachedir'] + '/alias/x.txt').read()",
    "database": "import sqlite3\n"
    "db = sqlite3.connect('file:' + states + '/x.txt?mode=ro&immutable=1', uri=True)\n"
    "try:\n    db.execute('select * from sqlite_master')\n    text = 'a database'\n"
    "except sqlite3.DatabaseError as err:\n    text = str(err)",
    "certificates": "import ssl\ncontext = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)\n"
    "try:\n    context.load_verify_locations(states + '/x.txt')\n    text = 'fine'\n"
    "except ssl.SSLError as err:\n    text = 'none'",
    "another program": "import multiprocessing.util as u, sys\nr, w = os.pipe()\n"
    "u.spawnv_passfds(sys.executable.encode(), [b'python', b'-c', "
    "b'import os,sys;os.write(%d, open(sys.argv[1]).read().encode())' % w, states.encode() + b'/x.txt'], [w])\n"
    "os.close(w)\ntext = os.read(r, 99).decode()",
}  # fmt: skip
# The same where no name of a file differs, and Python says nothing of it.
SILENT_WAYS = {
    "size of an entry": "text = [str(e.stat().st_size) for e in os.scandir(states) if e.name == 'x.txt'][0]",
    "posix": "import posix\ntext = str(posix.stat(states + '/x.txt').st_size)",
    "what the functions hide": "real = os.stat.__closure__[0].cell_contents\n"
    "real = [c.cell_contents for c in os.stat.__closure__ if type(c.cell_contents) is type(len)][0]\n"
    "text = str(real(states + '/x.txt').st_size)",
    "by names put together": "text = str(getattr(__import__('po' 'six'), 'st' + 'at')(states + '/x.txt').st_size)",
    "path's": "import pathlib\ntext = str([e for e in next(iter([os.scandir(states)])) if e.name == 'x.txt'][0]"
    ".stat().st_size)",
}
MODULES = {
    "a module": {
        "salt/_modules/mine.py": "import os\ndef f(d):\n"
        "    return [e.stat().st_size for e in os.scandir(d) if e.name == 'x.txt'][0]\n",
        "salt/a.sls": "says:\n  test.nop:\n    - text: {{ salt['mine.f'](opts.file_roots.test[1]) }}\n",
    },
    "a module given away": {
        "salt/_modules/mine.py": "import os\ndef f():\n    return os\n",
        "salt/a.sls": "{% for e in salt['mine.f']().scandir(opts.file_roots.test[1]) if e.name == 'x.txt' %}\n"
        "says:\n  test.nop:\n    - text: {{ e.stat().st_size }}\n{% endfor %}\n",
    },
    "a mistake that holds a module": {
        "salt/_modules/mine.py": "import os\ndef f():\n    try:\n        os.nothing\n"
        "    except AttributeError as err:\n        return err\n",
        "salt/a.sls": "{% for e in salt['mine.f']().obj.scandir(opts.file_roots.test[1]) if e.name == 'x.txt' %}\n"
        "says:\n  test.nop:\n    - text: {{ e.stat().st_size }}\n{% endfor %}\n",
    },
    "a renderer": {
        "salt/_renderers/mine.py": "import posix\ndef render(data, saltenv='', sls='', **kw):\n"
        "    return {'says': {'test.nop': [{'text': posix.stat(__opts__['file_roots']['test'][1]"
        " + '/x.txt').st_size}]}}\n",
        "salt/a.sls": "#!mine\nx: y\n",
    },
    "objects": {
        "salt/a.sls": "#!pyobjects\nimport posix\n"
        "Test.nop('says', text=posix.stat(__opts__['file_roots']['test'][1] + '/x.txt').st_size)\n",
    },
}  # fmt: skip
SLS = """#!py
import os
def run():
    states = __opts__['file_roots']['test'][1]
    text = ''
    try:
        DO
    except OSError as err:
        text = str(err.errno)
    return {'says': {'test.nop': [{'text': text}]}}
"""
OBJECTS = """#!pyobjects
import os
fd = os.open(__opts__['file_roots']['test'][1], os.O_RDONLY)
Test.nop('says', text=os.read(os.open('x.txt', os.O_RDONLY, dir_fd=fd), 99).decode())
"""
LIE = "TRACKER.tried.clear(); TRACKER.told.clear()"
# The data is code, which makes everybody in here forget that it was read.
CODE = """#!py
import os
def run():
    from saltbranch.compiler.inside.current_minion import HOST
    fd = os.open(__opts__['file_roots']['test'][1], os.O_RDONLY)
    code = os.read(os.open('x.txt', os.O_RDONLY, dir_fd=fd), 999)
    found = {'TRACKER': HOST.tracker}
    exec(code, found)
    return {'says': {'test.nop': [{'text': found['text']}]}}
"""
TOP = "base:\n  '*':\n    - a\n"


def files(sls: str, text: str, name: str) -> dict[str, Content]:
    return {
        "salt/top.sls": TOP,
        "salt/a.sls": sls,
        "salt/x.txt": text,
        f"salt/names/{name}": "x\n",
    }


def changed(lab: Lab, first: dict[str, Content], second: dict[str, Content]) -> list[Any]:
    """What is said of one tree, of the next when the first one's is kept, and of it afresh."""
    cache = CompileCache(str(lab.folder / "cache"))
    found = []
    before = lab.commit(first)
    after = lab.commit({**dict.fromkeys(first), **second})
    for commit, kept in ((before, cache), (after, cache), (after, CompileCache(None))):
        kept._key = cache.key()
        found.append(lab.compile([minion("m1")], commit, plain=False, cache=kept)["m1"])
    return found


def said(result: Any) -> Any:
    assert result.errors == (), result.errors
    return result.chunks[0].arguments


@pytest.mark.parametrize("way", WAYS)
def test_a_file_that_is_read_unheard(tmp_path: Path, way: str) -> None:
    sls = SLS.replace("DO", WAYS[way].replace("\n", "\n        "))
    one, other = files(sls, "one\n", "one"), files(sls, "other text\n", "other")
    if way == "database":
        other["salt/x.txt"] = b""
    if way == "certificates":
        other["salt/x.txt"] = Path(certifi.where()).read_text()
    first, kept, fresh = changed(Lab(tmp_path, {}), one, other)
    assert said(kept) == said(fresh)
    assert said(first) != said(fresh)


def kinds() -> dict[str, dict[str, Content]]:
    ways = {
        name: {"salt/a.sls": SLS.replace("DO", way.replace("\n", "\n        "))}
        for name, way in SILENT_WAYS.items()
    }
    return {**ways, **MODULES}


@pytest.mark.parametrize("kind", kinds())
def test_python_that_can_do_more_than_is_heard_counts_for_its_tree_alone(
    tmp_path: Path, kind: str
) -> None:
    trees = [{**files("", text, "x"), **kinds()[kind]} for text in ("one\n", "other text\n")]
    first, kept, fresh = changed(Lab(tmp_path, {}), trees[0], trees[1])
    assert said(kept) == said(fresh)
    assert said(first) != said(fresh)
    assert first.reads.whole


def test_compiled_python_is_what_it_is_not_what_it_says(tmp_path: Path) -> None:
    text = "import posix\ndef f(d):\n    return posix.stat(d + '/x.txt').st_size\n"
    # As if it were a library's.
    code = compile(text, f"{Path(pytest.__file__).parent}/x.py", "exec")
    # Whose source is not compared with it (PEP 552).
    data = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + bytes(8) + marshal.dumps(code)
    kept_by_python = importlib.util.cache_from_source("salt/_modules/mine.py")
    compiled: dict[str, Content] = {
        "salt/_modules/mine.py": "def f(d):\n    return 1\n",
        kept_by_python: data,
        "salt/a.sls": MODULES["a module"]["salt/a.sls"],
    }
    trees = [{**files("", text, "x"), **compiled} for text in ("one\n", "other text\n")]
    first, kept, fresh = changed(Lab(tmp_path, {}), trees[0], trees[1])
    assert said(kept) == said(fresh) and said(first) != said(fresh)


@pytest.mark.parametrize("sls", [OBJECTS, CODE])
def test_of_objects_and_of_code(tmp_path: Path, sls: str) -> None:
    one = files(sls, f"{LIE}; text = 'one'", "one")
    first, kept, fresh = changed(Lab(tmp_path, {}), one, files(sls, "text = 'other'", "one"))
    assert said(kept) == said(fresh) and said(first) != said(fresh)


def test_without_a_sandbox_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = dataclasses.replace(sandbox.find(), are_forks_apart=False)
    monkeypatch.setattr(sandbox, "find", lambda: alone)
    sls = SLS.replace("DO", WAYS["root"])
    first, kept, fresh = changed(
        Lab(tmp_path, {}), files(sls, "one", "one"), files(sls, "other", "x")
    )
    assert said(kept) == said(fresh) and said(first) != said(fresh)
