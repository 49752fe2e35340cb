"""What is kept of a compile: enough to be used again, and no secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from saltbranch.compilecache import CompileCache
from tests.git.remote import Content
from tests.salt.compiling import Lab, minion

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
