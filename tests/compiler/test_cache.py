"""What is kept of a compile: enough to be used again, and no secret."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from saltbranch.compiler.cache import CompileCache
from saltbranch.compiler.pool import Spent
from tests.support.compiling import Lab, minion
from tests.support.remote import Content

TOP = "base:\n  '*': [a]\n"
KINDS: dict[str, dict[str, Content]] = {
    "python": {"salt/a.sls": "#!py\ndef run():\n    return {'x': {'test.nop': []}}\n"},
    "a custom module": {
        "salt/_modules/mine.py": "def f():\n    return 'y'\n",
        "salt/a.sls": "x:\n  test.nop:\n    - v: {{ salt['mine.f']() }}\n",
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_result_of_python_is_kept_and_used_again(tmp_path: Path, kind: str) -> None:
    lab = Lab(tmp_path, {"salt/top.sls": TOP, **KINDS[kind]})
    cache = CompileCache(str(tmp_path / "cache"))
    first, again = (lab.compile([minion("m1")], plain=False, cache=cache)["m1"] for _ in range(2))
    assert first.result == again.result == "ok" and len(again.chunks) == 1
    assert (first.cached, again.cached) == (False, True)


def test_an_order_from_the_pillar_is_not_kept(tmp_path: Path) -> None:
    pins = [12_345_678 % 900_000 + 50_000, 777_123]
    states = "".join(
        f"s{n}:\n  test.nop:\n    - order: {{{{ pillar.pins[{n}] }}}}\n" for n in range(2)
    )
    files: dict[str, Content] = {
        "salt/top.sls": TOP, "salt/a.sls": states, "pillar/top.sls": TOP,
        "pillar/a.sls": f"pins: {pins}\n",
    }  # fmt: skip
    lab = Lab(tmp_path, files)
    cache = CompileCache(str(tmp_path / "cache"))
    result = lab.compile([minion("m1")], plain=False, cache=cache)["m1"]
    assert {c.key: c.place for c in result.chunks} == {"s0 | test.nop": 0, "s1 | test.nop": 1}
    kept = [p.read_text() for p in (tmp_path / "cache").rglob("*") if p.is_file()]
    assert len(kept) == 2 and not any(str(pin) in text for pin in pins for text in kept)


def test_a_state_that_says_it_is_of_another_file_is_made_anew_with_that_file(
    tmp_path: Path,
) -> None:
    state = "x:\n  test.nop: []\n"
    files: dict[str, Content] = {
        "salt/top.sls": TOP,
        "salt/a.sls": f"{state}  __sls__: other\n",
        "salt/other.sls": state,
    }
    lab, fleet = Lab(tmp_path, files), [minion("m1"), minion("m2")]
    cache = CompileCache(str(tmp_path / "cache"))
    for line in (1, 2):
        lab.commit({"salt/other.sls": "# a comment\n" * (line - 1) + state})
        for found in lab.compile(fleet, plain=False, cache=cache).values():
            assert [(c.path, c.line) for c in found.chunks] == [("salt/other.sls", line)]
            assert "salt/other.sls" in found.reads.files


CALLS = """#!py
import socket
def run():
    said = []
    for call in (
        lambda: socket.create_connection(('api.example.com', 443), 1),
        lambda: socket.socket().connect(('192.0.2.1', 80)),
    ):
        try:
            call()
            said.append('done')
        except OSError as err:
            said.append(type(err).__name__ + str(err.errno))
    text = open(__opts__['file_roots']['test'][1] + '/x.txt').read()
    return {'says': {'test.nop': [{'said': said}, {'text': text}]}}
"""


def test_who_asks_the_network_gets_none_and_is_kept(tmp_path: Path) -> None:
    files: dict[str, Content] = {"salt/top.sls": TOP, "salt/a.sls": CALLS, "salt/x.txt": "one"}
    lab = Lab(tmp_path, files)
    (chunk,) = lab.one(minion("m1")).low
    names = ["gaierror-3", f"OSError{errno.ENETUNREACH}"]
    assert (chunk["said"], chunk["text"]) == (names, "one")
    cache = CompileCache(str(tmp_path / "cache"))
    first, again = (lab.compile([minion("m1")], plain=False, cache=cache)["m1"] for _ in range(2))
    assert (first.cached, again.cached) == (False, True)
    assert any("look up a host name" in note for note in again.notes)
    lab.commit({"salt/x.txt": "two"})
    other = lab.compile([minion("m1")], plain=False, cache=cache)["m1"]
    assert not other.cached and other.chunks[0].arguments != again.chunks[0].arguments


REFUSED = {
    "tried": "    open('/etc/hostname')\n",
    "tried, too": "    import socket\n    assert socket.getaddrinfo('192.0.2.1', 80)\n",
    "unfollowed": "    os.open('x', os.O_RDONLY, dir_fd=os.open('/tmp', os.O_RDONLY))\n",
    "name": "    os.path.exists('/srv/salt/' + __pillar__['token'])\n",
    "ended": "    os._exit(1)\n",
}


@pytest.mark.parametrize("why", REFUSED)
def test_why_a_result_is_not_kept_is_counted(tmp_path: Path, why: str) -> None:
    files: dict[str, Content] = {
        "salt/top.sls": TOP,
        "salt/a.sls": "#!py\nimport os\ndef run():\n  try:\n"
        f"{REFUSED[why]}  except OSError:\n    pass\n  return {{}}\n",
        "pillar/top.sls": TOP,
        "pillar/a.sls": "token: xGh7Kqp2Zw\n",
    }
    lab = Lab(tmp_path, files)
    lab.frame = replace(lab.frame, served=(("test", "/srv/salt", "salt"),))
    cache = CompileCache(str(tmp_path / "cache"))
    for _ in range(2):
        spent = Spent()
        lab.compile([minion("m1")], plain=False, cache=cache, spent=spent)
        assert spent.not_kept == {why.partition(",")[0]: 1}
    spent = Spent()
    lab.commit({"salt/a.sls": "a:\n  test.nop\n"})
    for _ in range(2):
        lab.compile([minion("m1")], plain=False, cache=cache, spent=spent)
    assert spent.not_kept == {}
